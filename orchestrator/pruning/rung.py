"""One rung of successive halving with promotions."""

from __future__ import annotations

import math
from bisect import bisect_left, insort

from orchestrator.pruning.base import Direction


class Rung:
    """The results of one rung: all of them in order, and those that wait for a promotion.

    Entries are (score, trial) with the best first. A score is the value, with its sign turned to maximize; equal scores
    are ordered by the trial's number, so the order does not depend on which came first. A NaN never goes on: it counts
    as a result, but has no entry.
    """

    def __init__(self, direction: Direction, step: int) -> None:
        self.step = step
        self.results: dict[int, float] = {}
        self.passed = 0
        self._sign = -1.0 if direction == "maximize" else 1.0
        self._order: list[tuple[float, int]] = []
        self._waiting: list[tuple[float, int]] = []

    def put(self, trial: int, value: float, *, waits: bool) -> None:
        """Enters a result, or corrects it."""
        self.drop(trial)
        self.results[trial] = value
        if not math.isnan(value):
            entry = (self._sign * value, trial)
            insort(self._order, entry)
            if waits:
                insort(self._waiting, entry)

    def drop(self, trial: int) -> None:
        """Takes a result out, if there is one."""
        if trial in self.results:
            self.settle(trial)
            _discard(self._order, (self._sign * self.results.pop(trial), trial))

    def settle(self, trial: int) -> None:
        """Keeps a trial's result, but takes the trial out of those that wait."""
        _discard(self._waiting, (self._sign * self.results[trial], trial))

    @property
    def first(self) -> int | None:
        """The best of the trials that wait."""
        return self._waiting[0][1] if self._waiting else None

    def best(self, share: int) -> int | None:
        """Returns the best of the trials that wait, if it is among the best ``share`` of all."""
        if self._waiting and bisect_left(self._order, self._waiting[0]) < share:
            return self._waiting[0][1]
        return None

    def threshold(self, share: int) -> float | None:
        """Returns the worst value among the best ``share``; None where there is no number among them."""
        last = min(share, len(self._order)) - 1
        return None if last < 0 else self._sign * self._order[last][0]


def _discard(entries: list[tuple[float, int]], entry: tuple[float, int]) -> None:
    """Removes an entry if it is there; one that holds a NaN never is."""
    place = bisect_left(entries, entry)
    if place < len(entries) and entries[place] == entry:
        del entries[place]
