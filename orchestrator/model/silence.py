"""Silence of trials: no report for far longer than the trial's own pace."""

from __future__ import annotations

import statistics
from collections import deque
from typing import Any, Final, NamedTuple

FACTOR: Final = 20.0
"""A trial is shown as silent after so many times the usual pause between two of its reports."""

LEAST_SECONDS: Final = 10.0
"""The shortest silence that is shown: an objective that reports many times a second may evaluate for a while."""

_PACES_KEPT: Final = 50


class Silence(NamedTuple):
    """Since when a trial has not been heard of, in seconds since the epoch, and the usual pause between its reports."""

    since: float
    pace: float

    @classmethod
    def read(cls, value: Any) -> Silence | None:
        """Returns what is kept of a trial as ``SILENT``; ``None`` where it is not silent."""
        try:
            return cls(float(value["since"]), float(value["pace"]))
        except (TypeError, KeyError, ValueError):
            return None


class Paces:
    """Report intervals of the trials of one study; a trial without a pace of its own is judged by theirs."""

    def __init__(self) -> None:
        self._by_trial: dict[int, float] = {}
        self._trials: deque[int] = deque()

    def judge(self, trial: int, quiet: float | None, pace: float | None, now: float) -> Silence | None:
        """Returns the silence of a trial, if it is silent.

        Args:
            trial: Its number.
            quiet: Seconds since its last report or checkpoint, or since it began; ``None`` where none is expected.
            pace: The median of its own last pauses between two reports, in seconds; ``None`` before there were two.
            now: Seconds since the epoch.
        """
        if pace is not None:
            self._note(trial, pace)
        elif self._by_trial:
            pace = statistics.median(self._by_trial.values())
        if quiet is None or pace is None or quiet <= max(LEAST_SECONDS, FACTOR * pace):
            return None
        return Silence(now - quiet, pace)

    def _note(self, trial: int, pace: float) -> None:
        if trial not in self._by_trial:
            self._trials.append(trial)
            if len(self._trials) > _PACES_KEPT:
                del self._by_trial[self._trials.popleft()]
        self._by_trial[trial] = pace
