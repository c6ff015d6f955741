"""The number of sampled trials that wait for slots: as many as slots come free until the next trial can follow."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

WEIGHT = 0.2
"""Of the newest measurement in a running mean."""

MOST_AHEAD = 200
"""Each trial that waits was sampled knowing less."""

ROUNDS = 3
"""A trial that is taken is made up for in the round that hears of its start, which asks; in the one that takes in the
answer and sends the next one; and that one's start waits for the round before."""


LONGEST_ROUND = 1.0
"""Seconds. A round that takes longer waits for a server that is away, and says nothing about the next one."""


class SamplingPace:
    """Running means of one study: the time between two questions, of an answer, and of a round of the loop.

    A trial is asked for whenever one has started, so that the questions come as fast as the slots take trials. All
    times are seconds of a steady clock.
    """

    def __init__(self) -> None:
        self._asked_at: dict[int, float] = {}
        self._last_asked: float | None = None
        self._last_answered = -math.inf
        # When the first answer of the present round was taken in.
        self._in_round: float | None = None
        self._between = _Mean()
        self._takes = _Mean()
        self._round = _Mean()

    def asked(self, trials: list[int], at: float) -> None:
        """Notes that these trials were asked for."""
        self._asked_at |= dict.fromkeys(trials, at)
        if self._last_asked is not None:
            self._between.add(at - self._last_asked, len(trials))
        self._last_asked = at

    def answered(self, trial: int, at: float) -> None:
        """Notes the answer. What it waited for others is not the sampler's time for it."""
        asked = self._asked_at.pop(trial, None)
        if asked is not None:
            self._takes.add(at - max(asked, self._last_answered))
        self._last_answered = at
        if self._in_round is None:
            self._in_round = at

    def sent(self, at: float) -> None:
        """Notes that the round is over: trials whose answers it took in are in the queue."""
        if self._in_round is not None:
            self._round.add(min(at - self._in_round, LONGEST_ROUND))
            self._in_round = None

    def lookahead(self, slots: int, now: int) -> int:
        """Returns how many trials are to wait.

        As many are expected to be taken until one that was asked for can be taken itself, and a standard deviation
        more, as if they were taken at random times. Where slots wait for trials, they are taken as fast as they come,
        so that the number grows until slots or the sampler are busy; it shrinks by a quarter at least.

        Args:
            slots: Number of slots that take the study's trials, busy or not.
            now: The present number.
        """
        if slots < 2 or self._takes.value is None or self._between.value is None:
            return 1
        takes = self._takes.value
        # A sampler at its limit answers no faster for more questions.
        between = max(self._between.value, takes, 1e-6)
        expected = (takes + ROUNDS * (self._round.value or 0.0)) / between
        wanted = max(1, min(slots, MOST_AHEAD, math.ceil(expected + math.sqrt(expected) - 0.5)))
        return wanted if wanted == 1 or not now * 3 / 4 <= wanted <= now else now


class SamplingPaces(defaultdict[str, SamplingPace]):
    """The paces of all studies, by name."""

    def __init__(self) -> None:
        super().__init__(SamplingPace)

    def sent(self, studies: Iterable[str], at: float) -> None:
        """Notes that the round is over for these studies; see ``SamplingPace.sent``."""
        for study in studies:
            if study in self:
                self[study].sent(at)


class _Mean:
    """A running mean, to which each addition contributes by ``WEIGHT``; ``None`` before the first one."""

    def __init__(self) -> None:
        self._total = self._count = 0.0

    @property
    def value(self) -> float | None:
        return self._total / self._count if self._count else None

    def add(self, total: float, count: int = 1) -> None:
        """Takes in ``count`` measurements that sum up to ``total``."""
        self._total += WEIGHT * (total - self._total)
        self._count += WEIGHT * (count - self._count)
