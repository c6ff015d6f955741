"""[pruner] with name "asha" or "hyperband": the rules whose rungs lie at steps."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from orchestrator.common.faults import Fault, got, show
from orchestrator.common.field_types import LARGEST_INTEGER, Count, CountOrNone, kind
from orchestrator.pruning.tables import PrunerTable


def _check_resource(value: Any) -> Any:
    right = "it must be 'auto' or an integer of at least 1"
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Fault(got(value), right)
    if isinstance(value, str) and value != "auto":
        raise Fault(f"is {show(value)}", right)
    if isinstance(value, int) and not 1 <= value <= LARGEST_INTEGER:
        raise Fault(f"is {show(value)}", f"{right} and at most {LARGEST_INTEGER}")
    return value


Resource = Annotated[Any, BeforeValidator(_check_resource), kind('`"auto"`, or integer, at least 1')]
Factor = Annotated[int, Field(ge=2, le=LARGEST_INTEGER)]


class AshaPruner(PrunerTable):
    """Successive halving. With ``mode = "stopping"`` as ``optuna.pruners.SuccessiveHalvingPruner``; with
    ``"promotion"`` and ``"sync"`` trials pause at the rungs, and the best go on.

    Attributes:
        min_resource: The first rung's step. ``"auto"`` learns it from completed trials. Modes that pause need a number,
            and take 1 where none is given.
        reduction_factor: One of so many trials gets beyond a rung, and each rung lies so many times as far as the last.
        min_early_stopping_rate: The first rung lies at ``min_resource * reduction_factor**min_early_stopping_rate``.
        bootstrap_count: A rung lets nobody pass before it holds more than so many values; with ``"stopping"`` only.
        mode: ``"promotion"`` decides whenever a slot is free, ``"sync"`` when a rung is complete; both need
            ``max_steps``.
        restart: A promoted trial is trained from its first step again, not from a checkpoint.
    """

    name: Literal["asha"]
    min_resource: Resource = "auto"
    reduction_factor: Factor = 4
    # 31 is beyond every step.
    min_early_stopping_rate: Annotated[int, Field(ge=0, le=31)] = 0
    bootstrap_count: CountOrNone = 0
    mode: Literal["stopping", "promotion", "sync"] = "stopping"
    restart: bool = False

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("mode") in ("promotion", "sync"):
            return {"min_resource": 1, **data}
        return data

    @model_validator(mode="after")
    def _check(self) -> AshaPruner:
        if not self.promotes:
            if self.restart:
                raise Fault("is true, but stopped trials never start again", "take it out", ("restart",))
            _check_bootstrap(self.bootstrap_count, "min_resource", self.min_resource)
            return self
        if self.min_resource == "auto":
            problem = f"is 'auto', which is learned from completed trials, and mode '{self.mode}' begins without any"
            raise Fault(problem, "it must be an integer of at least 1", ("min_resource",))
        if self.bootstrap_count:
            problem = f"is {self.bootstrap_count}, which has no meaning in mode '{self.mode}'"
            raise Fault(problem, "take it out", ("bootstrap_count",))
        return self

    @property
    def promotes(self) -> bool:
        return self.mode != "stopping"

    def arguments(self) -> dict[str, Any]:
        # How a trial goes on concerns who sends it, not the rule.
        return self.model_dump(exclude={"name", "restart"})

    def check_steps(self, max_steps: int | None, key: tuple[str, ...]) -> None:
        if max_steps is None:
            if self.promotes:
                problem = f"is '{self.mode}', which needs max_steps: the rungs end there"
                raise Fault(problem, "write max_steps = … at the top of the spec", (*key, "mode"))
            return
        if self.min_resource == "auto":
            return
        _check_first(self.min_resource, max_steps, key)
        first = self.min_resource * self.reduction_factor**self.min_early_stopping_rate
        if first > max_steps:
            problem = f"puts the first rung at step {show(first)}, beyond max_steps, which is {max_steps}"
            raise Fault(problem, "nothing would ever be pruned", (*key, "min_early_stopping_rate"))
        second = first * self.reduction_factor
        if self.promotes and second > max_steps:
            problem = f"puts the first rungs at steps {first} and {show(second)}, and max_steps is {max_steps}"
            raise Fault(problem, "two of them must lie within it, or nothing is promoted", (*key, "min_resource"))


class HyperbandPruner(PrunerTable):
    """As ``optuna.pruners.HyperbandPruner``: successive halving in several brackets, each with another first rung.

    Attributes:
        min_resource: The first rung's step in the first bracket.
        max_resource: The step of a full trial. ``"auto"`` learns it from completed trials.
        reduction_factor: One of so many trials gets beyond a rung.
        bootstrap_count: A rung lets nobody pass before it holds more than so many values.
    """

    name: Literal["hyperband"]
    min_resource: Count = 1
    max_resource: Resource = "auto"
    reduction_factor: Factor = 3
    bootstrap_count: CountOrNone = 0

    @model_validator(mode="after")
    def _check(self) -> HyperbandPruner:
        _check_bootstrap(self.bootstrap_count, "max_resource", self.max_resource)
        if self.max_resource != "auto" and self.min_resource > self.max_resource:
            problem = f"is {self.min_resource}, above max_resource, which is {self.max_resource}"
            raise Fault(problem, "it must be at most that", ("min_resource",))
        return self

    def check_steps(self, max_steps: int | None, key: tuple[str, ...]) -> None:
        if max_steps is not None:
            _check_first(self.min_resource, max_steps, key)


def _check_bootstrap(count: int, resource: str, value: int | str) -> None:
    if count and value == "auto":
        problem = f'is {count}, which cannot go with {resource} = "auto"'
        raise Fault(problem, f"give {resource} a number", ("bootstrap_count",))


def _check_first(min_resource: int, max_steps: int, key: tuple[str, ...]) -> None:
    if min_resource > max_steps:
        problem = f"is {min_resource}, above max_steps, which is {max_steps}"
        raise Fault(problem, "nothing would ever be pruned", (*key, "min_resource"))
