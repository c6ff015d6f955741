"""Prunes a trial that is not past a value by a step."""

from __future__ import annotations

from typing import Literal

from orchestrator.common.field_types import Count
from orchestrator.common.formatting import number
from orchestrator.pruning.arguments import RuleArguments, Search
from orchestrator.pruning.base import Decision, Direction, Outcome, RuleBase
from orchestrator.pruning.words import RuleWords


class HurdleWords(RuleWords):
    """Names the hurdle."""

    def against(self, decision: Decision) -> str:
        return f"value {number(decision.value)}, and {self.boundary(decision)} is {number(decision.threshold)}"

    def boundary(self, decision: Decision) -> str:  # noqa: ARG002
        by_step = self._table.get("by_step")
        return "the hurdle" if by_step is None else f"the hurdle of step {by_step}"


class HurdleArguments(RuleArguments):
    """Stops a trial that is not past a value by a step.

    Attributes:
        height: The value to be past.
        by_step: No trial is stopped before this step.

    Example:
        [pruner]
        name = "hurdle"
        height = 0.5
        by_step = 2
    """

    words = HurdleWords

    name: Literal["hurdle"] = "hurdle"
    height: float
    by_step: Count = 1

    def build(self, search: Search) -> HurdleRule:
        return HurdleRule(self, search.direction)


class HurdleRule(RuleBase):
    """Compares a trial's newest value with one number."""

    def __init__(self, arguments: HurdleArguments, direction: Direction) -> None:
        super().__init__(arguments.name)
        self._arguments = arguments
        self._maximize = direction == "maximize"
        self._newest: dict[int, tuple[int, float]] = {}

    def record(self, trial: int, step: int, value: float) -> None:
        self._newest[trial] = max((step, value), self._newest.get(trial, (-1, 0.0)))

    def judge(self, trial: int) -> Decision:
        step, value = self._newest[trial]
        height = self._arguments.height
        below = value < height if self._maximize else value > height
        return Decision(below and step >= self._arguments.by_step, self.name, step, value, height, 0)

    def finish(self, trial: int, state: Outcome) -> None:  # noqa: ARG002
        self._newest.pop(trial, None)
