"""A model of how learning curves go on, learned within one study: increments from rung to rung, chained to the end.

Values are signed: more is better. A trial reaches rung k with the value ``x[k]``. The increment to the next rung is
regressed on ``(1, x[k] - x[k - 1], x[k] - mean of x[k])``, by ridge regression towards a prior: at the first rung that
is a scale of the study, at a later one what the rung before it has learned. The chained regressions predict the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PSEUDO = 5.0  # observations that a prior counts for
_SLOPE_SCALE, _PLACE_SCALE = 0.15, 0.5  # of the features, in scales of the study
_DRIFT, _SLOPE = 0.05, 0.5  # prior of the first rung: increment in scales of the study, and part of the last increment
_NOISE = 0.15  # prior of the first rung: standard deviation of an increment, in scales of the study
_SMALLEST = 1e-100  # scale of a study; squares of smaller ones are 0
_KEEP_DRIFT, _KEEP_SLOPE, _KEEP_PLACE, _KEEP_NOISE = 0.4, 0.5, 0.6, 0.9  # what the next rung expects of a rung's


class Coefficients(msgspec.Struct, frozen=True):
    """What a fit has learned. It is all that has to be stored to predict alike.

    Attributes:
        arrivals: How many values at rungs the fit has seen.
        floor: A value below it counts as it.
        weights: Of each rung ``(w0, w1, w2)``: the end is expected at ``w0 + w1 * x[k] + w2 * x[k - 1]``.
        spreads: Of each rung: standard deviation of that expectation; 0 at the last.
    """

    arrivals: int
    floor: float
    weights: tuple[tuple[float, float, float], ...]
    spreads: tuple[float, ...]

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

    def expect(self, rung: int, value: float, before: float, *, floor: bool = True) -> float:
        """Returns the expected end of a trial.

        Args:
            rung: The last one it has reached.
            value: Its value there.
            before: Its value at the rung before; the same value at the first one.
            floor: Whether values below the floor count as it.
        """
        w0, w1, w2 = self.weights[rung]
        least = self.floor if floor else -math.inf
        return w0 + w1 * max(value, least) + w2 * max(before, least)

    def expect_all(self, rung: int, values: Floats, before: Floats) -> Floats:
        """Returns what ``expect`` does for each value; NaN for NaN."""
        w0, w1, w2 = self.weights[rung]
        # The same operations in the same order: the digits are those of expect.
        return w0 + w1 * np.maximum(values, self.floor) + w2 * np.maximum(before, self.floor)


def fit(values: Floats, latest: Floats, best: float) -> Coefficients:
    """Learns the increments.

    Args:
        values: (trials, rungs), NaN where a trial has not reached a rung. Trials in the order of their numbers: sums
            depend on it in their last digits.
        latest: Each trial's latest report, NaN where it is none.
        best: The largest of ``values``.
    """
    known = latest[~np.isnan(latest)]
    middle = float(np.median(known)) if len(known) else best
    scale = best - middle
    if not scale > 0:
        scale = 0.1 * abs(best)
    scale = max(scale, _SMALLEST)
    floor = middle - scale
    values = np.maximum(values, floor)
    last = values.shape[1] - 1
    reached = ~np.isnan(values)
    prior, noise = np.array([_DRIFT * scale, _SLOPE, 0.0]), _NOISE * scale
    penalty = _PSEUDO * np.array([1.0, (_SLOPE_SCALE * scale) ** 2, (_PLACE_SCALE * scale) ** 2])
    steps: list[tuple[float, float, float, float, float]] = []
    for rung in range(last):
        on = np.flatnonzero(reached[:, rung] & reached[:, rung + 1])
        if not len(on):
            on = np.flatnonzero(reached[:, rung])
            mean, found, squares, count = (float(values[on, rung].mean()) if len(on) else 0.0), prior, 0.0, 0
        else:
            here = values[on, rung]
            count, mean = len(on), float(here.mean())
            slope = here - values[on, rung - 1] if rung else np.zeros(count)
            increments = values[on, rung + 1] - here
            found, squares = _ridge(np.stack([np.ones(count), slope, here - mean]), increments, penalty, prior)
        spread = math.sqrt((squares + _PSEUDO * noise**2) / (count + _PSEUDO))
        drift, inertia, place = (float(each) for each in found)
        steps.append((drift, inertia, place, mean, spread))
        prior = np.array([_KEEP_DRIFT * drift, _SLOPE * _KEEP_SLOPE + _KEEP_SLOPE * inertia, _KEEP_PLACE * place])
        noise = _KEEP_NOISE * spread
    weights, variances = [(0.0, 1.0, 0.0)], [0.0]
    for drift, inertia, place, mean, spread in reversed(steps):
        w0, w1, w2 = weights[-1]
        weights.append((w0 + w1 * (drift - place * mean), w1 * (1 + inertia + place) + w2, -w1 * inertia))
        variances.append(variances[-1] + (w1 * spread) ** 2)
    spreads = tuple(math.sqrt(each) for each in reversed(variances))
    found_weights = tuple(reversed(weights))
    if not (np.isfinite(found_weights).all() and np.isfinite(spreads).all()):
        # Increments that grow from rung to rung beyond all numbers: expect that a trial ends as it stands.
        found_weights, spreads = ((0.0, 1.0, 0.0),) * (last + 1), (scale,) * last + (0.0,)
    return Coefficients(int(reached.sum()), floor, found_weights, spreads)


def _ridge(features: Floats, wanted: Floats, penalty: Floats, prior: Floats) -> tuple[Floats, float]:
    """Returns the coefficients, and the sum of the squared residuals.

    Args:
        features: (coefficients, observations).
        wanted: (observations,).
        penalty: Weight of the prior of each coefficient.
        prior: (coefficients,).
    """
    # einsum adds in one order; a BLAS may take another one on another machine.
    normal = np.einsum("in,jn->ij", features, features) + np.diag(penalty)
    right = np.einsum("in,n->i", features, wanted) + penalty * prior
    found = np.linalg.solve(normal, right)
    residuals = wanted - np.einsum("i,in->n", found, features)
    return found, float(np.einsum("n,n->", residuals, residuals))
