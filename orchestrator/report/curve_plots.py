"""The learning curves: what the trials reported at each epoch, and where they were pruned."""

from __future__ import annotations

import math

import numpy as np
import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState

from orchestrator.common.formatting import count
from orchestrator.pruning.expectations import BANDS, Expectation, newest
from orchestrator.report.facts import Facts
from orchestrator.report.plot import BLUE, GREEN, GREY, PURPLE, RED, Plot, figure, limit, spread

MOST_CURVES = 200
MOST_STEPS = 400

_STATES = (
    (TrialState.COMPLETE, "completed", BLUE, "solid"),
    (TrialState.PRUNED, "pruned", RED, "dot"),
    (TrialState.FAIL, "failed", PURPLE, "dash"),
    (TrialState.RUNNING, "running", GREY, "dashdot"),
)


def curves(facts: Facts) -> Plot:
    """Draws a line for each trial; of many trials only some, over the spread of all of them."""
    title = "Learning curves"
    reported = [trial for trial in facts.trials if trial.intermediate_values]
    if not reported:
        why = (
            "The study has no trials yet." if not facts.trials else "No trial has reported a value between its epochs."
        )
        return Plot("curves", title, absent=why)
    cut = sum(trial.state is TrialState.PRUNED for trial in reported)
    says = f"A line for each trial. A cross marks where one of the {count(cut, 'pruned trial')} was cut."
    if not cut:
        says = "A line for each trial; none was pruned."
    missing = sum(not math.isfinite(value) for trial in reported for value in trial.intermediate_values.values())
    if missing:
        says += f" {count(missing, 'report')} of NaN or infinity are gaps."
    best = facts.ranked[:1]
    drawn = spread([trial for trial in reported if trial not in best], MOST_CURVES)
    drawn += [trial for trial in best if trial.intermediate_values]
    traces = [_line(drawn, *state) for state in _STATES if any(trial.state is state[0] for trial in drawn)]
    if len(drawn) < len(reported):
        says += limit(len(drawn), len(reported), "curves")
        says += " The shaded band holds the middle 80 % of all trials that reported the epoch."
        traces = [*_band(reported), *traces]
    longest = max(len(trial.intermediate_values) for trial in drawn)
    if longest > MOST_STEPS:
        says += f" Curves longer than {MOST_STEPS} epochs are thinned out."
    ends = [trial for trial in drawn if trial.state is TrialState.PRUNED]
    if ends:
        points = [_points(trial)[-1] for trial in ends]
        traces.append(
            go.Scatter(
                x=[point[0] for point in points],
                y=[point[1] for point in points],
                text=[f"trial {trial.number}" for trial in ends],
                mode="markers",
                name="cut here",
                marker={"color": RED, "symbol": "x", "size": 7},
                hovertemplate="%{text} pruned at epoch %{x}: %{y}<extra></extra>",
            )
        )
    expected = [
        (trial, end)
        for trial in drawn
        if trial.state is not TrialState.COMPLETE and (end := newest(trial.system_attrs)) is not None
    ]
    if expected and facts.spec.max_steps is not None:
        says += " Dots are the ends that the rule expects, with the band that holds 90 % of them if it is right."
        traces += _expected(expected, facts.spec.max_steps)
    if best and best[0].intermediate_values and facts.single:
        points = _points(best[0])
        traces.append(
            go.Scatter(
                x=[point[0] for point in points],
                y=[point[1] for point in points],
                mode="lines",
                name=f"best: trial {best[0].number}",
                line={"color": GREEN, "width": 3},
            )
        )
    made = figure(*traces, height=460, xaxis_title="epoch", yaxis_title="reported value")
    return Plot("curves", title, says, (made,))


def _expected(expected: list[tuple[FrozenTrial, Expectation]], end: int) -> list[go.Scatter]:
    """Returns the expected ends of trials that were not trained to their end, and their bands, side by side."""
    places = [end + place / len(expected) for place in range(len(expected))]
    bands: list[float | None] = []
    for _, each in expected:
        half = BANDS[90] * each.spread
        bands += [each.end - half, each.end + half, None]
    return [
        go.Scatter(
            x=[x for place in places for x in (place, place, None)],
            y=bands,
            mode="lines",
            showlegend=False,
            hoverinfo="skip",
            line={"color": GREY, "width": 1},
        ),
        go.Scatter(
            x=places,
            y=[each.end for _, each in expected],
            text=[f"trial {trial.number}, from epoch {each.step}" for trial, each in expected],
            mode="markers",
            name="expected end",
            marker={"color": GREY, "symbol": "circle-open", "size": 6},
            hovertemplate="%{text}: expected to end at %{y}<extra></extra>",
        ),
    ]


def _points(trial: FrozenTrial) -> list[tuple[int, float | None]]:
    steps = spread(sorted(trial.intermediate_values.items()), MOST_STEPS)
    return [(step, value if math.isfinite(value) else None) for step, value in steps]


def _line(drawn: list[FrozenTrial], state: TrialState, name: str, colour: str, dash: str) -> go.Scatter:
    """Returns all curves of a state as one trace with gaps: hundreds of traces would make the page slow."""
    x: list[int | None] = []
    y: list[float | None] = []
    numbers: list[int | None] = []
    for trial in drawn:
        if trial.state is state:
            points = _points(trial)
            x += [*(point[0] for point in points), None]
            y += [*(point[1] for point in points), None]
            numbers += [*([trial.number] * len(points)), None]
    return go.Scatter(
        x=x,
        y=y,
        customdata=numbers,
        # A single report is no line.
        mode="lines" if len(x) > 2 * len(set(numbers)) else "lines+markers",
        name=name,
        opacity=0.55,
        line={"color": colour, "width": 1.2, "dash": dash},
        marker={"size": 4},
        hovertemplate="trial %{customdata}, epoch %{x}: %{y}<extra></extra>",
    )


def _band(reported: list[FrozenTrial]) -> list[go.Scatter]:
    by_step: dict[int, list[float]] = {}
    for trial in reported:
        for step, value in trial.intermediate_values.items():
            if math.isfinite(value):
                by_step.setdefault(step, []).append(value)
    steps = spread(sorted(by_step), MOST_STEPS)
    low, middle, high = ([float(np.quantile(by_step[step], share)) for step in steps] for share in (0.1, 0.5, 0.9))
    bound = {"mode": "lines", "line": {"width": 0, "color": GREY}, "hoverinfo": "skip"}
    return [
        go.Scatter(x=steps, y=low, showlegend=False, **bound),
        go.Scatter(x=steps, y=high, name="middle 80 %", fill="tonexty", fillcolor="rgba(127,127,127,0.3)", **bound),
        go.Scatter(x=steps, y=middle, mode="lines", name="median", line={"color": GREY, "width": 2, "dash": "dash"}),
    ]
