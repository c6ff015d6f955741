"""A model of how learning curves go on, learned within one study: increments from rung to rung, chained to the end.

Values are signed: more is better. A trial reaches rung k with the value ``x[k]``. The increment to the next rung is
regressed on ``(1, x[k] - x[k - 1], x[k] - mean of x[k])``, by ridge regression towards a prior: at the first rung that
is a scale of the study, at a later one what the rung before it has learned. The chained regressions predict the end,
and the rung beyond the furthest that any trial has reached: the next one that a decision can learn from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Weights = tuple[float, float, float]
_Step = tuple[float, float, float, float, float]
_AS_IT_STANDS: Weights = (0.0, 1.0, 0.0)

MOST = 500
"""Trials of each rung from which a fit learns, those with the highest numbers: three coefficients need no more, and a
fit is made between two events."""

_PSEUDO = 5.0  # observations that a prior counts for
_LEARNED = 3.0  # coefficients of a rung: they are known the less surely, the fewer observations there are
_SLOPE_SCALE, _PLACE_SCALE = 0.15, 0.5  # of the features, in scales of the study
_DRIFT, _SLOPE = 0.05, 0.5  # prior of the first rung: increment in scales of the study, and part of the last increment
_NOISE = 0.15  # prior of the first rung: standard deviation of an increment, in scales of the study
_SMALLEST = 1e-100  # scale of a study; squares of smaller ones are 0
_KEEP_DRIFT, _KEEP_SLOPE, _KEEP_PLACE, _KEEP_NOISE = 0.4, 0.5, 0.6, 0.9  # what the next rung expects of a rung's


class Coefficients(msgspec.Struct, frozen=True):
    """The coefficients of a fit: all that has to be stored to predict alike.

    Attributes:
        arrivals: How many values at rungs the fit has seen.
        floor: A value below it counts as it.
        weights: Of each rung ``(w0, w1, w2)``: the end is expected at ``w0 + w1 * x[k] + w2 * x[k - 1]``.
        spreads: Of each rung: standard deviation of that expectation; 0 at the last.
        near_weights, near_spreads: The same of the value at the rung beyond the furthest one reached, up to that rung;
            none as an earlier version stored it.
    """

    arrivals: int
    floor: float
    weights: tuple[Weights, ...]
    spreads: tuple[float, ...]
    near_weights: tuple[Weights, ...] = ()
    near_spreads: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Returns plain JSON; ``from_json`` gives the same numbers back."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Coefficients:
        """Takes back ``to_json``.

        Raises:
            msgspec.ValidationError: it is something else.
        """
        return msgspec.convert(plain, cls)

    def expect_end(self, rung: int, value: float, before: float) -> float:
        """Returns the expected end of a trial.

        Args:
            rung: The last one it has reached.
            value: Its value there.
            before: Its value at the rung before; the same value at the first one.
        """
        w0, w1, w2 = self.weights[rung]
        return w0 + w1 * value + w2 * before

    def expect(self, rung: int, value: float, before: float) -> float:
        """Returns what a trial is expected to have at the rung beyond the furthest; values below the floor count as it.

        Arguments as of ``expect_end``.
        """
        w0, w1, w2 = self._near(rung)
        return w0 + w1 * max(value, self.floor) + w2 * max(before, self.floor)

    def expect_all(self, rung: int, values: Floats, before: Floats) -> Floats:
        """Returns what ``expect`` does for each value; NaN for NaN."""
        w0, w1, w2 = self._near(rung)
        # The same operations in the same order: the digits are those of expect.
        return w0 + w1 * np.maximum(values, self.floor) + w2 * np.maximum(before, self.floor)

    def spread(self, rung: int) -> float:
        """Returns the standard deviation of what ``expect`` returns."""
        return self.near_spreads[rung] if rung < len(self.near_spreads) else 0.0

    def _near(self, rung: int) -> Weights:
        # A trial may have gone further since the fit: it has what it has.
        return self.near_weights[rung] if rung < len(self.near_weights) else _AS_IT_STANDS


def fit(values: Floats, latest: Floats, best: float) -> Coefficients:
    """Learns the increments.

    Args:
        values: (rungs, trials), NaN where a trial has not reached a rung. Trials in the order of their numbers: sums
            depend on it in their last digits.
        latest: Each trial's latest report, NaN where it is none.
        best: The largest of ``values``.
    """
    known = latest[~np.isnan(latest)][-MOST:]
    middle = float(np.median(known)) if len(known) else best
    scale = best - middle
    if not scale > 0:
        scale = 0.1 * abs(best)
    scale = max(scale, _SMALLEST)
    floor = middle - scale
    # Values of 1e100 may lead beyond all numbers; what comes of that is seen at the end of the chain.
    with np.errstate(over="ignore", invalid="ignore"):
        steps = _regressions(values, floor, scale)
    reached = ~np.isnan(values)
    furthest = int(np.flatnonzero(reached.any(axis=1)).max(initial=0))
    ends, near = _chain(steps, scale), _chain(steps[: furthest + 1], scale)
    return Coefficients(int(reached.sum()), floor, *ends, *near)


def _chain(steps: list[_Step], scale: float) -> tuple[tuple[Weights, ...], tuple[float, ...]]:
    """Returns the weights and spreads, by rung, of what is expected after the last of the steps."""
    weights, variances = [_AS_IT_STANDS], [0.0]
    for drift, inertia, place, mean, spread in reversed(steps):
        w0, w1, w2 = weights[-1]
        weights.append((w0 + w1 * (drift - place * mean), w1 * (1 + inertia + place) + w2, -w1 * inertia))
        step = w1 * spread
        variances.append(variances[-1] + step * step)  # a power would raise where a product is infinite
    spreads = tuple(math.sqrt(each) for each in reversed(variances))
    if not (np.isfinite(weights).all() and np.isfinite(spreads).all()):
        # Increments that grow from rung to rung beyond all numbers: expect that a trial ends as it stands.
        return (_AS_IT_STANDS,) * len(weights), (scale,) * len(steps) + (0.0,)
    return tuple(reversed(weights)), spreads


def _regressions(values: Floats, floor: float, scale: float) -> list[_Step]:
    """Returns (drift, inertia, place, mean value, standard deviation) of each rung but the last; that of an increment
    which is still to come, so that it grows with how little the coefficients are known.

    All rungs at once: of many rungs with few trials each, numpy's calls would take longer than the sums.
    """
    reached = ~np.isnan(values)
    last = len(values) - 1
    of_rung = [np.flatnonzero(reached[rung] & reached[rung + 1])[-MOST:] for rung in range(last)]
    counts = np.array([len(each) for each in of_rung])
    rungs, trials = np.repeat(np.arange(last), counts), np.concatenate(of_rung)
    here, following, before = (np.maximum(values[rungs + step, trials], floor) for step in (0, 1, -1))
    increments = following - here
    slope = np.where((rungs == 0) | np.isnan(before), 0.0, here - before)
    means = _sums(here, counts) / np.maximum(counts, 1)
    for rung in np.flatnonzero((counts == 0) & reached[:-1].any(axis=1)):
        means[rung] = np.maximum(values[rung, reached[rung]], floor).mean()
    features = np.stack([np.ones(len(here)), slope, here - means[rungs]])
    penalty = np.diag(_PSEUDO * np.array([1.0, (_SLOPE_SCALE * scale) ** 2, (_PLACE_SCALE * scale) ** 2]))
    normal = _sums(features[:, None] * features, counts).T + penalty
    right = _sums(features * increments, counts).T[..., None]
    # The prior of a rung follows from what the one before has learned: what does not is solved before.
    solved = np.linalg.solve(normal, np.concatenate([right, np.broadcast_to(penalty, normal.shape)], axis=2))
    prior = _DRIFT * scale, _SLOPE, 0.0
    found = []
    for rows in solved.tolist():
        drift, inertia, place = (own + a * prior[0] + b * prior[1] + c * prior[2] for own, a, b, c in rows)
        found.append((drift, inertia, place))
        prior = _KEEP_DRIFT * drift, _SLOPE * _KEEP_SLOPE + _KEEP_SLOPE * inertia, _KEEP_PLACE * place
    residuals = increments - np.einsum("in,in->n", np.array(found).T[:, rungs], features)
    noise = _NOISE * scale
    spreads = []
    for squares, count in zip(_sums(residuals**2, counts).tolist(), counts.tolist(), strict=True):
        noise = math.sqrt((squares + _PSEUDO * noise * noise) / (count + _PSEUDO))
        spreads.append(noise * math.sqrt(1 + _LEARNED / (count + _PSEUDO)))
        noise *= _KEEP_NOISE
    return [(*each, mean, spread) for each, mean, spread in zip(found, means.tolist(), spreads, strict=True)]


def _sums(terms: Floats, counts: NDArray[np.intp]) -> Floats:
    """Returns the sums of so many terms each, one after the other along the last axis; 0 of none.

    numpy adds them in one order; a BLAS may take another one on another machine.
    """
    sums = np.zeros((*terms.shape[:-1], len(counts)))
    some = counts > 0
    if some.any():
        sums[..., some] = np.add.reduceat(terms, (np.cumsum(counts) - counts)[some], axis=-1)
    return sums
