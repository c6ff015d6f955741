"""The percentile stopping rule, and the median rule, its common case.

A trial is pruned when its best value so far is worse than a percentile of what the completed trials had at the same
step. The median form is the Median Automated Stopping Rule of Golovin et al., "Google Vizier: A Service for Black-Box
Optimization", KDD 2017, section 3.2.2; as in Optuna the others' value is the one *at* the step, not their running
average.
"""

from __future__ import annotations

import math
from array import array
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Annotated, Any, Literal

from pydantic import Field

from orchestrator.common.field_types import Count, CountOrZero
from orchestrator.common.formatting import count, number
from orchestrator.pruning.arguments import IntervalArguments, Search
from orchestrator.pruning.base import Decision, Direction, Outcome, Progress, RuleBase, due
from orchestrator.pruning.words import RuleWords


class MedianWords(RuleWords):
    """Compares with the median of the completed trials."""

    def against(self, decision: Decision) -> str:
        if decision.threshold is None:
            return "no value so far was a number"
        return f"best value so far {number(decision.value)}, {self._others(decision)}"

    def boundary(self, decision: Decision) -> str:
        return f"the median of {count(decision.peers, 'completed trial')}"

    def _others(self, decision: Decision) -> str:
        return f"{self.boundary(decision)} at epoch {decision.step} is {number(decision.threshold)}"


class PercentileWords(MedianWords):
    """Compares with a percentile of the completed trials."""

    def boundary(self, decision: Decision) -> str:
        return f"what {self._best(decision)} had"

    def _others(self, decision: Decision) -> str:
        return f"{self._best(decision)} had {number(decision.threshold)} or better at epoch {decision.step}"

    def _best(self, decision: Decision) -> str:
        percentile = self._table.get("percentile")
        part = "part" if percentile is None else f"{float(percentile):g} %"
        return f"the best {part} of {count(decision.peers, 'completed trial')}"


class _PeerArguments(IntervalArguments):
    """How many completed trials a trial is compared with.

    Attributes:
        n_startup_trials: No trial is stopped before so many trials are complete.
        n_min_trials: A step is not judged before so many completed trials have reported it; a NaN is a report.
    """

    n_startup_trials: CountOrZero = 5
    n_min_trials: Count = 1


class MedianArguments(_PeerArguments):
    """As ``optuna.pruners.MedianPruner``: stops a trial whose best value so far is worse than the others' median.

    Example:
        [pruner]
        name = "median"
        n_startup_trials = 2
        n_warmup_steps = 5
        interval_steps = 3
    """

    words = MedianWords

    name: Literal["median"] = "median"

    def build(self, search: Search) -> PercentileRule:
        return PercentileRule(self, 50.0, search.direction)


class PercentileArguments(_PeerArguments):
    """As ``optuna.pruners.PercentilePruner``: stops a trial that is not within the best percentage of the others.

    Attributes:
        percentile: Which part of the trials goes on, in percent: 25 keeps the best quarter.

    Example:
        [pruner]
        name = "percentile"
        percentile = 25.0
        n_warmup_steps = 5
    """

    words = PercentileWords

    name: Literal["percentile"] = "percentile"
    percentile: Annotated[float, Field(ge=0, le=100)]

    def build(self, search: Search) -> PercentileRule:
        return PercentileRule(self, self.percentile, search.direction)


def interpolate(ordered: Sequence[float], fraction: float) -> float:
    """Returns the value at ``fraction`` (0 to 1) of the way through a sorted, non-empty sequence without NaN.

    Linear interpolation between the two nearest (definition 7 of Hyndman and Fan, "Sample Quantiles in Statistical
    Packages", 1996), in the order of operations of ``numpy.percentile``, because decisions are compared with numpy's to
    the last bit. Hence also its way with infinities: the difference of two equal ones is NaN, and so is the result.
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
    """The reports of completed trials at one step: the values in order, NaN only counted."""

    values: array[float] = field(default_factory=lambda: array("d"))
    nans: int = 0

    def add(self, value: float) -> None:
        if isnan(value):
            self.nans += 1
        else:
            insort(self.values, value)


class PercentileRule(RuleBase):
    """Keeps the trials whose best value so far is within the best ``percentile`` percent at their step.

    Args:
        arguments: See ``MedianArguments`` and ``PercentileArguments``.
        percentile: 0 to 100; 25 keeps the best quarter.
        direction: Which way is better.
    """

    def __init__(self, arguments: _PeerArguments, percentile: float, direction: Direction) -> None:
        super().__init__(arguments.name)
        self._maximize = direction == "maximize"
        self._fraction = (100 - percentile if self._maximize else percentile) / 100
        self._n_completed = max(arguments.n_startup_trials, 1)
        self._n_warmup_steps = arguments.n_warmup_steps
        self._interval_steps = arguments.interval_steps
        self._n_min_trials = arguments.n_min_trials
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
        others = len(peers.values)
        if others == 0 or others + peers.nans < self._n_min_trials:
            return Decision(False, self.name, step, best, None, others)
        threshold = interpolate(peers.values, self._fraction)
        if isnan(threshold):
            return Decision(False, self.name, step, best, None, others)
        worse = best < threshold if self._maximize else best > threshold
        return Decision(worse, self.name, step, best, threshold, others)

    def finish(self, trial: int, state: Outcome) -> None:
        running = self._running.pop(trial, None)
        if state != "COMPLETE":
            return
        self._completed += 1
        if running is None:
            return
        for step, value in running.values.items():
            if step < self._n_warmup_steps:
                continue  # never compared with
            peers = self._peers.get(step)
            if peers is None:
                peers = self._peers[step] = _Peers()
            peers.add(value)

    def restore(
        self, trial: int, values: Mapping[int, float], state: Outcome | None, attributes: Mapping[str, Any]
    ) -> None:
        if state is None or state == "COMPLETE":  # other trials are compared with none
            super().restore(trial, values, state, attributes)
