"""Lengths of trials in the unit of ``max_steps``, and the epochs that pruning saved."""

from __future__ import annotations

from collections.abc import Mapping


def length(reports: int, last_step: int | None, max_steps: int | None) -> int:
    """Returns how many epochs, or steps, a trial was trained.

    Objectives count from 0 or from 1, and report every step, or every ten thousandth one as in reinforcement learning:
    the larger of the number of reports and the last step is right for all of them. Where the length of a full trial is
    not known, steps may count anything, and reports are counted. A step beyond it is no more than a full trial.
    """
    return max(reports, min(last_step or 0, max_steps or 0))


class Lengths:
    """The lengths of trials whose reports come one by one.

    Attributes:
        total: Of all trials together.
    """

    def __init__(self, max_steps: int | None) -> None:
        self.total = 0
        self._max_steps = max_steps
        self._reports: dict[int, int] = {}
        self._lengths: dict[int, int] = {}

    def add(self, trial: int, *steps: int) -> None:
        """Counts reports, at least one."""
        reports = self._reports[trial] = self._reports.get(trial, 0) + len(steps)
        before, now = self.of(trial), length(reports, max(steps), self._max_steps)
        if now > before:
            self._lengths[trial] = now
            self.total += now - before

    def of(self, trial: int) -> int:
        """Returns the length of a trial; 0 before its first report."""
        return self._lengths.get(trial, 0)


def saved(max_steps: int | None, pruned: Mapping[int, int]) -> int:
    """Returns what pruned trials did not train; 0 where the length of a full trial is not known.

    Args:
        max_steps: Of the spec.
        pruned: How many pruned trials there are, by their length.
    """
    return 0 if max_steps is None else sum(count * max(0, max_steps - each) for each, count in pruned.items())
