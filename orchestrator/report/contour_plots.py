"""The contour plot: the value over two parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial
from scipy.interpolate import griddata

from orchestrator.report.columns import Column
from orchestrator.report.facts import Facts
from orchestrator.report.parameter_plots import MOST_POINTS, absent_of, names_of, which_of
from orchestrator.report.plot import SCALE, Plot, best_and_spread, figure, label

GRID = 40
_FEWEST_TICKS, _MOST_TICKS = 3, 8


def contour(facts: Facts, weights: Sequence[Mapping[str, float]]) -> Plot:
    """Draws the value over the two most important parameters."""
    title, names = "Contour of the two most important parameters", names_of(facts)
    if absent := absent_of(facts, names, 2):
        return Plot("contour", title, absent=absent)
    first, second = [*(weights[0] if weights else ()), *names][:2] if weights else names[:2]
    trials = [t for t in best_and_spread(facts, MOST_POINTS) if first in t.params and second in t.params]
    if len(trials) < 4:
        return Plot("contour", title, absent=f"Fewer than four completed trials have both {first} and {second}.")
    across, up = _Axis(first, trials), _Axis(second, trials)
    grid = _interpolate(across, up, np.array([trial.value for trial in trials], dtype=float))
    if grid is None:
        return Plot("contour", title, absent=f"The trials lie on one line of {first} and {second}.")
    surface = go.Contour(
        x=across.grid,
        y=up.grid,
        z=grid,
        colorscale=SCALE,
        ncontours=15,
        line={"width": 0.5},
        colorbar={"title": "value", "thickness": 14},
        hovertemplate="%{x}, %{y}: %{z}<extra></extra>",
    )
    points = go.Scatter(
        x=across.points,
        y=up.points,
        mode="markers",
        text=[f"trial {trial.number}: {trial.value:.4g}" for trial in trials],
        hovertemplate="%{text}<extra></extra>",
        marker={"color": "#000000", "size": 5, "line": {"color": "#ffffff", "width": 1}},
        showlegend=False,
    )
    says = "The value is interpolated between the trials, which are the points."
    says += which_of(len(trials), facts)
    made = figure(surface, points, height=460, xaxis=across.layout(), yaxis=up.layout())
    return Plot("contour", title, says, (made,))


class _Axis:
    """One of the two parameters: the coordinates of its values, in logarithms where it is searched so.

    Args:
        name: The parameter.
        trials: All of them have it.
    """

    def __init__(self, name: str, trials: Sequence[FrozenTrial]) -> None:
        self.name = name
        column = Column(name, trials, lambda text: label(text, 24))
        values = [column.shown(trial.params[name]) for trial in trials]
        self.choices: list[str] = []
        self.is_log = getattr(column.kind, "log", False)
        if isinstance(column.kind, CategoricalDistribution):
            self.choices = sorted(set(map(str, values)))
            self.points = np.array([self.choices.index(str(value)) for value in values], dtype=float)
            self.grid = np.arange(len(self.choices), dtype=float)
        else:
            found = np.array(values, dtype=float)
            self.points = np.log10(found) if self.is_log else found
            self.grid = np.linspace(self.points.min(), self.points.max(), GRID)

    def layout(self) -> dict[str, Any]:
        made: dict[str, Any] = {"title": {"text": label(self.name) + (" (log)" if self.is_log else "")}}
        if self.is_log:
            found = ticks(float(self.points.min()), float(self.points.max()))
            made |= {"tickvals": [math.log10(each) for each in found], "ticktext": [f"{each:g}" for each in found]}
        if self.choices:
            made |= {"tickvals": list(range(len(self.choices))), "ticktext": self.choices}
        return made


def ticks(low: float, high: float) -> list[float]:
    """Returns round numbers whose base-10 logarithms lie between these; other numbers where those are too few."""
    decades = range(math.floor(low), math.ceil(high) + 1)
    for digits in ((1,), (1, 2, 5), tuple(range(1, 10))):
        found = [digit * 10.0**power for power in decades for digit in digits]
        if len(within := [each for each in found if low - 1e-9 <= math.log10(each) <= high + 1e-9]) >= _FEWEST_TICKS:
            return within[:: -(-len(within) // _MOST_TICKS)]
    return [float(f"{10**each:.3g}") for each in np.linspace(low, high, _FEWEST_TICKS)]


def _interpolate(across: _Axis, up: _Axis, values: Any) -> Any:
    """Returns the value at each place of the grid, linear between the trials and NaN outside; ``None`` where the
    trials enclose no area."""
    span = [max(float(np.ptp(axis.points)), 1e-12) for axis in (across, up)]
    points = np.column_stack([across.points / span[0], up.points / span[1]])
    if np.linalg.matrix_rank(points - points[0], tol=1e-9) < 2:
        return None
    x, y = np.meshgrid(across.grid / span[0], up.grid / span[1])
    return griddata(points, values, (x, y), method="linear")
