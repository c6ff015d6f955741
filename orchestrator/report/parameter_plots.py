"""Plots of the parameters against the value: slices, importances, parallel coordinates."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from plotly.colors import sample_colorscale

from orchestrator.common.formatting import count
from orchestrator.report.columns import Column
from orchestrator.report.facts import Facts
from orchestrator.report.plot import BLUE, GREY, RED, SCALE, Plot, bars, best_and_spread, figure, label, limit, tidy
from orchestrator.sampling.best_trials import in_memory

MOST_POINTS = 1_000
MOST_LINES = 300
MOST_PARAMETERS = 24
MOST_FOR_FANOVA = 500
"""Completed trials that fANOVA evaluates; with twenty parameters that takes some seconds."""
SIDE_BY_SIDE = 3
LINES = ((0.0, GREY), (1.0, RED))
"""From the worst to the best."""

_ONE = "It is drawn for a single objective; this study has several. The front and the importances say more."


def slices(facts: Facts) -> Plot:
    """Draws the value over each parameter."""
    title = "Slices"
    names = names_of(facts)
    if absent := absent_of(facts, names, 1):
        return Plot("slice", title, absent=absent)
    drawn = best_and_spread(facts, MOST_POINTS)
    says = "The value over each parameter by itself; later trials are brighter."
    says += which_of(len(drawn), facts)
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
        each.for_each_xaxis(lambda axis: axis.update(exponentformat="power"), selector={"type": "log"})
        for trace in each.data:
            # One colour is that of trials which violate a constraint.
            if trace.marker.color is not None and not isinstance(trace.marker.color, str):
                # Those that are drawn were numbered anew.
                trace.marker.color = [drawn[index].number for index in trace.marker.color]
        made.append(each)
    return Plot("slice", title, says, tuple(made))


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
            [label(name, 40) for name in order],
            "importance" if facts.single else f"objective {index}",
            BLUE if index == 0 else None,
            ["", "/", "x", "."][index % 4],
            text=[f"{each.get(name, 0.0):.2f}" for name in order],
            textposition="auto",
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
        xaxis_title="importance",
        showlegend=not facts.single,
        yaxis={"automargin": True, "type": "category"},
    )
    return Plot("importances", title, says, (made,))


def parallel(facts: Facts) -> Plot:
    """Draws a line for each trial, through its value and all its parameters."""
    title, names = "Parallel coordinates", names_of(facts)
    if absent := absent_of(facts, names, 2, several=True):
        return Plot("parallel", title, absent=absent)
    drawn = best_and_spread(facts, MOST_LINES)
    which = "value" if facts.single else "first value"
    says = f"A line for each completed trial, through its value{'' if facts.single else 's'} and its parameters; the"
    says += f" colour is that of the {which}."
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
            trace.update(marker={"cmin": min(values), "cmax": max(values)})
            # Of several objectives its own would show a rank.
            trace.marker.colorbar = {"thickness": 14}
        elif trace.y[0] is not None:
            # Optuna's blues vanish, some on white and some on black. The first axis is the first value, from 0 to 1.
            trace.update(line={"color": sample_colorscale(scale, [trace.y[0]])[0]}, opacity=0.7, hoverinfo="skip")
            trace.update(customdata=None, hovertemplate=None)
    # Optuna's grey is hard to read on white and unreadable on black; the page has a colour for text.
    made.update_annotations(font={"color": None, "size": 11})
    return Plot("parallel", title, says, (made,))


def _reversed(scale: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    return [(1 - place, colour) for place, colour in reversed(scale)]


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


def _study(facts: Facts, trials: Sequence[FrozenTrial]) -> tuple[optuna.Study, dict[str, str]]:
    """Returns these trials as a study whose names and choices are safe in a plot, and the new name of each."""
    shown: dict[str, str] = {}
    for name in names_of(facts):
        text = label(name, 24)
        # Two long names may begin alike.
        shown[name] = text if text not in shown.values() else f"{text} {len(shown)}"
    columns = {name: Column(name, trials, lambda text: label(text, 24)) for name in shown}
    return _rebuilt(facts, trials, columns, shown, own=False), shown


def _study_for_evaluators(facts: Facts) -> optuna.Study:
    """Returns the completed trials as a study; only parameters that no evaluator accepts are changed."""
    columns = {name: Column(name, facts.completed) for name in names_of(facts)}
    return _rebuilt(facts, facts.completed, columns, {name: name for name in columns}, own=True)


def _rebuilt(
    facts: Facts, trials: Sequence[FrozenTrial], columns: Mapping[str, Column], names: Mapping[str, str], *, own: bool
) -> optuna.Study:
    """Returns trials as a study, numbered anew.

    Args:
        facts: Their objectives.
        trials: The trials.
        columns: Their parameters.
        names: New names of the parameters.
        own: Whether a parameter keeps the distribution of its trial, if that holds all values.
    """
    made = [
        optuna.trial.create_trial(
            state=trial.state,
            values=trial.values,
            params={names[name]: columns[name].shown(value) for name, value in trial.params.items()},
            distributions={
                names[name]: trial.distributions[name] if own and columns[name].is_own else columns[name].kind
                for name in trial.params
            },
            system_attrs={key: kept for key, kept in trial.system_attrs.items() if key.startswith("constraints")},
        )
        for trial in trials
    ]
    return in_memory(made, facts.spec.objectives)


def _target(index: int, facts: Facts) -> Any:
    if facts.single:
        return None
    return lambda trial: trial.values[index]
