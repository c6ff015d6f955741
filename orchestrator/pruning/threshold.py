"""Prunes a trial whose value leaves fixed bounds."""

from __future__ import annotations

import math

from orchestrator.pruning.base import Decision, Fold, Outcome
from orchestrator.pruning.progress import Progress, due


class ThresholdRule(Fold):
    """Prunes at a value that is NaN, below ``lower`` or above ``upper``, whichever way the study optimizes.

    A decision names the bound that was crossed; None while the value lies within them.

    Args:
        lower: None means no bound on this side.
        upper: Likewise.
        n_warmup_steps: No pruning before this step.
        interval_steps: A check every so many steps, counted from the warm-up's end.
    """

    name = "threshold"

    def __init__(
        self, lower: float | None, upper: float | None, n_warmup_steps: int = 0, interval_steps: int = 1
    ) -> None:
        self._lower = -math.inf if lower is None else lower
        self._upper = math.inf if upper is None else upper
        self._n_warmup_steps = n_warmup_steps
        self._interval_steps = interval_steps
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
