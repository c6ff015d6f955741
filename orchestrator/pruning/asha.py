"""Successive halving with one ladder for all trials: asynchronous stopping, or the promotions of ``promotion``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from orchestrator.common.faults import Fault, show
from orchestrator.common.formatting import number
from orchestrator.pruning.arguments import Search
from orchestrator.pruning.base import Decision, Direction, RuleBase
from orchestrator.pruning.ladder import Factor, Ladder, Resource, RungArguments, RungRule, RungWords, check_first_rung
from orchestrator.pruning.promotion import PromotionRule

MIN_RESOURCE = "asha_min_resource"


class AshaWords(RungWords):
    """Tells of pauses and promotions besides."""

    default_factor = 4

    def promoted(self, decision: Decision) -> str:
        return f"at epoch {decision.step}: value {number(decision.value)}, {self._within(decision)}: promoted"

    def standing(self, decision: Decision, verb: str) -> str:
        there, bound = f"of {self._trials(decision)} there", decision.threshold
        many = verb.replace("goes", "go")
        if bound is None:
            return super().standing(decision, verb)
        if decision.value >= bound if self._maximize else decision.value <= bound:
            return f"{self._within(decision)}, and no slot was free for it yet"
        if self._synchronous:
            return f"{there} those with {number(bound)} or better {many}"
        best = decision.peers // self._factor
        if best == 1:
            return f"{there} the best 1 {verb}, which has {number(bound)}"
        return f"{there} the best {best} {many}, the last of them has {number(bound)}"

    def _within(self, decision: Decision) -> str:
        if self._synchronous and decision.threshold is not None:
            return f"among those of {self._trials(decision)} that go on ({number(decision.threshold)} or better)"
        return f"within {self._best(decision)}"

    @property
    def _synchronous(self) -> bool:
        return bool(self._table.get("mode") == "sync")


class AshaArguments(RungArguments):
    """Successive halving. With ``mode = "stopping"`` as ``optuna.pruners.SuccessiveHalvingPruner``; with
    ``"promotion"`` and ``"sync"`` trials pause at the rungs, and the best go on.

    Attributes:
        min_resource: The first rung's step. ``"auto"`` learns it from completed trials. Modes that pause need a number,
            and take 1 where none is given.
        min_early_stopping_rate: The first rung lies at ``min_resource * reduction_factor**min_early_stopping_rate``.
        bootstrap_count: A rung lets no trial pass before it holds more than so many values; with ``"stopping"`` only.
        mode: ``"promotion"`` decides whenever a slot is free, ``"sync"`` when a rung is complete; both need
            ``max_steps``.
        restart: A promoted trial is trained from its first step again, not from a checkpoint.

    Example:
        [pruner]
        name = "asha"
        mode = "promotion"
        min_resource = 1
        reduction_factor = 3
    """

    words = AshaWords
    rung_keys = ("min_resource", "reduction_factor", "min_early_stopping_rate")

    name: Literal["asha"] = "asha"
    min_resource: Resource = "auto"
    reduction_factor: Factor = 4
    # 31 is beyond every step.
    min_early_stopping_rate: Annotated[int, Field(ge=0, le=31)] = 0
    mode: Literal["stopping", "promotion", "sync"] = "stopping"
    restart: bool = False

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("mode") in ("promotion", "sync"):
            return {"min_resource": 1, **data}
        return data

    @model_validator(mode="after")
    def _check(self) -> AshaArguments:
        if not self.promotes:
            if self.restart:
                raise Fault("is true, but stopped trials never start again", "take it out", ("restart",))
            self._check_bootstrap("min_resource")
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

    @property
    def restarts(self) -> bool:
        return self.restart

    def first_rung(self, min_resource: int) -> int:
        """Returns the step of the first rung."""
        step: int = min_resource * self.reduction_factor**self.min_early_stopping_rate
        return step

    def build(self, search: Search) -> RuleBase:
        if not self.promotes:
            return AshaRule(self, search.direction)
        if search.max_steps is None:
            raise ValueError(f"mode '{self.mode}' needs max_steps, which the spec checks")
        rungs = (self.first_rung(self.min_resource), search.max_steps, self.reduction_factor)
        return PromotionRule(self.name, search.direction, *rungs, search.trials if self.mode == "sync" else None)

    def check_steps(self, max_steps: int | None, key: tuple[str, ...]) -> None:
        if max_steps is None:
            if self.promotes:
                problem = f"is '{self.mode}', which needs max_steps: the rungs end there"
                raise Fault(problem, "write max_steps = … at the top of the spec", (*key, "mode"))
            return
        if self.min_resource == "auto":
            return
        check_first_rung(self.min_resource, max_steps, key)
        first = self.first_rung(self.min_resource)
        if first > max_steps:
            problem = f"puts the first rung at step {show(first)}, beyond max_steps, which is {max_steps}"
            raise Fault(problem, "no trial would ever be pruned", (*key, "min_early_stopping_rate"))
        second = first * self.reduction_factor
        if self.promotes and second > max_steps:
            problem = f"puts the first rungs at steps {first} and {show(second)}, and max_steps is {max_steps}"
            raise Fault(problem, "two of them must lie within it, or no trial is promoted", (*key, "min_resource"))


class AshaRule(RungRule):
    """Stops a trial at a rung unless it is among the best ``1 / reduction_factor`` there; see ``Ladder``.

    An automatic ``min_resource`` is a hundredth of the longest completed trial, at least 1, as known at the first
    decision after the first completion; until then no trial is pruned. From then on it stays as it is, and so it is a
    study attribute: a rule rebuilt later would see more completed trials and might settle on another one.

    Args:
        arguments: See ``AshaArguments``.
        direction: Which way is better.
    """

    def __init__(self, arguments: AshaArguments, direction: Direction) -> None:
        super().__init__(arguments.name)
        self._arguments = arguments
        self._direction = direction
        self._estimates = arguments.min_resource == "auto"
        self._min_resource: int | None = None
        self._only: Ladder | None = None
        if not self._estimates:
            self._put_up(arguments.min_resource)

    def _put_up(self, min_resource: int) -> None:
        self._min_resource = min_resource
        given = self._arguments
        first = given.first_rung(min_resource)
        self._only = Ladder(self._direction, first, given.reduction_factor, given.bootstrap_count)
        self._enter_all_again()

    def _ladder(self, trial: int) -> Ladder | None:  # noqa: ARG002
        return self._only

    def _settle(self) -> None:
        if self._only is None and self._longest >= 0:
            self._put_up(max(self._longest // 100, 1))

    def study_attributes(self) -> dict[str, Any]:
        return {MIN_RESOURCE: self._min_resource} if self._estimates and self._only is not None else {}

    def restore_study(self, attributes: Mapping[str, Any]) -> None:
        if self._estimates and MIN_RESOURCE in attributes:
            self._put_up(int(attributes[MIN_RESOURCE]))
