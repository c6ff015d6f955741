"""The percentile stopping rule, of which the median rule is the common case.

A trial is pruned when its best value so far is worse than a percentile of what the completed trials had at
the same step. The median form is the Median Automated Stopping Rule of Golovin et al., "Google Vizier: A
Service for Black-Box Optimization", KDD 2017, section 3.2.2; as in Optuna the others' value is the one *at*
the step, not their running average.
"""

from __future__ import annotations

import math
from array import array
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from orchestrator.pruning.base import Decision, Direction, Fold, Outcome
from orchestrator.pruning.progress import Progress, due


def interpolate(ordered: Sequence[float], fraction: float) -> float:
    """Returns the value at ``fraction`` (0 to 1) of the way through a sorted, non-empty sequence without NaN.

    Linear interpolation between the two nearest (definition 7 of Hyndman and Fan, "Sample Quantiles in
    Statistical Packages", 1996), in the order of operations of ``numpy.percentile``, because decisions are
    compared with numpy's to the last bit. Hence also its way with infinities: the difference of two equal
    ones is NaN, and so is the result.
    """
    last = len(ordered) - 1
    position = last * fraction
    if position >= last:
        low = high = ordered[last]
        weight = 1.0
    else:
        below = int(position)
        low, high = ordered[below], ordered[below + 1]
        weight = position - below
    difference = high - low
    if weight >= 0.5:
        return high - difference * (1 - weight)
    return low + difference * weight


@dataclass(slots=True)
class _Running(Progress):
    best: float = math.nan
    values: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Peers:
    """What completed trials reported at one step: the values in order, NaN only counted."""

    values: array[float] = field(default_factory=lambda: array("d"))
    nans: int = 0

    def add(self, value: float) -> None:
        if isnan(value):
            self.nans += 1
        else:
            insort(self.values, value)


class PercentileRule(Fold):
    """Keeps the trials whose best value so far is within the best ``percentile`` percent at their step.

    Args:
        direction: Which way is better.
        percentile: 0 to 100; 25 keeps the best quarter.
        n_startup_trials: No pruning before so many trials are complete.
        n_warmup_steps: No pruning before this step.
        interval_steps: A check every so many steps, counted from the warm-up's end.
        n_min_trials: No pruning at a step that fewer completed trials have reported; a NaN counts as a
            report.
    """

    name = "percentile"

    def __init__(
        self,
        direction: Direction,
        percentile: float,
        n_startup_trials: int = 5,
        n_warmup_steps: int = 0,
        interval_steps: int = 1,
        n_min_trials: int = 1,
    ) -> None:
        self._maximize = direction == "maximize"
        self._fraction = (100 - percentile if self._maximize else percentile) / 100
        self._n_completed = max(n_startup_trials, 1)
        self._n_warmup_steps = n_warmup_steps
        self._interval_steps = interval_steps
        self._n_min_trials = n_min_trials
        self._running: dict[int, _Running] = {}
        self._completed = 0
        self._peers: dict[int, _Peers] = {}

    def record(self, trial: int, step: int, value: float) -> None:
        running = self._running.get(trial)
        if running is None:
            running = self._running[trial] = _Running()
        running.add(step, value)
        running.values[step] = value
        best = running.best
        # A NaN value fails the comparison, so it can only ever stand where there was no number before.
        if isnan(best) or (value > best if self._maximize else value < best):
            running.best = value

    def judge(self, trial: int) -> Decision:
        running = self._running[trial]
        step, best = running.last, running.best
        if self._completed < self._n_completed or not due(running, self._n_warmup_steps, self._interval_steps):
            return Decision(False, self.name, step, best, None, 0)
        if isnan(best):
            return Decision(True, self.name, step, best, None, 0)
        peers = self._peers.get(step)
        if peers is None:
            return Decision(False, self.name, step, best, None, 0)
        count = len(peers.values)
        if count == 0 or count + peers.nans < self._n_min_trials:
            return Decision(False, self.name, step, best, None, count)
        threshold = interpolate(peers.values, self._fraction)
        if isnan(threshold):
            return Decision(False, self.name, step, best, None, count)
        worse = best < threshold if self._maximize else best > threshold
        return Decision(worse, self.name, step, best, threshold, count)

    def finish(self, trial: int, state: Outcome) -> None:
        running = self._running.pop(trial, None)
        if state != "COMPLETE":
            return
        self._completed += 1
        if running is None:
            return
        for step, value in running.values.items():
            if step < self._n_warmup_steps:
                continue  # never asked for
            peers = self._peers.get(step)
            if peers is None:
                peers = self._peers[step] = _Peers()
            peers.add(value)

    def restore(
        self, trial: int, values: Mapping[int, float], state: Outcome | None, attributes: Mapping[str, Any]
    ) -> None:
        if state is None or state == "COMPLETE":  # the others have no say any more
            super().restore(trial, values, state, attributes)


class MedianRule(PercentileRule):
    """The percentile rule at 50: better than half of the completed trials, or out."""

    name = "median"

    def __init__(
        self,
        direction: Direction,
        n_startup_trials: int = 5,
        n_warmup_steps: int = 0,
        interval_steps: int = 1,
        n_min_trials: int = 1,
    ) -> None:
        super().__init__(direction, 50.0, n_startup_trials, n_warmup_steps, interval_steps, n_min_trials)
