"""Plots of the parameters against the value: slices and importances."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import optuna
import plotly.graph_objects as go
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from orchestrator.common.formatting import count, one_line
from orchestrator.report.columns import Column
from orchestrator.report.facts import Facts
from orchestrator.report.plot import OBJECTIVES, SEQUENCE, Plot, bars, best_and_spread, figure, label, labels, limit
from orchestrator.report.value_axis import ValueAxis, at_edges, of_points
from orchestrator.sampling.best_trials import in_memory

MOST_POINTS = 1_000
MOST_PARAMETERS = 24
MOST_FOR_FANOVA = 500
"""Completed trials that fANOVA evaluates; with twenty parameters that takes some seconds."""

_ONE = "It is drawn for a single objective; this study has several. The front and the importances say more."


def slices(facts: Facts) -> Plot:
    """Draws the value over each parameter, one figure for each."""
    title = "Slices"
    names = names_of(facts)
    if absent := absent_of(facts, names, 1):
        return Plot("slice", title, absent=absent)
    drawn = best_and_spread(facts, MOST_POINTS)
    says = "The value over each parameter by itself, from blue for the first trials to orange for the last."
    if facts.infeasible:
        says += " Hollow ones violated a constraint."
    says += which_of(len(drawn), facts)
    says += limit(min(len(names), MOST_PARAMETERS), len(names), "parameters")
    values = [trial.values[0] for trial in drawn]
    up = of_points(values, good=facts.good)
    says += up.says(values)
    figures = []
    for name, shown in labels(names[:MOST_PARAMETERS], 28).items():
        made, beyond = _slice(facts, name, shown, [trial for trial in drawn if name in trial.params], up)
        figures.append(made)
        says += f" Of {one_line(name)}:{beyond}" if beyond else ""
    return Plot("slice", title, says, tuple(figures))


def _slice(facts: Facts, name: str, title: str, trials: Sequence[FrozenTrial], up: ValueAxis) -> tuple[go.Figure, str]:
    """Returns the plot of one parameter, and the sentence on its values that lie beyond the axis."""
    column = Column(name, trials, lambda text: label(text, 24))
    places = [column.shown(trial.params[name]) for trial in trials]
    across, beyond = ValueAxis(), ""
    if isinstance(column.kind, CategoricalDistribution):
        places = list(map(str, places))
        x: dict[str, Any] = {"title": {"text": title}, "type": "category", "categoryorder": "category ascending"}
    else:
        across = column.axis
        x = across.layout(title)
        beyond = across.says(places)
    x["title"]["standoff"] = 8
    numbers = [trial.number for trial in facts.completed]
    traces = []
    for is_hollow in (False, True):
        those = [
            (place, trial)
            for place, trial in zip(places, trials, strict=True)
            if (trial.number in facts.infeasible) is is_hollow
            and not up.side(trial.values[0])
            and not across.side(place)
        ]
        if those:
            traces.append(
                go.Scatter(
                    x=[place for place, _ in those],
                    y=[up.at(trial.values[0]) for _, trial in those],
                    text=[_point_of(place, trial) for place, trial in those],
                    mode="markers",
                    marker={
                        "size": 7,
                        "symbol": "circle-open" if is_hollow else "circle",
                        "color": [trial.number for _, trial in those],
                        "colorscale": SEQUENCE,
                        "showscale": False,
                        "cmin": min(numbers),
                        "cmax": max(numbers),
                    },
                    hovertemplate="%{text}<extra></extra>",
                )
            )
    points = [(place, trial.values[0], _point_of(place, trial)) for place, trial in zip(places, trials, strict=True)]
    traces += at_edges(points, across, up)
    y = up.layout(label(facts.objective(0), 40))
    return figure(*traces, height=300, xaxis=x, yaxis=y, showlegend=False, margin={"t": 20}), beyond


def _point_of(place: Any, trial: FrozenTrial) -> str:
    return f"trial {trial.number}: {place}, {trial.values[0]:.6g}"


def importances_of(facts: Facts) -> list[dict[str, float]]:
    """Returns each objective's importances by parameter, the largest first; empty where they cannot be computed."""
    if len(names_of(facts)) < 2 or len(facts.completed) < 4:
        return []
    study = _study_for_evaluators(facts)
    importance = optuna.importance
    evaluator = (
        importance.FanovaImportanceEvaluator(seed=0) if uses_fanova(facts) else importance.PedAnovaImportanceEvaluator()
    )
    found = []
    for index in range(len(facts.spec.objectives)):
        try:
            with warnings.catch_warnings():
                # It warns of parameters with a single value, whose importance is simply none.
                warnings.simplefilter("ignore")
                found.append(
                    optuna.importance.get_param_importances(study, evaluator=evaluator, target=_target(index, facts))
                )
        except (ValueError, RuntimeError):
            # No parameter that all trials have, or values that are all alike.
            return []
    return found


def uses_fanova(facts: Facts) -> bool:
    """Whether fANOVA computes the importances; it needs scikit-learn, and is slow for many trials."""
    return len(facts.completed) <= MOST_FOR_FANOVA and find_spec("sklearn") is not None


def importances(facts: Facts, weights: Sequence[Mapping[str, float]]) -> Plot:
    """Draws how much of the difference between good and other trials lies in each parameter."""
    title, names = "Parameter importances", names_of(facts)
    if absent := absent_of(facts, names, 2, several=True):
        return Plot("importances", title, absent=absent)
    if not weights or not weights[0]:
        why = "Importances need at least four completed trials of different value with parameters in common."
        return Plot("importances", title, absent=why)
    order = [name for name in weights[0] if not math.isnan(weights[0][name])][:MOST_PARAMETERS][::-1]
    drawn_bars = [
        bars(
            [each.get(name, 0.0) for name in order],
            list(labels(order, 40).values()),
            "importance" if facts.single else label(facts.objective(index)),
            OBJECTIVES[index % len(OBJECTIVES)],
            ["", "/", "x", "."][index % 4],
            text=[f"{each.get(name, 0.0):.2f}" for name in order],
            # Inside, stripes would make it hard to read.
            textposition="outside",
            cliponaxis=False,
            hovertemplate="%{y}: %{x:.3f}<extra></extra>",
        )
        for index, each in enumerate(weights)
    ]
    of = f"Of all {count(len(facts.completed), 'completed trial')}; all parameters together make 1."
    says = (
        "PED-ANOVA (Optuna's PedAnovaImportanceEvaluator): what share of the difference between the best tenth of the "
        f"trials and all of them lies in each parameter. {of}"
    )
    if uses_fanova(facts):
        says = (
            "fANOVA (Optuna's FanovaImportanceEvaluator, seed 0): what share of the variance of the value each "
            f"parameter explains. {of}"
        )
    made = figure(
        *drawn_bars,
        height=140 + 34 * len(order) * len(weights),
        # With room for the number behind the longest bar.
        xaxis={"title": {"text": "importance"}, "range": [0, 1.18 * max(max(each.x) for each in drawn_bars)]},
        showlegend=not facts.single,
        yaxis={"automargin": True, "type": "category"},
    )
    return Plot("importances", title, says, (made,))


def absent_of(facts: Facts, names: Sequence[str], least: int, *, several: bool = False) -> str:
    """Returns why nothing is drawn: fewer than ``least`` parameters, or several objectives; empty otherwise."""
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


def which_of(drawn: int, facts: Facts) -> str:
    """Returns which trials a plot of final values shows."""
    says = limit(drawn, len(facts.completed), "completed trials, the best among them")
    says = says or f" Drawn are all {count(drawn, 'completed trial')}."
    pruned = count(len(facts.of(TrialState.PRUNED)), "pruned trial")
    return says if pruned.startswith("0 ") else f"{says} Not drawn: {pruned}, without a final value."


def names_of(facts: Facts) -> list[str]:
    """Returns the parameters of the completed trials, in the order of their first appearance."""
    found: dict[str, None] = {}
    for trial in facts.completed:
        found |= dict.fromkeys(trial.params)
    return list(found)


def _study_for_evaluators(facts: Facts) -> optuna.Study:
    """Returns the completed trials as a study, numbered anew; only parameters that no evaluator accepts are changed."""
    columns = {name: Column(name, facts.completed) for name in names_of(facts)}
    made = [
        optuna.trial.create_trial(
            state=trial.state,
            values=trial.values,
            params={name: columns[name].shown(value) for name, value in trial.params.items()},
            distributions={
                name: trial.distributions[name] if columns[name].is_own else columns[name].kind for name in trial.params
            },
            system_attrs={key: kept for key, kept in trial.system_attrs.items() if key.startswith("constraints")},
        )
        for trial in facts.completed
    ]
    return in_memory(made, facts.spec.objectives)


def _target(index: int, facts: Facts) -> Any:
    if facts.single:
        return None
    return lambda trial: trial.values[index]
