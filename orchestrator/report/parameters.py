"""What the parameters have to do with the value."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
import plotly.graph_objects as go
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from plotly.colors import sample_colorscale
from scipy.interpolate import griddata

from orchestrator.optima import in_memory
from orchestrator.report.facts import Facts
from orchestrator.report.plot import Plot
from orchestrator.report.sample import best_and_spread, limit
from orchestrator.report.style import BLUE, GREY, RED, SCALE, figure, label, pattern, tidy
from orchestrator.view.words import count

MOST_POINTS = 1_000
MOST_LINES = 300
MOST_PARAMETERS = 24
SIDE_BY_SIDE = 3
GRID = 40
LINES = ((0.0, GREY), (1.0, RED))
"""From the worst to the best."""

_ONE = "It is drawn for a single objective; this study has several. The front and the importances say more."


def slices(facts: Facts) -> Plot:
    """Value over each parameter, by itself."""
    title = "Slices"
    names = _names(facts)
    if absent := _absent(facts, names, 1):
        return Plot("slice", title, absent=absent)
    drawn = best_and_spread(facts, MOST_POINTS)
    says = "The value over each parameter by itself; later trials are brighter."
    says += limit(len(drawn), len(facts.completed), "completed trials, the best among them")
    says += limit(min(len(names), MOST_PARAMETERS), len(names), "parameters")
    study, shown = _study(facts, drawn)
    names = names[:MOST_PARAMETERS]
    made = []
    for first in range(0, len(names), SIDE_BY_SIDE):
        together = [shown[name] for name in names[first : first + SIDE_BY_SIDE]]
        each = optuna.visualization.plot_slice(study, params=together, target_name="value")
        tidy(each, height=340)
        each.update_traces(marker={"size": 7, "colorscale": SCALE}, hovertemplate="%{x}: %{y}<extra></extra>")
        each.update_xaxes(title_standoff=8)
        for trace in each.data:
            if trace.marker.colorscale is not None:
                # Those that are drawn were numbered anew.
                trace.marker.color = [drawn[index].number for index in trace.marker.color]
        made.append(each)
    return Plot("slice", title, says, tuple(made))


def importances_of(facts: Facts) -> list[dict[str, float]]:
    """Returns each objective's importances by parameter, the largest first; empty where they cannot be told."""
    if len(_names(facts)) < 2 or len(facts.completed) < 4:
        return []
    study = in_memory([_renumbered(trial, index) for index, trial in enumerate(facts.completed)], facts.spec.objectives)
    found = []
    for index in range(len(facts.spec.objectives)):
        try:
            with warnings.catch_warnings():
                # It warns of parameters with a single value, whose importance is simply none.
                warnings.simplefilter("ignore")
                found.append(optuna.importance.get_param_importances(study, target=_target(index, facts)))
        except (ValueError, RuntimeError):
            # No parameter that all trials have, or values that are all alike.
            return []
    return found


def importances(facts: Facts, weights: Sequence[Mapping[str, float]]) -> Plot:
    """How much of the difference between good and other trials lies in each parameter."""
    title, names = "Parameter importances", _names(facts)
    if absent := _absent(facts, names, 2, several=True):
        return Plot("importances", title, absent=absent)
    if not weights or not weights[0]:
        why = "Importances need at least four completed trials of different value with parameters in common."
        return Plot("importances", title, absent=why)
    order = [name for name in weights[0] if not math.isnan(weights[0][name])][:MOST_PARAMETERS][::-1]
    bars = [
        go.Bar(
            x=[each.get(name, 0.0) for name in order],
            y=[label(name, 40) for name in order],
            text=[f"{each.get(name, 0.0):.2f}" for name in order],
            textposition="auto",
            orientation="h",
            name="importance" if facts.single else f"objective {index}",
            marker={"color": BLUE if index == 0 else None, "pattern": pattern(["", "/", "x", "."][index % 4])},
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
        for index, each in enumerate(weights)
    ]
    says = (
        "PED-ANOVA, Optuna's measure: what share of the difference between the best tenth of the trials and all of "
        "them lies in each parameter. All together make 1."
    )
    made = figure(
        *bars,
        height=140 + 34 * len(order) * len(bars),
        xaxis_title="importance",
        showlegend=not facts.single,
        yaxis={"automargin": True, "type": "category"},
    )
    return Plot("importances", title, says, (made,))


def parallel(facts: Facts) -> Plot:
    """A line for each trial, through its value and all its parameters."""
    title, names = "Parallel coordinates", _names(facts)
    if absent := _absent(facts, names, 2, several=True):
        return Plot("parallel", title, absent=absent)
    drawn = best_and_spread(facts, MOST_LINES)
    says = "A line for each completed trial, through its value and its parameters; the colour is that of the value."
    says += limit(len(drawn), len(facts.completed), "completed trials, the best among them")
    says += limit(min(len(names), MOST_PARAMETERS), len(names), "parameters")
    study, shown = _study(facts, drawn)
    params = [shown[name] for name in names[:MOST_PARAMETERS]]
    made = optuna.visualization.plot_parallel_coordinate(study, params=params, target_name="value")
    tidy(made, height=440, margin={"l": 40, "r": 20, "t": 30, "b": 70})
    values = [trial.values[0] for trial in drawn]
    scale = [list(each) for each in (LINES if facts.maximize else _reversed(LINES))]
    for trace in made.data:
        if trace.marker.colorscale is not None:
            trace.update(marker={"colorscale": scale, "reversescale": False, "color": [min(values), max(values)]})
            trace.update(marker={"cmin": min(values), "cmax": max(values), "colorbar": {"title": None}})
        elif trace.y[0] is not None:
            # Optuna's blues vanish, some on white and some on black. The first axis is the first value, from 0 to 1.
            trace.update(line={"color": sample_colorscale(scale, [trace.y[0]])[0]}, opacity=0.7, hoverinfo="skip")
            trace.update(customdata=None, hovertemplate=None)
    return Plot("parallel", title, says, (made,))


def contour(facts: Facts, weights: Sequence[Mapping[str, float]]) -> Plot:
    """The value over the two parameters that matter most."""
    title, names = "Contour of the two most important parameters", _names(facts)
    if absent := _absent(facts, names, 2):
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
    says += limit(len(trials), len(facts.completed), "completed trials, the best among them")
    made = figure(surface, points, height=460, xaxis=across.layout(), yaxis=up.layout())
    return Plot("contour", title, says, (made,))


def _reversed(scale: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    return [(1 - place, colour) for place, colour in reversed(scale)]


class _Axis:
    """One of the two parameters: where its values lie, in logarithms where it is searched so.

    Args:
        name: The parameter.
        trials: All of them have it.
    """

    def __init__(self, name: str, trials: Sequence[FrozenTrial]) -> None:
        self.name = name
        kind = trials[0].distributions[name]
        values = [trial.params[name] for trial in trials]
        self.choices: list[str] = []
        if isinstance(kind, CategoricalDistribution) or any(not isinstance(value, int | float) for value in values):
            self.choices = sorted({_text(value) for value in values})
            self.points = np.array([self.choices.index(_text(value)) for value in values], dtype=float)
            self.grid = np.arange(len(self.choices), dtype=float)
        else:
            found = np.array(values, dtype=float)
            self.points = np.log10(found) if getattr(kind, "log", False) else found
            self.grid = np.linspace(self.points.min(), self.points.max(), GRID)
        self.is_log = not self.choices and getattr(kind, "log", False)

    def layout(self) -> dict[str, Any]:
        made: dict[str, Any] = {"title": {"text": label(self.name) + (" (log10)" if self.is_log else "")}}
        if self.choices:
            made |= {"tickvals": list(range(len(self.choices))), "ticktext": [label(each, 24) for each in self.choices]}
        return made


def _interpolate(across: _Axis, up: _Axis, values: Any) -> Any:
    """Returns the value at each place of the grid, linear between the trials and NaN outside; ``None`` where the
    trials enclose no area."""
    span = [max(float(np.ptp(axis.points)), 1e-12) for axis in (across, up)]
    points = np.column_stack([across.points / span[0], up.points / span[1]])
    if np.linalg.matrix_rank(points - points[0], tol=1e-9) < 2:
        return None
    x, y = np.meshgrid(across.grid / span[0], up.grid / span[1])
    return griddata(points, values, (x, y), method="linear")


def _absent(facts: Facts, names: Sequence[str], least: int, *, several: bool = False) -> str:
    if not facts.single and not several:
        return _ONE
    if not facts.completed:
        done = "completed" if not facts.of(TrialState.COMPLETE) else "completed with a value that can be drawn"
        return f"No trial has {done}." if facts.trials else "The study has no trials yet."
    if len(facts.completed) == 1:
        return "One completed trial is nothing to compare with."
    if len(names) < least:
        return f"The completed trials have {count(len(names), 'parameter')}; it takes {least} or more."
    return ""


def _names(facts: Facts) -> list[str]:
    found: dict[str, None] = {}
    for trial in facts.completed:
        found |= dict.fromkeys(trial.params)
    return list(found)


def _study(facts: Facts, trials: Sequence[FrozenTrial]) -> tuple[optuna.Study, dict[str, str]]:
    """Returns these trials as a study whose names and choices can do no harm in a plot, and the new name of each."""
    shown: dict[str, str] = {}
    for name in _names(facts):
        text = label(name, 24)
        # Two long names may begin alike.
        shown[name] = text if text not in shown.values() else f"{text} {len(shown)}"
    safe = []
    for index, trial in enumerate(trials):
        kinds = {shown[name]: _safe(kind) for name, kind in trial.distributions.items()}
        made = create_trial(
            state=trial.state,
            values=trial.values,
            params={shown[name]: _plain(value, trial.distributions[name]) for name, value in trial.params.items()},
            distributions=kinds,
            system_attrs={key: kept for key, kept in trial.system_attrs.items() if key.startswith("constraints")},
        )
        safe.append(_renumbered(made, index))
    return in_memory(safe, facts.spec.objectives), shown


def _renumbered(trial: FrozenTrial, index: int) -> FrozenTrial:
    if trial.number == index:
        return trial
    return FrozenTrial(
        number=index,
        trial_id=index,
        state=trial.state,
        value=None,
        values=trial.values,
        datetime_start=trial.datetime_start,
        datetime_complete=trial.datetime_complete,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={},
        system_attrs=trial.system_attrs,
        intermediate_values={},
    )


def _safe(kind: BaseDistribution) -> BaseDistribution:
    if not isinstance(kind, CategoricalDistribution):
        return kind
    return CategoricalDistribution([_plain(choice, kind) for choice in kind.choices])


def _plain(value: Any, kind: BaseDistribution) -> Any:
    if not isinstance(kind, CategoricalDistribution) or not isinstance(value, str):
        return value
    text = label(value, 24)
    others = [label(each, 24) for each in kind.choices if isinstance(each, str) and each != value]
    return text if text not in others else f"{text} {kind.choices.index(value)}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _target(index: int, facts: Facts) -> Any:
    if facts.single:
        return None
    return lambda trial: trial.values[index]
