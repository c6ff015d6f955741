"""The history of the search: values by trial, and the Pareto front of several objectives."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState

from orchestrator.common.formatting import count
from orchestrator.report.facts import LARGEST, Facts
from orchestrator.report.plot import BLUE, GREEN, GREY, RED, Plot, counted, figure, label, limit, spread
from orchestrator.report.value_axis import ValueAxis, at_edges, of_points

MOST_POINTS = 2_000
MOST_PAIRS = 6


def history(facts: Facts) -> Plot:
    """Draws final values in the order of trials, and the best so far."""
    says = "Each point is the value that a trial ended with; the line is the best completed one so far."
    if not facts.completed:
        return Plot("history", "Optimization history", absent=_why_none(facts))
    if facts.infeasible:
        says += f" {count(len(facts.infeasible), 'trial')} of them violated a constraint and cannot be the best."
    dropped = len(facts.of(TrialState.COMPLETE)) - len(facts.completed)
    if dropped:
        says += f" {count(dropped, 'trial')} with an infinite value, or one beyond 1e150, cannot be drawn."
    drawn = spread(facts.completed, MOST_POINTS)
    says += limit(len(drawn), len(facts.completed), "completed trials, and every improvement")
    figures = []
    for index in range(len(facts.spec.objectives)):
        made, beyond = _history(facts, drawn, index)
        figures.append(made)
        says += beyond
    return Plot("history", "Optimization history", says, tuple(figures))


def _history(facts: Facts, drawn: list[FrozenTrial], index: int) -> tuple[go.Figure, str]:
    """Returns the plot of one objective, and the sentence on what lies beyond its axis."""
    direction = facts.spec.objectives[index]
    good = [trial for trial in drawn if trial.number not in facts.infeasible]
    groups = [("completed", good, BLUE, "circle")]
    if facts.infeasible:
        others = [trial for trial in drawn if trial.number in facts.infeasible]
        groups.append(("violated a constraint", others, GREY, "circle-open"))
    if facts.single:
        pruned = [trial for trial in facts.of(TrialState.PRUNED) if trial.value is not None]
        pruned = spread([trial for trial in pruned if abs(trial.value or 0.0) <= LARGEST], MOST_POINTS)
        if pruned:
            groups.append(("pruned", pruned, RED, "x-thin-open"))
    points = [(trial, trial.values[index]) for _, trials, _, _ in groups for trial in trials]
    line = _best_so_far(facts, index)
    axis = of_points([value for _, value in points], good=1 if direction == "maximize" else -1)
    traces = [
        _points(name, [trial for trial in trials if not axis.side(trial.values[index])], index, axis, colour, symbol)
        for name, trials, colour, symbol in groups
    ]
    traces += at_edges(
        [(trial.number, value, f"trial {trial.number}: {value:.6g}") for trial, value in points], ValueAxis(), axis
    )
    if line:
        best = go.Scatter(
            x=[number for number, _ in line],
            y=[axis.at(axis.clamp(value)) for _, value in line],
            text=[f"{value:.6g}" for _, value in line],
            mode="lines",
            name="best so far",
            hovertemplate="%{text}<extra>best so far</extra>",
            line={"color": GREEN, "shape": "hv", "width": 2},
        )
        traces.append(best)
    last = facts.trials[-1].number
    x = counted("trial", last) | {"range": [-0.5 - 0.02 * last, last + 0.5 + 0.02 * last]}
    made = figure(*traces, xaxis=x, yaxis=axis.layout(f"{label(facts.objective(index))} ({direction})"))
    return made, axis.says([value for _, value in points])


def _best_so_far(facts: Facts, index: int) -> list[tuple[int, float]]:
    """Returns (trial, value) of each improvement, and the best value once more at the last trial of all."""
    sign = 1 if facts.spec.objectives[index] == "maximize" else -1
    steps: list[tuple[int, float]] = []
    for trial in facts.completed:
        value = trial.values[index]
        if trial.number not in facts.infeasible and (not steps or sign * value > sign * steps[-1][1]):
            steps.append((trial.number, value))
    if steps:
        last = max(trial.number for trial in facts.trials if trial.state is not TrialState.WAITING)
        steps.append((last, steps[-1][1]))
    return steps


def _points(name: str, trials: list[FrozenTrial], index: int, axis: ValueAxis, colour: str, symbol: str) -> go.Scatter:
    return go.Scatter(
        x=[trial.number for trial in trials],
        y=[axis.at(trial.values[index]) for trial in trials],
        text=[f"{trial.values[index]:.6g}" for trial in trials],
        mode="markers",
        name=name,
        marker={"color": colour, "symbol": symbol, "size": 7, "line": {"width": 1.5 if "open" in symbol else 0}},
        hovertemplate="trial %{x}: %{text}<extra></extra>",
    )


def front(facts: Facts) -> Plot:
    """Draws the completed trials by each pair of objectives; those on the front are marked."""
    title, optima = "Pareto front", facts.summary.front or ()
    if not facts.completed:
        return Plot("front", title, absent=_why_none(facts))
    pairs = list(combinations(range(len(facts.spec.objectives)), 2))
    drawn = spread(facts.completed, MOST_POINTS)
    best = {each.number for each in optima}
    shown = [trial for trial in drawn if trial.number not in best]
    on_front = [trial for trial in facts.completed if trial.number in best]
    says = (
        f"{count(len(optima), 'trial')} {'is' if len(optima) == 1 else 'are'} on the front: no other one is as good in"
    )
    says += " every objective and better in one."
    says += limit(len(drawn), len(facts.completed), "completed trials, and the whole front")
    says += limit(min(len(pairs), MOST_PAIRS), len(pairs), "pairs of objectives")
    axes = [
        of_points([trial.values[index] for trial in (*shown, *on_front)], good=1 if each == "maximize" else -1)
        for index, each in enumerate(facts.spec.objectives)
    ]
    if any(axis.beyond for axis in axes):
        says += " Trials beyond an axis are triangles at its edge."
    figures = tuple(_front(facts, pair, axes, shown, on_front) for pair in pairs[:MOST_PAIRS])
    return Plot("front", title, says, figures)


def _front(
    facts: Facts,
    pair: tuple[int, int],
    axes: Sequence[ValueAxis],
    shown: Sequence[FrozenTrial],
    on_front: Sequence[FrozenTrial],
) -> go.Figure:
    across, up = pair
    traces = []
    for name, trials, colour, symbol in (
        ("beaten", shown, GREY, "circle-open"),
        ("on the front", on_front, RED, "diamond"),
    ):
        inside = [trial for trial in trials if not any(axes[each].side(trial.values[each]) for each in pair)]
        traces.append(
            go.Scatter(
                x=[axes[across].at(trial.values[across]) for trial in inside],
                y=[axes[up].at(trial.values[up]) for trial in inside],
                text=[_pair_of(trial, pair) for trial in inside],
                hovertemplate="%{text}<extra></extra>",
                mode="markers",
                name=name,
                marker={"color": colour, "symbol": symbol, "size": 8},
            )
        )
    points = [(t.values[across], t.values[up], _pair_of(t, pair)) for t in (*shown, *on_front)]
    traces += at_edges(points, axes[across], axes[up])
    x, y = (axes[each].layout(f"{label(facts.objective(each))} ({facts.spec.objectives[each]})") for each in pair)
    return figure(*traces, height=380, xaxis=x, yaxis=y)


def _pair_of(trial: FrozenTrial, pair: tuple[int, int]) -> str:
    return "trial {}: {:.6g}, {:.6g}".format(trial.number, *(trial.values[each] for each in pair))


def _why_none(facts: Facts) -> str:
    if not facts.trials:
        return "The study has no trials yet."
    if facts.of(TrialState.COMPLETE):
        return "No trial completed with a value that can be drawn."
    return "No trial has completed."
