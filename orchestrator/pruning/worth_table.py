"""The worth of going on with a trial: a Gittins index of learning curves, tabulated.

A trial at rung k is expected to have ``m`` at the rung beyond the furthest that any trial has reached, ``z = m - best``
above the best value so far; on its way to the next rung ``m`` moves by a normal step of known size. At a price of ``p``
an epoch the trial is worth ``V_k(z, p)``: it may stop at any rung, and in the end it gains ``max(z, 0)``. Its index is
the price at which going on is worth nothing (Gittins, "Bandit processes and dynamic allocation indices", 1979;
Weitzman, "Optimal search for the best alternative", 1979). The trial with the highest index goes on; a new trial has an
index too, as its first value is a draw of those seen so far.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from orchestrator.pruning.curve_model import Floats

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_POINTS = 61
_STRETCH = 3.0
_REACH = 5.0  # the grid of z ends at so many spreads of the first rung
_PRICES = 36
_CHEAPEST = 1e-7  # in spreads of the first rung
_QUANTILES = (np.arange(48) + 0.5) / 48
_QUANTILE_WEIGHTS = np.tile(_WEIGHTS, len(_QUANTILES)) / len(_QUANTILES)
_LEAST_RECORD = 8  # so many first values show how far a record may go
_LEAST_FACTOR = 0.1


class WorthTable:
    """Indices at one state of the curve model. All of them are logarithms.

    Args:
        spreads: Of each rung, as ``near_spreads`` of ``Coefficients``.
        rungs: Their steps; the last one is where trials are expected to be.
    """

    def __init__(self, spreads: Sequence[float], rungs: Sequence[int]) -> None:
        self._spreads = spreads
        unit = max(spreads[0], 1e-300)
        self._first_step = rungs[0]
        grid = np.linspace(-1, 1, _POINTS)
        self._z: Floats = _REACH * unit * np.sinh(_STRETCH * grid) / math.sinh(_STRETCH)
        self._compress = math.sinh(_STRETCH) / (_REACH * unit)
        self._log_prices = np.linspace(math.log(_CHEAPEST), 0, _PRICES) + math.log(unit)
        self._prices = np.exp(self._log_prices)
        worth = np.repeat(np.maximum(self._z, 0)[:, None], _PRICES, axis=1)
        # All that does not follow from a later rung is done for all rungs at once.
        means = self._means_after(np.sqrt(np.maximum(-np.diff(np.square(spreads)), 0)))
        going_on = np.empty((len(means), _POINTS, _PRICES))
        for rung in reversed(range(len(means))):
            # einsum adds in one order; a BLAS may take another one on another machine.
            after = np.einsum("ij,jk->ik", means[rung], worth)
            going_on[rung] = after - self._prices * (rungs[rung + 1] - rungs[rung])
            worth = np.maximum(going_on[rung], 0)
        self._indices = self._zeros(going_on).tolist()
        self._points = self._z.tolist()
        self._at_first = worth

    def index(self, rung: int, z: float) -> float:
        """Returns the index of a trial that is expected to come ``z`` above the best."""
        # A trial beyond the last rung of the table stands where its last step has led.
        rung = min(rung, len(self._indices) - 1)
        points, row = self._points, self._indices[rung]
        if z <= points[0]:
            return float(row[0] + (z - points[0]) / max(self._spreads[rung], 1e-300))
        if z >= points[-1]:
            return float(row[-1])
        place = (math.asinh(z * self._compress) / _STRETCH + 1) * ((_POINTS - 1) / 2)
        low = min(int(place), _POINTS - 2)
        part = min(max((z - points[low]) / (points[low + 1] - points[low]), 0.0), 1.0)
        return float(row[low] + (row[low + 1] - row[low]) * part)

    def index_of_new(self, first: Floats, best: float) -> float:
        """Returns the index of a trial that has not begun.

        Args:
            first: What was expected of the trials so far when they had reached the first rung, sorted.
            best: The best value so far.
        """
        count = len(first)
        blur = 0.9 * float(first.std()) * count**-0.2
        place = _QUANTILES * (count - 1)
        low = place.astype(np.intp)
        high = np.minimum(low + 1, count - 1)
        middle = first[low] + (first[high] - first[low]) * (place - low)
        spread = (middle[:, None] + blur * _NODES).ravel() - best
        at, part = self._place(spread)
        above = _QUANTILE_WEIGHTS * part
        shares = np.bincount(at, _QUANTILE_WEIGHTS - above, _POINTS) + np.bincount(at + 1, above, _POINTS)
        gain = np.einsum("i,ik->k", shares, self._at_first)
        margin = gain - self._prices * self._first_step
        index = self._crossing(margin)
        if count >= _LEAST_RECORD and first[-1] <= best:
            # The tail that the model smooths over, by the spacing of the largest values (records of extreme values).
            # Where trials are expected to come above the best anyhow, a new one need not set a record to be of worth.
            top = int(max(2, min(20, count / 3)))
            record = (float(first[-top:].mean()) - float(first[-top - 1])) / (count + 1)
            index += math.log(min(1.0, max(_LEAST_FACTOR, record / max(float(gain[0]), 1e-300))))
        return index

    def _place(self, z: Floats) -> tuple[NDArray[np.intp], Floats]:
        """Returns the points of the grid below each z, and how far each is on its way to the next; above the grid it
        goes on in a straight line."""
        place = (np.arcsinh(z * self._compress) / _STRETCH + 1) * ((_POINTS - 1) / 2)
        low = np.clip(place, 0, _POINTS - 2).astype(np.intp)
        return low, np.maximum((z - self._z[low]) / (self._z[low + 1] - self._z[low]), 0)

    def _means_after(self, steps: Floats) -> Floats:
        """Returns the matrices that take values on the grid to their means after normal steps of these sizes."""
        low, part = self._place((self._z[:, None] + steps[:, None, None] * _NODES).ravel())
        rows = np.repeat(np.arange(len(steps) * _POINTS), len(_NODES)) * _POINTS
        weights = np.tile(_WEIGHTS, len(steps) * _POINTS)
        size = len(steps) * _POINTS * _POINTS
        mean = np.bincount(rows + low, weights * (1 - part), size) + np.bincount(rows + low + 1, weights * part, size)
        return mean.astype(np.float64).reshape(-1, _POINTS, _POINTS)

    def _zeros(self, going_on: Floats) -> Floats:
        """Returns by rung, at each point of the grid, the logarithm of the price at which going on is worth nothing."""
        count = (going_on > 0).sum(axis=2)
        inner = np.clip(count, 1, _PRICES - 1)[..., None]
        above, below = (np.take_along_axis(going_on, inner - place, axis=2)[..., 0] for place in (1, 0))
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.where(above > below, above / (above - below), 0.0)
        step = self._log_prices[1] - self._log_prices[0]
        found: Floats = self._log_prices[inner[..., 0] - 1] + step * np.clip(part, 0, 1)
        found[count == _PRICES] = self._log_prices[-1]
        for rung, under in enumerate((count == 0).sum(axis=1).tolist()):
            if not under:
                continue
            zero = self._z[-1]
            if under < _POINTS:
                before, after = going_on[rung, under - 1 : under + 1, 0]
                zero = self._z[under - 1] - (self._z[under] - self._z[under - 1]) * before / (after - before)
            spread = max(self._spreads[rung], 1e-300)
            found[rung, :under] = self._log_prices[0] + (self._z[:under] - zero) / spread
        return found

    def _crossing(self, margin: Floats) -> float:
        """Returns the logarithm of the largest price at which the margin is positive."""
        count = int((margin > 0).sum())
        if count == 0:
            return float(self._log_prices[0]) - 5
        if count == _PRICES:
            return float(self._log_prices[-1])
        above, below = float(margin[count - 1]), float(margin[count])
        step = float(self._log_prices[1] - self._log_prices[0])
        return float(self._log_prices[count - 1]) + step * above / (above - below)
