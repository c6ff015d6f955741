"""How many sampled trials are to wait for slots: as many as come free while one is sampled."""

from __future__ import annotations

import math

WEIGHT = 0.2
"""Of the newest measurement in a running mean."""

MOST_AHEAD = 200
"""Each trial that waits was sampled knowing less."""


class SamplingPace:
    """Running means of one study: the time from a question to its answer, and the time between two questions.

    A trial is asked for whenever one has started, so that the questions come as fast as the slots take trials.
    """

    def __init__(self) -> None:
        self._asked_at: dict[int, float] = {}
        self._last: float | None = None
        self._between: float | None = None
        self._takes: float | None = None

    def asked(self, trial: int, at: float) -> None:
        """Notes that a trial was asked for; ``at`` in seconds of a steady clock."""
        self._asked_at[trial] = at
        if self._last is not None:
            self._between = _mean(self._between, at - self._last)
        self._last = at

    def answered(self, trial: int, at: float) -> None:
        """Notes the answer."""
        asked = self._asked_at.pop(trial, None)
        if asked is not None:
            self._takes = _mean(self._takes, at - asked)

    def lookahead(self, slots: int, now: int) -> int:
        """Returns how many trials are to wait.

        So many are expected to be taken during one answer, and a standard deviation more, as if they were taken at
        random times. It changes by a quarter at least.

        Args:
            slots: Number of slots that take the study's trials, busy or not.
            now: The present number.
        """
        if slots < 2 or self._takes is None or self._between is None:
            return 1
        expected = self._takes / max(self._between, 1e-6)
        wanted = max(1, min(slots, MOST_AHEAD, math.ceil(expected + math.sqrt(expected) - 0.5)))
        return wanted if wanted == 1 or abs(wanted - now) > now / 4 else now


def _mean(before: float | None, newest: float) -> float:
    return newest if before is None else before + WEIGHT * (newest - before)
