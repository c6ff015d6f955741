"""The learning curves: what the trials reported at each epoch, and where they were pruned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from optuna.trial import FrozenTrial, TrialState

from orchestrator.common.formatting import count
from orchestrator.pruning.expectations import BANDS, Expectation, newest
from orchestrator.report.facts import LARGEST, Facts
from orchestrator.report.plot import BLUE, GREEN, GREY, PURPLE, RED, Plot, counted, figure, label, limit, spread
from orchestrator.report.value_axis import ValueAxis, of_ranges

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
    missing = sum(not abs(value) <= LARGEST for trial in reported for value in trial.intermediate_values.values())
    if missing:
        says += f" {count(missing, 'report')} of NaN, infinity or beyond 1e150 are gaps."
    best = facts.ranked[:1]
    drawn = spread([trial for trial in reported if trial not in best], MOST_CURVES)
    drawn += [trial for trial in best if trial.intermediate_values]
    axis = _axis(facts, drawn)
    traces = [_line(drawn, axis, *state) for state in _STATES if any(trial.state is state[0] for trial in drawn)]
    if len(drawn) < len(reported):
        says += limit(len(drawn), len(reported), "curves")
        says += " The shaded band holds the middle 80 % of all trials that reported the epoch."
        traces = [*_band(reported, axis), *traces]
    longest = max(len(trial.intermediate_values) for trial in drawn)
    if longest > MOST_STEPS:
        says += f" Curves longer than {MOST_STEPS} epochs are thinned out."
    if axis.beyond:
        says += f" {count(axis.beyond, 'curve')} {'leaves' if axis.beyond == 1 else 'leave'} the axis."
    ends = [trial for trial in drawn if trial.state is TrialState.PRUNED]
    if ends:
        traces.append(_crosses(ends, axis))
    expected = [
        (trial, end)
        for trial in drawn
        if trial.state is not TrialState.COMPLETE and (end := newest(trial.system_attrs)) is not None
    ]
    if expected and facts.spec.max_steps is not None:
        says += " Dots are the ends that the rule expects, with the band that holds 90 % of them if it is right."
        traces += _expected(expected, facts.spec.max_steps, axis)
    if best and best[0].intermediate_values and facts.single:
        points = _points(best[0])
        traces.append(
            go.Scatter(
                x=[point[0] for point in points],
                y=[axis.at(point[1]) for point in points],
                text=[_text(point[1]) for point in points],
                mode="lines",
                name=f"best: trial {best[0].number}",
                hovertemplate="epoch %{x}: %{text}",
                line={"color": GREEN, "width": 3},
            )
        )
    name = f"reported {label(facts.objective(0))}" if facts.single else "reported value"
    last = max(step for trial in drawn for step in trial.intermediate_values)
    if expected:
        last = max(last, facts.spec.max_steps or 0)
    x = counted("epoch", last) | {"rangemode": "normal"}
    made = figure(*traces, height=460, xaxis=x, yaxis=axis.layout(name))
    return Plot("curves", title, says, (made,))


def _axis(facts: Facts, drawn: Sequence[FrozenTrial]) -> ValueAxis:
    """Returns the axis of the reported values. It judges curves by their ends and not report by report: of a loss that
    falls steeply the first epochs are no outliers."""
    finite = [[value for value in trial.intermediate_values.values() if abs(value) <= LARGEST] for trial in drawn]
    finite = [values for values in finite if values]
    return of_ranges(list(map(min, finite)), list(map(max, finite)), good=facts.good if facts.single else 0)


def _crosses(ends: Sequence[FrozenTrial], axis: ValueAxis) -> go.Scatter:
    """Returns the cross at the last epoch of each pruned trial."""
    points = [_points(trial)[-1] for trial in ends]
    return go.Scatter(
        x=[step for step, _ in points],
        y=[None if value is None else axis.at(axis.clamp(value)) for _, value in points],
        text=[f"trial {each.number} pruned at epoch {step}: {y}" for each, (step, y) in zip(ends, points, strict=True)],
        mode="markers",
        name="cut here",
        cliponaxis=False,
        marker={"color": RED, "symbol": "x", "size": 7},
        hovertemplate="%{text}<extra></extra>",
    )


def _expected(expected: list[tuple[FrozenTrial, Expectation]], end: int, axis: ValueAxis) -> list[go.Scatter]:
    """Returns the expected ends of trials that were not trained to their end, and their bands, side by side."""
    places = [end + place / len(expected) for place in range(len(expected))]
    bands: list[float | None] = []
    for _, each in expected:
        half = BANDS[90] * each.spread
        bands += [axis.at(each.end - half), axis.at(each.end + half), None]
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
            y=[axis.at(each.end) for _, each in expected],
            text=[f"trial {trial.number}, from epoch {each.step}: {each.text()}" for trial, each in expected],
            mode="markers",
            name="expected end",
            marker={"color": GREY, "symbol": "circle-open", "size": 6},
            hovertemplate="%{text}<extra></extra>",
        ),
    ]


def _points(trial: FrozenTrial) -> list[tuple[int, float | None]]:
    steps = spread(sorted(trial.intermediate_values.items()), MOST_STEPS)
    return [(step, value if abs(value) <= LARGEST else None) for step, value in steps]


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _line(
    drawn: list[FrozenTrial], axis: ValueAxis, state: TrialState, name: str, colour: str, dash: str
) -> go.Scatter:
    """Returns all curves of a state as one trace with gaps: hundreds of traces would make the page slow."""
    x: list[int | None] = []
    y: list[float | None] = []
    numbers: list[int | None] = []
    texts: list[str] = []
    for trial in drawn:
        if trial.state is state:
            points = _points(trial)
            x += [*(point[0] for point in points), None]
            y += [*(axis.at(point[1]) for point in points), None]
            texts += [*(_text(point[1]) for point in points), ""]
            numbers += [*([trial.number] * len(points)), None]
    return go.Scatter(
        x=x,
        y=y,
        customdata=numbers,
        text=texts,
        # A single report is no line.
        mode="lines" if len(x) > 2 * len(set(numbers)) else "lines+markers",
        name=name,
        # No opacity: on a dark page it takes away what contrast a thin line has.
        line={"color": colour, "width": 1.3, "dash": dash},
        marker={"size": 4},
        hovertemplate="trial %{customdata}, epoch %{x}: %{text}<extra></extra>",
    )


def _band(reported: list[FrozenTrial], axis: ValueAxis) -> list[go.Scatter]:
    by_step: dict[int, list[float]] = {}
    for trial in reported:
        for step, value in trial.intermediate_values.items():
            if abs(value) <= LARGEST:
                by_step.setdefault(step, []).append(value)
    steps = spread(sorted(by_step), MOST_STEPS)
    low, middle, high = (
        [axis.at(float(np.quantile(by_step[step], share))) for step in steps] for share in (0.1, 0.5, 0.9)
    )
    bound = {"mode": "lines", "line": {"width": 0, "color": GREY}, "hoverinfo": "skip"}
    return [
        go.Scatter(x=steps, y=low, showlegend=False, **bound),
        go.Scatter(x=steps, y=high, name="middle 80 %", fill="tonexty", fillcolor="rgba(127,127,127,0.3)", **bound),
        go.Scatter(x=steps, y=middle, mode="lines", name="median", line={"color": GREY, "width": 2, "dash": "dash"}),
    ]
