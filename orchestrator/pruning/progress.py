"""The progress of one running trial, and whether it is due for a check."""

from __future__ import annotations

import math
from dataclasses import dataclass

from orchestrator.common.field_types import Count, CountOrZero
from orchestrator.pruning.arguments import RuleArguments


@dataclass(slots=True)
class Progress:
    """The two largest steps of a trial (-1: none yet) and the value at the largest.

    Reports may come late: rules look at the largest step, not at the one reported last.
    """

    last: int = -1
    previous: int = -1
    value: float = math.nan

    def add(self, step: int, value: float) -> None:
        if step > self.last:
            self.previous, self.last, self.value = self.last, step, value
        elif step > self.previous:
            self.previous = step


class IntervalArguments(RuleArguments):
    """When a rule checks a trial.

    Attributes:
        n_warmup_steps: No trial is stopped before this step.
        interval_steps: From there on, a check every so many steps.
    """

    n_warmup_steps: CountOrZero = 0
    interval_steps: Count = 1


def due(progress: Progress, n_warmup_steps: int, interval_steps: int) -> bool:
    """Whether the trial's last step is its first one in the current interval.

    Intervals start at ``n_warmup_steps``. A check that falls into a gap of the steps is made at the next report.
    """
    since = progress.last - n_warmup_steps
    if since < 0:
        return False
    return progress.previous < progress.last - since % interval_steps
