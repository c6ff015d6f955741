"""The rule that lets every trial run to its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from orchestrator.pruning.arguments import RuleArguments, Search
from orchestrator.pruning.base import Decision, Outcome, Progress, RuleBase


class NoArguments(RuleArguments):
    """Every trial runs to its end.

    Example:
        [pruner]
        name = "none"
    """

    name: Literal["none"] = "none"

    def build(self, search: Search) -> NoRule:  # noqa: ARG002
        return NoRule(self.name)


class NoRule(RuleBase):
    """Never prunes. Keeps a running trial's last value, for the record only."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._running: dict[int, Progress] = {}

    def record(self, trial: int, step: int, value: float) -> None:
        self._running.setdefault(trial, Progress()).add(step, value)

    def judge(self, trial: int) -> Decision:
        progress = self._running[trial]
        return Decision(False, self.name, progress.last, progress.value, None, 0)

    def finish(self, trial: int, state: Outcome) -> None:  # noqa: ARG002
        self._running.pop(trial, None)

    def restore(
        self, trial: int, values: Mapping[int, float], state: Outcome | None, attributes: Mapping[str, Any]
    ) -> None:
        if state is None:
            super().restore(trial, values, state, attributes)
