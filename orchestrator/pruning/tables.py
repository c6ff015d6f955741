"""[pruner]: what all rules have in common, and the rules whose arguments bound each other little or not at all."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from orchestrator.common.faults import Fault
from orchestrator.common.field_types import Count, CountOrNone
from orchestrator.common.table import Table


class PrunerTable(Table):
    """What the rules have in common."""

    name: str

    @property
    def promotes(self) -> bool:
        """Whether trials pause and the best go on, instead of being stopped."""
        return False

    @property
    def own_class(self) -> bool:
        """Whether it runs a class of the user's own, which may do anything: it is asked in a process of its own."""
        return False

    def arguments(self) -> dict[str, Any]:
        """Returns the rule's keyword arguments, every default written out."""
        return self.model_dump(exclude={"name"})

    def check_steps(self, max_steps: int | None, key: tuple[str, ...]) -> None:
        """Refuses rungs that no trial would reach.

        Args:
            max_steps: The spec's; None where it does not say.
            key: Where this table stands.

        Raises:
            Fault: with the key from the top of the spec.
        """


class NoPruner(PrunerTable):
    """Every trial runs to its end."""

    name: Literal["none"] = "none"


class MedianPruner(PrunerTable):
    """As ``optuna.pruners.MedianPruner``: stops a trial whose best value so far is worse than the others' median.

    Attributes:
        n_startup_trials: Nobody is stopped before so many trials are complete.
        n_warmup_steps: Nobody is stopped before this step.
        interval_steps: From there on, a look every so many steps.
        n_min_trials: A step is not judged before so many completed trials have reported it.
    """

    name: Literal["median"]
    n_startup_trials: CountOrNone = 5
    n_warmup_steps: CountOrNone = 0
    interval_steps: Count = 1
    n_min_trials: Count = 1


class PercentilePruner(PrunerTable):
    """As ``optuna.pruners.PercentilePruner``: stops a trial that is not within the best percentage of the others.

    Attributes:
        percentile: Which part of the trials goes on, in percent: 25 keeps the best quarter.
        n_startup_trials: Nobody is stopped before so many trials are complete.
        n_warmup_steps: Nobody is stopped before this step.
        interval_steps: From there on, a look every so many steps.
        n_min_trials: A step is not judged before so many completed trials have reported it.
    """

    name: Literal["percentile"]
    percentile: Annotated[float, Field(ge=0, le=100)]
    n_startup_trials: CountOrNone = 5
    n_warmup_steps: CountOrNone = 0
    interval_steps: Count = 1
    n_min_trials: Count = 1


class ThresholdPruner(PrunerTable):
    """As ``optuna.pruners.ThresholdPruner``: stops a trial whose value leaves a range, or is NaN.

    Attributes:
        lower: The smallest value that goes on; one of both is needed.
        upper: The largest value that goes on.
        n_warmup_steps: Nobody is stopped before this step.
        interval_steps: From there on, a look every so many steps.
    """

    name: Literal["threshold"]
    lower: float | None = None
    upper: float | None = None
    n_warmup_steps: CountOrNone = 0
    interval_steps: Count = 1

    @model_validator(mode="after")
    def _check(self) -> ThresholdPruner:
        if self.lower is None and self.upper is None:
            raise Fault("is missing, and so is 'upper'", "one of them is needed", ("lower",))
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            problem = f"is {self.lower:g}, above 'upper', which is {self.upper:g}"
            raise Fault(problem, "it must be at most 'upper'", ("lower",))
        return self
