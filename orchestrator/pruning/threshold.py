"""Prunes a trial whose value leaves fixed bounds."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import model_validator

from orchestrator.common.faults import Fault
from orchestrator.common.formatting import number
from orchestrator.pruning.arguments import IntervalArguments, Search
from orchestrator.pruning.base import Decision, Outcome, Progress, RuleBase, due
from orchestrator.pruning.words import RuleWords


class ThresholdWords(RuleWords):
    """Names the bound that was crossed."""

    def against(self, decision: Decision) -> str:
        if decision.threshold is None:
            return "its value there is not a number"
        crossed = "above the upper" if decision.value > decision.threshold else "below the lower"
        return f"value {number(decision.value)}, {crossed} bound {number(decision.threshold)}"


class ThresholdArguments(IntervalArguments):
    """As ``optuna.pruners.ThresholdPruner``: stops a trial whose value leaves a range, or is NaN.

    Attributes:
        lower: The smallest value that goes on. At least one of the two bounds is needed.
        upper: The largest value that goes on.

    Example:
        [pruner]
        name = "threshold"
        upper = 10.0
        n_warmup_steps = 3
    """

    words = ThresholdWords

    name: Literal["threshold"] = "threshold"
    lower: float | None = None
    upper: float | None = None

    @model_validator(mode="after")
    def _check(self) -> ThresholdArguments:
        if self.lower is None and self.upper is None:
            raise Fault("is missing, and so is 'upper'", "one of them is needed", ("lower",))
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            problem = f"is {self.lower:g}, above 'upper', which is {self.upper:g}"
            raise Fault(problem, "it must be at most 'upper'", ("lower",))
        return self

    def build(self, search: Search) -> ThresholdRule:  # noqa: ARG002
        return ThresholdRule(self)


class ThresholdRule(RuleBase):
    """Prunes at a value that is NaN, below ``lower`` or above ``upper``, in either direction of the search.

    A decision's threshold is the bound that was crossed; None while the value lies within both.
    """

    def __init__(self, arguments: ThresholdArguments) -> None:
        super().__init__(arguments.name)
        self._lower = -math.inf if arguments.lower is None else arguments.lower
        self._upper = math.inf if arguments.upper is None else arguments.upper
        self._n_warmup_steps = arguments.n_warmup_steps
        self._interval_steps = arguments.interval_steps
        self._running: dict[int, Progress] = {}

    def record(self, trial: int, step: int, value: float) -> None:
        progress = self._running.get(trial)
        if progress is None:
            progress = self._running[trial] = Progress()
        progress.add(step, value)

    def judge(self, trial: int) -> Decision:
        progress = self._running[trial]
        step, value = progress.last, progress.value
        crossed: float | None = None
        prune = False
        if due(progress, self._n_warmup_steps, self._interval_steps):
            if value < self._lower:
                crossed = self._lower
            elif value > self._upper:
                crossed = self._upper
            prune = crossed is not None or math.isnan(value)
        return Decision(prune, self.name, step, value, crossed, 0)

    def finish(self, trial: int, state: Outcome) -> None:  # noqa: ARG002
        self._running.pop(trial, None)
