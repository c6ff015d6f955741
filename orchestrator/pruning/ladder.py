"""Rungs that trials climb and are compared on: what asha and Hyperband have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import insort
from collections.abc import Mapping
from typing import Any

from orchestrator.pruning.base import Decision, Direction, Fold, Outcome
from orchestrator.pruning.progress import Progress


def rung_key(rung: int) -> str:
    """The system attribute under which Optuna keeps a trial's value at a rung."""
    return f"completed_rung_{rung}"


class Ladder:
    """One race of asynchronous successive halving, in its stopping form.

    Rung k lies at step ``first * reduction_factor**k``. A trial that gets there enters its value for good,
    whatever becomes of the trial, and goes on only if the value is among the best ``1 / reduction_factor`` of
    all that were entered so far (Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys
    2020, algorithm 2, where trials are paused and promoted instead). Among fewer than ``reduction_factor``
    values only the best goes on.

    Args:
        direction: Which way is better.
        first: Step of rung 0.
        reduction_factor: Called eta in the paper.
        bootstrap_count: A rung lets nobody pass before it holds more values than this.
    """

    def __init__(self, direction: Direction, first: int, reduction_factor: int, bootstrap_count: int) -> None:
        self._maximize = direction == "maximize"
        self._first = first
        self._reduction_factor = reduction_factor
        self._bootstrap_count = bootstrap_count
        self._rungs: list[list[float]] = []

    def enter(self, rung: int, value: float) -> list[float]:
        """Enters a value and returns all values of the rung in order, this one included."""
        while len(self._rungs) <= rung:
            self._rungs.append([])
        values = self._rungs[rung]
        insort(values, value)
        return values

    def climb(self, rule: str, progress: Progress, reached: dict[str, float]) -> Decision:
        """Takes a trial up all the rungs that its last step has come to; it may be several after a gap.

        Args:
            rule: Name for the decision.
            progress: Where the trial stands.
            reached: Its values at the rungs so far, by attribute name; the new ones are added.
        """
        step, value = progress.last, progress.value
        threshold, peers = None, 0
        while step >= self._first * self._reduction_factor ** len(reached):
            if math.isnan(value):
                return Decision(True, rule, step, value, None, 0)
            rung = len(reached)
            reached[rung_key(rung)] = value
            values = self.enter(rung, value)
            peers = len(values)
            if peers <= self._bootstrap_count:
                return Decision(True, rule, step, value, None, peers)
            if peers == 1:
                threshold = None  # whoever comes first has nobody to be compared with
                continue
            threshold = self._cut(values)
            if value < threshold if self._maximize else value > threshold:
                return Decision(True, rule, step, value, threshold, peers)
        return Decision(False, rule, step, value, threshold, peers)

    def _cut(self, values: list[float]) -> float:
        """The worst value that still goes on."""
        winners = max(len(values) // self._reduction_factor, 1)
        return values[-winners] if self._maximize else values[winners - 1]


class Climbing(Fold):
    """A rule whose trials climb ladders; a subclass says which trial climbs which.

    A trial's rung values are its attributes ``completed_rung_K``, the ones Optuna's pruners read and write.
    They cannot be found again from the reports alone: the value entered is that of the report which reached
    the rung, and with a gap in the steps several rungs hold the same one.
    """

    def __init__(self) -> None:
        self._running: dict[int, Progress] = {}
        self._reached: dict[int, dict[str, float]] = {}
        self._longest = -1  # largest step of a completed trial

    @abstractmethod
    def _ladder(self, trial: int) -> Ladder | None:
        """The ladder of a trial; None while there is none yet."""

    def _settle(self) -> None:
        """Called before each decision: the moment to fix what is still open."""

    def record(self, trial: int, step: int, value: float) -> None:
        progress = self._running.get(trial)
        if progress is None:
            progress = self._running[trial] = Progress()
        progress.add(step, value)

    def judge(self, trial: int) -> Decision:
        self._settle()
        progress = self._running[trial]
        ladder = self._ladder(trial)
        if ladder is None:
            return Decision(False, self.name, progress.last, progress.value, None, 0)
        return ladder.climb(self.name, progress, self._reached.setdefault(trial, {}))

    def finish(self, trial: int, state: Outcome) -> None:
        progress = self._running.pop(trial, None)
        if state == "COMPLETE" and progress is not None:
            self._longest = max(self._longest, progress.last)

    def attributes(self, trial: int) -> dict[str, float]:
        return dict(self._reached.get(trial, ()))

    def adopt(self, trial: int, attributes: Mapping[str, Any]) -> None:
        reached: dict[str, float] = {}
        while (key := rung_key(len(reached))) in attributes:
            reached[key] = float(attributes[key])
        if reached:
            self._reached[trial] = reached
            self._enter_again(trial)

    def _enter_all_again(self) -> None:
        """Fills ladders that are newly put up with what trials brought along from before."""
        for trial in self._reached:
            self._enter_again(trial)

    def _enter_again(self, trial: int) -> None:
        ladder = self._ladder(trial)
        if ladder is not None:
            for rung, value in enumerate(self._reached[trial].values()):
                ladder.enter(rung, value)
