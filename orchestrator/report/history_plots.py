"""The history of the search: values by trial, and the Pareto front of several objectives."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState
from plotly.subplots import make_subplots

from orchestrator.common.formatting import count
from orchestrator.report.facts import LARGEST, Facts
from orchestrator.report.plot import BLUE, GREEN, GREY, RED, Plot, figure, limit, spread, tidy

MOST_POINTS = 2_000
MOST_PAIRS = 6


def history(facts: Facts) -> Plot:
    """Draws final values in the order of trials, and the best so far."""
    says = "Each point is the value that a trial ended with; the line is the best completed one so far."
    if not facts.completed:
        return Plot("history", "Optimization history", absent=_why_none(facts))
    dropped = len(facts.of(TrialState.COMPLETE)) - len(facts.completed)
    if dropped:
        says += f" {count(dropped, 'trial')} with an infinite value, or one beyond 1e150, cannot be drawn."
    drawn = spread(facts.completed, MOST_POINTS)
    says += limit(len(drawn), len(facts.completed), "completed trials, and every improvement")
    figures = tuple(_history(facts, drawn, index) for index in range(len(facts.spec.objectives)))
    return Plot("history", "Optimization history", says, figures)


def _history(facts: Facts, drawn: list[FrozenTrial], index: int) -> go.Figure:
    direction = facts.spec.objectives[index]
    points = [_points("completed", drawn, [trial.values[index] for trial in drawn], BLUE, "circle")]
    if facts.single:
        pruned = [trial for trial in facts.of(TrialState.PRUNED) if trial.value is not None]
        pruned = spread([trial for trial in pruned if abs(trial.value or 0.0) <= LARGEST], MOST_POINTS)
        points.append(_points("pruned", pruned, [trial.value for trial in pruned], RED, "x-thin-open"))
    best: float | None = None
    steps: list[tuple[int, float]] = []
    for trial in facts.completed:
        value = trial.values[index]
        if best is None or (value > best if direction == "maximize" else value < best):
            best = value
            steps.append((trial.number, value))
    steps.append((facts.completed[-1].number, steps[-1][1]))
    line = go.Scatter(
        x=[step[0] for step in steps],
        y=[step[1] for step in steps],
        mode="lines",
        name="best so far",
        line={"color": GREEN, "shape": "hv", "width": 2},
    )
    name = "value" if facts.single else f"objective {index}"
    return figure(*points, line, xaxis_title="trial", yaxis_title=f"{name} ({direction})")


def _points(name: str, trials: list[FrozenTrial], values: list[Any], colour: str, symbol: str) -> go.Scatter:
    return go.Scatter(
        x=[trial.number for trial in trials],
        y=values,
        mode="markers",
        name=name,
        marker={"color": colour, "symbol": symbol, "size": 7, "line": {"width": 1.5 if "open" in symbol else 0}},
        hovertemplate="trial %{x}: %{y}<extra></extra>",
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
    pairs = pairs[:MOST_PAIRS]
    columns = min(3, len(pairs))
    rows = -(-len(pairs) // columns)
    made = make_subplots(rows=rows, cols=columns)
    for place, (across, up) in enumerate(pairs):
        for name, trials, colour, symbol in (
            ("beaten", shown, GREY, "circle-open"),
            ("on the front", on_front, RED, "diamond"),
        ):
            trace = go.Scatter(
                x=[trial.values[across] for trial in trials],
                y=[trial.values[up] for trial in trials],
                text=[f"trial {trial.number}" for trial in trials],
                mode="markers",
                name=name,
                legendgroup=name,
                showlegend=place == 0,
                marker={"color": colour, "symbol": symbol, "size": 8},
            )
            made.add_trace(trace, row=place // columns + 1, col=place % columns + 1)
        where = {"row": place // columns + 1, "col": place % columns + 1}
        made.update_xaxes(title_text=f"objective {across} ({facts.spec.objectives[across]})", **where)
        made.update_yaxes(title_text=f"objective {up} ({facts.spec.objectives[up]})", **where)
    tidy(made, height=400 * rows)
    return Plot("front", title, says, (made,))


def _why_none(facts: Facts) -> str:
    if not facts.trials:
        return "The study has no trials yet."
    if facts.of(TrialState.COMPLETE):
        return "No trial completed with a value that can be drawn."
    return "No trial has completed."
