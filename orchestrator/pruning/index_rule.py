"""The rule ``index``: trials go on in the order of what their next epochs are worth, as learned within the study."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from heapq import heappop, heappush
from typing import Any

from orchestrator.pruning.base import Decision, Direction, Outcome, RuleBase
from orchestrator.pruning.curve_book import CurveBook, Ranking
from orchestrator.pruning.expectations import EXPECTED
from orchestrator.pruning.pausing import PausingRule, Promotion

HEADED = "index:rung"
LEARNED = "index:learned"

_FIRST_STARTS = 4
"""So many trials start before one goes on, and two must have reported."""

_HEDGE = 3
"""Every third choice is the trial with the highest hope rather than the highest index: should the model be wrong about
the study's curves, it learns so."""

_HOPE = 0.5
"""Hope lies so many standard deviations above what is expected."""

_SHARE, _LEAD = 0.6, 20
"""New trials begin only while they have cost at most this share of the reports so far and of some beforehand: of a few,
and of one for each trial under way. At least, as many trials as are under way cost nothing: with many slots most have
begun before any has reported, and to fill the slots is no choice."""

_RANKED = 64
"""Paused trials of a rung that are put in order at once: of thousands few go on before the next fit."""

_LEAST_WORTH = math.log(0.1)
"""When no new trial will start, one goes on while its epochs are worth this part of a new trial's; a logarithm."""


class _LearningRule(RuleBase):
    """The common part of both modes: the curves, and the attributes that keep them.

    The coefficients of the last fit are an attribute of the study. A fit happens when a tenth more values at rungs have
    come, and the next one follows from the reports; so a rule that is rebuilt at any moment decides the same.
    """

    def __init__(self, name: str, direction: Direction, rungs: tuple[int, ...]) -> None:
        super().__init__(name)
        self.rungs = rungs
        self._book = CurveBook(direction, rungs)
        self._learned: tuple[int, dict[str, Any]] = (0, {})

    def record(self, trial: int, step: int, value: float) -> None:
        self._book.record(trial, step, value)

    def judge(self, trial: int) -> Decision:
        self._book.learn()
        news = self._book.note_expected(trial)
        return self._decide(trial, news)

    @abstractmethod
    def _decide(self, trial: int, news: bool) -> Decision:
        """Decides on a trial; ``news`` is whether it has reached a rung with this report."""

    def finish(self, trial: int, state: Outcome) -> None:
        self._book.close(trial, complete=state == "COMPLETE")

    def attributes(self, trial: int) -> dict[str, Any]:
        return {EXPECTED: expected} if (expected := self._book.expected(trial)) else {}

    def adopt(self, trial: int, attributes: Mapping[str, Any]) -> None:
        self._book.take_back_expected(trial, attributes)

    def study_attributes(self) -> dict[str, Any]:
        learned = self._book.coefficients
        if learned is not None and self._learned[0] != self._book.generation:
            self._learned = self._book.generation, {LEARNED: learned.to_json()}
        return self._learned[1]

    def restore_study(self, attributes: Mapping[str, Any]) -> None:
        self._book.take_back(attributes.get(LEARNED))

    def _stands(self, trial: int, *, prune: bool) -> Decision:
        """Returns the decision at the trial's last rung: its value there, the best value so far, and how many values at
        rungs the expectation was learned from."""
        book = self._book
        rung = book.level(trial)
        best = None if math.isinf(book.best) else book.sign * book.best
        arrivals = 0 if book.coefficients is None else book.coefficients.arrivals
        return Decision(prune, self.name, self.rungs[max(rung, 0)], book.sign * book.value(trial, rung), best, arrivals)


class IndexStoppingRule(_LearningRule):
    """Stops a trial at a rung where its rest is worth less than a new trial.

    A trial whose value there is no number is stopped. A trial that may still become the best goes on.

    Args:
        name: The rule's name, for its decisions.
        direction: Which way is better.
        rungs: Their steps; the last one is that of a full trial.
    """

    def _decide(self, trial: int, news: bool) -> Decision:
        book = self._book
        rung = book.level(trial)
        if not news or rung == len(self.rungs) - 1:
            return Decision(False, self.name, book.last_step(trial), book.sign * book.last_value(trial), None, 0)
        end = book.expect(trial, rung)
        if math.isnan(end):
            return Decision(True, self.name, self.rungs[rung], math.nan, None, 0)
        enough = book.firsts >= _FIRST_STARTS
        hopeless = end + _HOPE * book.spread(rung) <= book.best
        prune = enough and hopeless and book.index(rung, end, book.best) < book.index_of_new(book.best)
        return self._stands(trial, prune=prune)


class IndexRule(_LearningRule, PausingRule):
    """Trials pause at fine rungs; the one whose next epochs are worth the most goes on, or a new one starts.

    The price of an epoch at which going on is worth nothing is a trial's index (see ``WorthTable``); the trial with the
    highest one goes on, unless a new trial has a higher one. A trial whose value at its rung is no number never does.

    Once no new trial will start, a trial still goes on if its epochs are worth a tenth of what a new one's would be.
    Besides, the one that is expected to end best is trained to its end, so that a study does not end on a promise.

    Args:
        name: The rule's name, for its decisions.
        direction: Which way is better.
        rungs: Their steps; in the last slice a trial runs to its end.
    """

    def __init__(self, name: str, direction: Direction, rungs: tuple[int, ...]) -> None:
        super().__init__(name, direction, rungs)
        self._headed: dict[int, int] = {}  # of every trial that has started
        self._choices = 0  # rungs that trials were headed for, all together
        self._paused: set[int] = set()
        self._on_rung = [0] * len(rungs)
        self._running: set[int] = set()
        self._finals: list[float] = []
        self._more = True
        # Of each rung the paused trials there that are expected to end best, as heaps. Some have left since.
        self._rankings: list[Ranking] = [Ranking([], math.inf) for _ in rungs]
        self._current: dict[int, tuple[float, int]] = {}  # of a trial in a heap its entry's value, and the rung
        self._generation = 0

    def start(self, trial: int) -> None:
        if trial not in self._headed:
            self._headed[trial] = 0
            self._choices += 1
            self._running.add(trial)

    def take_back(self, trial: int) -> None:
        if self._headed.pop(trial, None) is not None:
            self._choices -= 1
            self._running.discard(trial)

    def expect_new(self, more: bool) -> None:
        self._more = more

    def until(self, trial: int) -> int | None:
        headed = self._headed.get(trial, 0)
        return self.rungs[headed] if headed < len(self.rungs) - 1 else None

    def beyond(self, trial: int) -> int | None:
        headed = self._headed.get(trial, 0)
        return self.rungs[headed + 1] if headed < len(self.rungs) - 1 else None

    def record(self, trial: int, step: int, value: float) -> None:
        self.start(trial)
        super().record(trial, step, value)
        if trial in self._paused:
            self._push(trial)

    def _decide(self, trial: int, news: bool) -> Decision:  # noqa: ARG002
        book = self._book
        return Decision(False, self.name, book.last_step(trial), book.sign * book.last_value(trial), None, 0)

    def pause(self, trial: int) -> None:
        if trial in self._paused or (trial in self._headed and trial not in self._running):
            return
        self.start(trial)
        if self.until(trial) is None:
            raise ValueError(f"trial {trial} is in its last slice and runs to its end")
        self._running.discard(trial)
        self._paused.add(trial)
        self._on_rung[self._headed[trial]] += 1
        self._push(trial)

    def paused(self) -> list[int]:
        return sorted(self._paused)

    def next_up(self) -> int | None:
        return self._next()

    def on_rung(self) -> list[int]:
        return self._on_rung

    def first_in_line(self) -> list[int | None]:
        first: list[int | None] = [None] * len(self.rungs)
        for trial, _, rung in self._leaders():
            first[rung] = trial
        return first

    def promote(self) -> Promotion | None:
        trial = self._next()
        if trial is None:
            return None
        decision = self._stands(trial, prune=False)
        self._leave_rung(trial)
        self._running.add(trial)
        self._head(trial, max(self._headed[trial], self._book.level(trial)) + 1)
        return Promotion(trial, self._headed[trial], decision)

    def standing(self, trial: int) -> Decision:
        return self._stands(trial, prune=True)

    def held(self) -> list[tuple[int, int]]:
        return self._book.held()

    def finish(self, trial: int, state: Outcome) -> None:
        self.start(trial)
        self._leave_rung(trial)
        self._running.discard(trial)
        if state == "COMPLETE" and not math.isnan(final := self._book.last_value(trial)):
            self._finals.append(final)
        super().finish(trial, state)

    def attributes(self, trial: int) -> dict[str, Any]:
        headed = self._headed.get(trial, 0)
        return super().attributes(trial) | ({HEADED: headed} if headed else {})

    def adopt(self, trial: int, attributes: Mapping[str, Any]) -> None:
        super().adopt(trial, attributes)
        headed = attributes.get(HEADED)
        if isinstance(headed, int) and headed > 0:
            self.start(trial)
            self._head(trial, min(headed, len(self.rungs) - 1))

    def _leave_rung(self, trial: int) -> None:
        if trial in self._paused:
            self._paused.remove(trial)
            self._on_rung[self._headed[trial]] -= 1
            self._current.pop(trial, None)

    def _head(self, trial: int, rung: int) -> None:
        self._choices += rung - self._headed[trial]
        self._headed[trial] = rung

    def _push(self, trial: int) -> None:
        rung = self._book.level(trial)
        end = self._book.expect(trial, rung)
        self._current.pop(trial, None)
        if rung < len(self.rungs) - 1 and not math.isnan(end):
            heappush(self._rankings[rung].best, (-end, trial))
            self._current[trial] = -end, rung

    def _leaders(self) -> list[tuple[int, float, int]]:
        """Returns (trial, expected value, rung) of the most promising paused trial of each rung.

        Within a rung the index grows with the expected value, so none but these can have the highest.
        """
        used_up = [self._is_used_up(rung) for rung in range(len(self.rungs))]
        if self._generation != self._book.generation or any(used_up):
            self._generation = self._book.generation
            # Lists in order are heaps. Trials at the last rung run to their end.
            self._rankings = [*self._book.ranked(self._paused, _RANKED)[:-1], Ranking([], math.inf)]
            ranked = enumerate(self._rankings)
            self._current = {trial: (end, rung) for rung, (best, _) in ranked for end, trial in best}
        found = []
        for rung, (heap, _) in enumerate(self._rankings):
            if heap:
                found.append((heap[0][1], -heap[0][0], rung))
        return found

    def _is_used_up(self, rung: int) -> bool:
        """Whether a trial that was left out of a ranking may be the best of those that are still there."""
        heap, bound = self._rankings[rung]
        self._drop_stale(heap, rung)
        return not math.isinf(bound) and (not heap or heap[0][0] > bound)

    def _drop_stale(self, heap: list[tuple[float, int]], rung: int) -> None:
        while heap and self._current.get(heap[0][1]) != (heap[0][0], rung):
            heappop(heap)

    def _next(self) -> int | None:
        """Returns the paused trial that goes on now; None where a new one is worth more."""
        leaders, book = self._leaders(), self._book
        if not leaders:
            return None
        started = len(self._headed)
        if self._more and (started < _FIRST_STARTS or book.firsts < 2):
            return None
        if self._more and (self._choices + 1) % _HEDGE == 0:
            hope, low = max((end + _HOPE * book.spread(rung), -trial) for trial, end, rung in leaders)
            if hope > book.best:
                return -low
        index, low = max((book.index(rung, end, book.best), -trial) for trial, end, rung in leaders)
        running = len(self._running)
        ahead = max(_LEAD + running, running / _SHARE)
        if self._more and started * self.rungs[0] > _SHARE * (book.reports + ahead * self.rungs[0]):
            return -low
        if index > book.index_of_new(book.best) + (0 if self._more else _LEAST_WORTH):
            return -low
        return None if self._more else self._best_promise(leaders)

    def _best_promise(self, leaders: list[tuple[int, float, int]]) -> int | None:
        """Returns the paused trial with the best expected end, if that beats all ended and running trials, too."""
        end, low = max((end, -trial) for trial, end, _ in leaders)
        running = (self._book.expect(trial, self._book.level(trial)) for trial in self._running)
        others = max((each for each in [*self._finals, *running] if not math.isnan(each)), default=-math.inf)
        return -low if end > others else None
