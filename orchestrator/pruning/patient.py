"""Holds another rule back while a trial still gets better."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.pruning.base import Decision, Direction, Fold, Outcome


@dataclass(slots=True)
class _Running:
    """A trial's reports in the order of their steps: the last few, and the best of those before them."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    earlier: int = 0
    best_earlier: float = math.nan


class PatientRule(Fold):
    """Asks the rule inside only about trials that have stopped improving.

    That is: the best of the last ``patience + 1`` reports (by step) is worse than the best of those before
    them by more than ``min_delta``. NaN values are passed over; where all of either part are NaN the trial
    goes on. Without a rule inside such a trial is pruned. While it holds back, the decision is its own; once
    it asks, the decision is that of the rule inside, under that rule's name.

    The rule inside is told every report, but decides, and leaves traces such as asha's rung values, only when
    asked.

    Args:
        inside: The rule held back; None for plain early stopping.
        direction: Which way is better.
        patience: How many reports without improvement are forgiven.
        min_delta: How much worse still counts as no worse.
    """

    name = "patient"

    def __init__(self, inside: Fold | None, direction: Direction, patience: int, min_delta: float = 0.0) -> None:
        self._inside = inside
        self._maximize = direction == "maximize"
        self._window = patience + 1
        self._min_delta = min_delta
        self._running: dict[int, _Running] = {}

    def record(self, trial: int, step: int, value: float) -> None:
        running = self._running.setdefault(trial, _Running())
        place = bisect(running.steps, step)  # nearly always the end
        running.steps.insert(place, step)
        running.values.insert(place, value)
        if len(running.steps) > self._window:
            del running.steps[0]
            running.earlier += 1
            running.best_earlier = self._better(running.best_earlier, running.values.pop(0))
        if self._inside is not None:
            self._inside.record(trial, step, value)

    def judge(self, trial: int) -> Decision:
        running = self._running[trial]
        latest = math.nan
        for value in running.values:
            latest = self._better(latest, value)
        # NaN, and so never worse, while there are no earlier reports.
        threshold = running.best_earlier + (-self._min_delta if self._maximize else self._min_delta)
        worse = latest < threshold if self._maximize else latest > threshold
        if worse and self._inside is not None:
            return self._inside.judge(trial)
        known = None if math.isnan(threshold) else threshold
        return Decision(worse, self.name, running.steps[-1], latest, known, running.earlier)

    def _better(self, one: float, other: float) -> float:
        if math.isnan(one):
            return other
        if self._maximize:
            return other if other > one else one
        return other if other < one else one

    def result(self, trial: int, value: float) -> None:
        if self._inside is not None:
            self._inside.result(trial, value)

    def finish(self, trial: int, state: Outcome) -> None:
        self._running.pop(trial, None)
        if self._inside is not None:
            self._inside.finish(trial, state)

    def attributes(self, trial: int) -> dict[str, Any]:
        return {} if self._inside is None else self._inside.attributes(trial)

    def study_attributes(self) -> dict[str, Any]:
        return {} if self._inside is None else self._inside.study_attributes()

    def restore_study(self, attributes: Mapping[str, Any]) -> None:
        if self._inside is not None:
            self._inside.restore_study(attributes)

    def adopt(self, trial: int, attributes: Mapping[str, Any]) -> None:
        if self._inside is not None:
            self._inside.adopt(trial, attributes)
