"""[pruner]: which rule stops trials early, and its arguments."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from orchestrator.spec.faults import Fault, got, nearest, show
from orchestrator.spec.table import NOT_YET, Table, tagged
from orchestrator.spec.values import LARGEST_INTEGER, Count, CountOrNone

PLANNED = ("hyperband", "threshold", "patient", "wilcoxon")


class PrunerTable(Table):
    """What the rules have in common."""

    def arguments(self) -> dict[str, Any]:
        """Returns the rule's keyword arguments, every default written out."""
        return self.model_dump(exclude={"name", "mode"})


class NoPruner(PrunerTable):
    """Every trial runs to its end."""

    name: Literal["none"] = "none"


class MedianPruner(PrunerTable):
    """As ``optuna.pruners.MedianPruner``."""

    name: Literal["median"]
    n_startup_trials: CountOrNone = 5
    n_warmup_steps: CountOrNone = 0
    interval_steps: Count = 1
    n_min_trials: Count = 1


class PercentilePruner(PrunerTable):
    """As ``optuna.pruners.PercentilePruner``."""

    name: Literal["percentile"]
    percentile: Annotated[float, Field(ge=0, le=100)]
    n_startup_trials: CountOrNone = 5
    n_warmup_steps: CountOrNone = 0
    interval_steps: Count = 1
    n_min_trials: Count = 1


def _check_min_resource(value: Any) -> Any:
    right = "it must be 'auto' or an integer of at least 1"
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Fault(got(value), right)
    if isinstance(value, str) and value != "auto":
        raise Fault(f"is {show(value)}", right)
    if isinstance(value, int) and not 1 <= value <= LARGEST_INTEGER:
        raise Fault(f"is {show(value)}", f"{right} and at most {LARGEST_INTEGER}")
    return value


def _check_mode(value: str) -> str:
    if value in ("promotion", "sync"):
        raise Fault(f"{show(value)} {NOT_YET}", "use 'stopping'")
    if value != "stopping":
        raise Fault(f"there is no {show(value)}", nearest(value, ("stopping",)))
    return value


class AshaPruner(PrunerTable):
    """As ``optuna.pruners.SuccessiveHalvingPruner``."""

    name: Literal["asha"]
    min_resource: Annotated[Any, BeforeValidator(_check_min_resource)] = "auto"
    reduction_factor: Annotated[int, Field(ge=2, le=LARGEST_INTEGER)] = 4
    # The first rung lies at min_resource * reduction_factor ** this: 31 is beyond every step.
    min_early_stopping_rate: Annotated[int, Field(ge=0, le=31)] = 0
    bootstrap_count: CountOrNone = 0
    mode: Annotated[str, AfterValidator(_check_mode)] = "stopping"

    @model_validator(mode="after")
    def _check(self) -> AshaPruner:
        if self.bootstrap_count and self.min_resource == "auto":
            raise Fault(
                f'is {self.bootstrap_count}, which cannot go with min_resource = "auto"',
                "give min_resource a number",
                ("bootstrap_count",),
            )
        return self


Pruner = Annotated[
    NoPruner | MedianPruner | PercentilePruner | AshaPruner,
    Field(discriminator="name"),
    tagged("name", ("median", "percentile", "asha", "none"), PLANNED),
]
