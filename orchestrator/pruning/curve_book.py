"""The learning curves of a study at their rungs: values, the best of them, and how each is expected to end."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right, insort
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from orchestrator.pruning.base import Direction
from orchestrator.pruning.curve_model import Coefficients, Floats, fit
from orchestrator.pruning.expectations import Expectation, read
from orchestrator.pruning.worth_table import WorthTable

_LARGEST = 1e100  # squares of larger values overflow
_GROWTH = 1.1


@dataclass(slots=True)
class Curve:
    """One trial's reports, in the order of their steps, and its value at each rung it has reached.

    Attributes:
        at: Signed value at each rung; NaN where it is no number.
        expected: How its end was expected at each rung when it came there.
        noted: Of how many rungs that is settled.
    """

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    expected: list[Expectation] = field(default_factory=list)
    noted: int = 0


class Ranking(NamedTuple):
    """The most promising trials of a rung.

    Attributes:
        best: (minus the expected value, trial), in order.
        bound: All trials that are left out have a larger minus expected value; ``inf`` where none is.
    """

    best: list[tuple[float, int]]
    bound: float


class CurveBook:
    """Takes in reports, and learns from them each time that a tenth more values at rungs have come.

    A trial's value at rung k is the mean of the later half of its reports since the rung before, which is less noisy
    than the last one; where there is no such report, it is the first one beyond. All values are signed: more is better.

    Args:
        direction: Which way is better.
        rungs: Their steps.

    Attributes:
        reports: How many have come.
        best: The largest value at a rung so far; ``-inf`` where there is none.
        generation: Changes with every fit.
    """

    def __init__(self, direction: Direction, rungs: tuple[int, ...]) -> None:
        self.sign = 1.0 if direction == "maximize" else -1.0
        self.rungs = rungs
        self.reports = 0
        self.best = -math.inf
        self.generation = 0
        self.curves: dict[int, Curve] = {}
        self.coefficients: Coefficients | None = None
        self._arrivals = 0
        # By rung and number of the trial; and by number the latest report, and the index of the last rung.
        self._table: Floats = np.full((len(rungs), 64), np.nan)
        self._latest: Floats = np.full(64, np.nan)
        self._levels: NDArray[np.intp] = np.full(64, -1)
        self._first = array("d")  # sorted; an array, since numpy copies it as a block
        self._first_changes = 0
        self._worth: WorthTable | None = None
        self._of_new: tuple[tuple[int, int, float], float] | None = None

    def record(self, trial: int, step: int, value: float) -> None:
        """Takes in one report."""
        curve = self.curves.get(trial) or self._add(trial)
        signed = max(self.sign * value, -_LARGEST)
        if not signed <= _LARGEST:
            signed = math.nan
        self.reports += 1
        late = bool(curve.steps) and step < curve.steps[-1]
        place = bisect_left(curve.steps, step) if late else len(curve.steps)
        curve.steps.insert(place, step)
        curve.values.insert(place, signed)
        if not late:
            self._latest[trial] = signed
        before = len(curve.at)
        while len(curve.at) < len(self.rungs) and curve.steps[-1] >= self.rungs[len(curve.at)]:
            self._enter(trial, curve, len(curve.at))
        if late:
            for rung in range(before):
                self._enter(trial, curve, rung)

    def close(self, trial: int, *, complete: bool) -> None:
        """Forgets the reports of a trial that has ended, but not its values at rungs.

        One that is complete without a report at the last step has reached the last rung all the same, if it has passed
        all others: objectives count their steps from 0 or from 1.
        """
        if (curve := self.curves.get(trial)) is not None:
            if complete and len(curve.at) == len(self.rungs) - 1:
                self._enter(trial, curve, len(curve.at))
                curve.noted = len(curve.at)
            curve.steps, curve.values = [], []

    def learn(self) -> None:
        """Fits anew if a tenth more values have come since the last fit."""
        if self._arrivals and self._arrivals >= _GROWTH * self._fitted_at + 1:
            self._use(fit(self._table, self._latest, self.best))

    def note_expected(self, trial: int) -> bool:
        """Keeps what the trial's end is expected to be now at the rungs that it has newly reached; returns whether
        there are such."""
        curve = self.curves[trial]
        news = curve.noted < len(curve.at)
        for rung in range(curve.noted, len(curve.at)):
            # A person is told of the end, and what follows from this value: to the rule, all below the floor are one.
            known = self._known(trial, rung)
            if self.coefficients is None or known is None:
                continue
            end = self.sign * self.coefficients.expect_end(rung, *known)
            if math.isfinite(end):
                following = self.rungs[min(rung + 1, len(self.rungs) - 1)]
                spread = self.coefficients.spreads[rung]
                curve.expected.append(Expectation(self.rungs[rung], following, end, spread))
        curve.noted = len(curve.at)
        return news

    def expected(self, trial: int) -> list[list[float]]:
        """Returns what was kept, as plain JSON."""
        curve = self.curves.get(trial)
        return [] if curve is None else [[*msgspec.structs.astuple(each)] for each in curve.expected]

    def take_back_expected(self, trial: int, attributes: Mapping[str, Any]) -> None:
        """Takes back what was kept of a trial whose reports are recorded again."""
        if (curve := self.curves.get(trial)) is not None:
            curve.expected, curve.noted = read(attributes), len(curve.at)

    def take_back(self, plain: Any) -> None:
        """Takes back the coefficients of the last fit, as they were stored; not those of other rungs."""
        try:
            found = Coefficients.from_json(plain)
        except msgspec.ValidationError:
            return
        if not found.near_spreads:
            found = msgspec.structs.replace(found, near_weights=found.weights, near_spreads=found.spreads)
        near = len(found.near_weights)
        if len(found.weights) == len(found.spreads) == len(self.rungs) >= near == len(found.near_spreads) > 1:
            self._use(found)

    def held(self) -> list[tuple[int, int]]:
        """Returns, for each rung, its step and how many trials have reached it with a number."""
        reached = (~np.isnan(self._table)).sum(axis=1).tolist()
        return list(zip(self.rungs, reached, strict=True))

    def last_step(self, trial: int) -> int:
        """Returns the largest step that a running trial has reported."""
        return self.curves[trial].steps[-1]

    def last_value(self, trial: int) -> float:
        """Returns the signed value at the largest step of a trial; NaN where there is none."""
        return float(self._latest[trial]) if trial in self.curves else math.nan

    def level(self, trial: int) -> int:
        """Returns the index of the last rung that the trial has reached; -1: none."""
        curve = self.curves.get(trial)
        return -1 if curve is None else len(curve.at) - 1

    def value(self, trial: int, rung: int) -> float:
        """Returns the trial's signed value at a rung; NaN where it has none."""
        curve = self.curves.get(trial)
        return curve.at[rung] if curve is not None and 0 <= rung < len(curve.at) else math.nan

    def expect(self, trial: int, rung: int) -> float:
        """Returns the signed value that is expected of a trial, from a rung that it has reached, at the rung beyond the
        furthest that any trial has reached; NaN where its value there is none, or nothing is learned yet."""
        known = self._known(trial, rung)
        return math.nan if self.coefficients is None or known is None else self.coefficients.expect(rung, *known)

    def _known(self, trial: int, rung: int) -> tuple[float, float] | None:
        """Returns the trial's value at a rung, and that at the rung before; None where there is none."""
        here = self.value(trial, rung)
        before = self.value(trial, rung - 1) if rung else here
        return None if math.isnan(here) else (here, here if math.isnan(before) else before)

    def ranked(self, trials: Collection[int], most: int) -> list[Ranking]:
        """Returns the most promising trials of each rung, which is the last one that they have reached: the values are
        those of ``expect``, computed for all trials at once.

        Args:
            trials: Their numbers.
            most: Number of trials of a rung that is enough.
        """
        found = [Ranking([], math.inf) for _ in self.rungs]
        if self.coefficients is None:
            return found
        known = np.fromiter(trials, np.intp, len(trials))
        known = known[known < len(self._levels)]
        levels = self._levels[known]
        for rung in range(len(self.rungs)):
            numbers = known[levels == rung]
            here = self._table[rung, numbers]
            before = self._table[rung - 1, numbers] if rung else here
            ends = -self.coefficients.expect_all(rung, here, np.where(np.isnan(before), here, before))
            numbers, ends, bound = numbers[~np.isnan(ends)], ends[~np.isnan(ends)], math.inf
            if len(ends) > most:
                bound = float(np.partition(ends, most - 1)[most - 1])
                numbers, ends = numbers[ends <= bound], ends[ends <= bound]
            order = np.lexsort((numbers, ends))
            found[rung] = Ranking(list(zip(ends[order].tolist(), numbers[order].tolist(), strict=True)), bound)
        return found

    def spread(self, rung: int) -> float:
        """Returns the standard deviation of what ``expect`` returns."""
        return math.nan if self.coefficients is None else self.coefficients.spread(rung)

    def index(self, rung: int, expected: float, best: float) -> float:
        """Returns the index of a trial with this expected value, against a best value; ``-inf`` before a fit."""
        return (
            -math.inf if self.coefficients is None else self._worth_now(self.coefficients).index(rung, expected - best)
        )

    def index_of_new(self, best: float) -> float:
        """Returns the index of a trial that has not begun; ``inf`` as long as two have not reached a rung."""
        if self.coefficients is None or len(self._first) < 2:
            return math.inf
        key = self.generation, self._first_changes, best
        if self._of_new is None or self._of_new[0] != key:
            w0, w1, w2 = self.coefficients.near_weights[0]
            first = np.sort(w0 + (w1 + w2) * np.maximum(np.array(self._first), self.coefficients.floor))
            self._of_new = key, self._worth_now(self.coefficients).index_of_new(first, best)
        return self._of_new[1]

    @property
    def firsts(self) -> int:
        """The number of trials that have a value at the first rung."""
        return len(self._first)

    @property
    def _fitted_at(self) -> int:
        return 0 if self.coefficients is None else self.coefficients.arrivals

    def _use(self, coefficients: Coefficients) -> None:
        self.coefficients = coefficients
        self._worth = None
        self.generation += 1

    def _worth_now(self, coefficients: Coefficients) -> WorthTable:
        # When it is needed: it takes longer than a fit, and of many fits no index is asked for.
        if self._worth is None:
            spreads = coefficients.near_spreads
            self._worth = WorthTable(spreads, self.rungs[: len(spreads)])
        return self._worth

    def _add(self, trial: int) -> Curve:
        if trial >= (size := len(self._latest)):
            more = max(size, trial + 1 - size)
            self._table = np.pad(self._table, ((0, 0), (0, more)), constant_values=np.nan)
            self._latest = np.pad(self._latest, (0, more), constant_values=np.nan)
            self._levels = np.pad(self._levels, (0, more), constant_values=-1)
        curve = self.curves[trial] = Curve()
        return curve

    def _enter(self, trial: int, curve: Curve, rung: int) -> None:
        """Makes the trial's value at a rung what its reports say."""
        since = bisect_right(curve.steps, self.rungs[rung - 1]) if rung else 0
        until = bisect_right(curve.steps, self.rungs[rung])
        # There is a report beyond, unless the trial was complete right at the rung before.
        part = curve.values[since:until][(until - since) // 2 :] or curve.values[until : until + 1] or curve.values[-1:]
        value = sum(part) / len(part)
        if rung < len(curve.at):
            before, curve.at[rung] = curve.at[rung], value
        else:
            before = math.nan
            curve.at.append(value)
            self._levels[trial] = rung
        self._table[rung, trial] = value
        self._arrivals += math.isnan(before) - math.isnan(value)
        if rung == 0:
            self._first_changes += 1
            if not math.isnan(before):
                self._first.remove(before)
            if not math.isnan(value):
                insort(self._first, value)
        if value > self.best:
            self.best = value
        elif before == self.best:
            self.best = float(np.nanmax(self._table, initial=-math.inf))
