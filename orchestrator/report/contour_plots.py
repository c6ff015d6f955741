"""The contour plot: the value over two parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial

from orchestrator.common.formatting import count
from orchestrator.report.columns import Column
from orchestrator.report.facts import Facts
from orchestrator.report.parameter_plots import MOST_POINTS, absent_of, names_of, which_of
from orchestrator.report.plot import SCALE, Plot, best_and_spread, figure, label
from orchestrator.report.value_axis import ValueAxis, of_points

GRID = 40
FEW = 20
"""Trials below which the page says that they are few."""
_FEWEST_TICKS, _MOST_TICKS = 3, 8


def contour(facts: Facts, weights: Sequence[Mapping[str, float]]) -> Plot:
    """Draws the value over the two most important parameters."""
    title, names = "Contour of the two most important parameters", names_of(facts)
    if absent := absent_of(facts, names, 2):
        return Plot("contour", title, absent=absent)
    # Only parameters that all trials have are weighed.
    first, second = list(dict.fromkeys([*(weights[0] if weights else ()), *names]))[:2]
    trials = [t for t in best_and_spread(facts, MOST_POINTS) if first in t.params and second in t.params]
    if len(trials) < 4:
        return Plot("contour", title, absent=f"Fewer than four completed trials have both {first} and {second}.")
    if len({trial.values[0] for trial in trials}) == 1:
        return Plot("contour", title, absent=f"All {len(trials)} trials have the same value.")
    across, up = _Axis(first, trials), _Axis(second, trials)
    values = [trial.values[0] for trial in trials]
    axis = of_points(values, good=facts.good)
    grid = _interpolate(
        across, up, np.array([axis.at(axis.clamp(value)) for value in values], dtype=float), log=axis.log
    )
    if grid is None:
        return Plot("contour", title, absent=f"The trials lie on one line of {first} and {second}.")
    surface = go.Contour(
        x=across.grid,
        y=up.grid,
        z=grid,
        colorscale=SCALE,
        # Bright is good, whichever way the objective goes.
        reversescale=not facts.maximize,
        ncontours=15,
        line={"width": 0.5},
        colorbar=_bar(axis, label(facts.objective(0), 24)),
        hoverinfo="skip",
    )
    points = go.Scatter(
        x=across.points,
        y=up.points,
        mode="markers",
        text=[f"trial {trial.number}: {trial.values[0]:.4g}" for trial in trials],
        hovertemplate="%{text}<extra></extra>",
        marker={"color": "#000000", "size": 5, "line": {"color": "#ffffff", "width": 1}},
        name=f"{len(trials)} trials",
    )
    says = f"It rests on {len(trials)} trials, which are the points; between them the value is interpolated, and bright"
    says += " is good."
    if len(trials) < FEW:
        says += f" Fewer than {FEW} say little about the shape."
    if len(names) > 2:
        says += f" The trials differ in {count(len(names) - 2, 'other parameter')} as well."
    says += which_of(len(trials), facts)
    if axis.beyond:
        says += (
            f" {count(axis.beyond, 'value')} beyond the colours {'has' if axis.beyond == 1 else 'have'} the last one."
        )
    made = figure(surface, points, height=480, xaxis=across.layout(), yaxis=up.layout(), showlegend=True)
    return Plot("contour", title, says, (made,))


def _bar(axis: ValueAxis, name: str) -> dict[str, Any]:
    """Returns the bar of the colours, whose numbers are values where the colours are those of logarithms."""
    made: dict[str, Any] = {"title": {"text": axis.layout(name)["title"]["text"], "side": "right"}, "thickness": 14}
    if axis.linear:
        made |= {key: axis.layout(name)[key] for key in ("tickvals", "ticktext")}
    if axis.log:
        found = ticks(math.log10(axis.least), math.log10(axis.most))
        made |= {"tickvals": [math.log10(each) for each in found], "ticktext": [f"{each:g}" for each in found]}
    return made


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
        made: dict[str, Any] = {"title": {"text": label(self.name, 28) + (" (log)" if self.is_log else "")}}
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


def _interpolate(across: _Axis, up: _Axis, values: Any, *, log: bool) -> Any:
    """Returns the value at each place of the grid, linear between the trials and NaN outside; ``None`` where the
    trials enclose no area. With ``log`` it is the logarithm of the value."""
    # It takes half a second to import, which a report without this plot need not wait for.
    from scipy.interpolate import griddata

    span = [max(float(np.ptp(axis.points)), 1e-12) for axis in (across, up)]
    points = np.column_stack([across.points / span[0], up.points / span[1]])
    if np.linalg.matrix_rank(points - points[0], tol=1e-9) < 2:
        return None
    x, y = np.meshgrid(across.grid / span[0], up.grid / span[1])
    return griddata(points, np.log10(values) if log else values, (x, y), method="linear")
