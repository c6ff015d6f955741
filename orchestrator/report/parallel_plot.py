"""Parallel coordinates: a line for each trial, through its values and all its parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial
from plotly.colors import sample_colorscale

from orchestrator.common.formatting import number
from orchestrator.report.columns import Column
from orchestrator.report.facts import Facts
from orchestrator.report.parameter_plots import MOST_PARAMETERS, absent_of, names_of
from orchestrator.report.plot import GREY, RED, Plot, best_and_spread, figure, label, labels, limit
from orchestrator.report.value_axis import ValueAxis, of_points

MOST_LINES = 300
LINES = ((0.0, GREY), (1.0, RED))
"""From the worst to the best."""

_SHADES = 12
"""Lines of a shade are one trace: hundreds of traces would make the page slow."""
_ABSENT = -0.14
"""Height of a line where its trial does not have the parameter."""
_MOST_CHOICES = 8
_WIDTH = 84
"""Least pixels from axis to axis; a narrow screen scrolls."""


def parallel(facts: Facts) -> Plot:
    """Draws a line for each trial, through its value and all its parameters."""
    title, names = "Parallel coordinates", names_of(facts)
    if absent := absent_of(facts, names, 2, several=True):
        return Plot("parallel", title, absent=absent)
    drawn = best_and_spread(facts, MOST_LINES)
    shown = names[:MOST_PARAMETERS]
    values = [_Scale.of_values(facts, drawn, index) for index in range(len(facts.spec.objectives))]
    scales = [*values, *(_Scale.of_parameter(name, text, drawn) for name, text in labels(shown, 24).items())]
    first = label(facts.objective(0))
    says = f"A line for each completed trial, through its value{'' if facts.single else 's'} and its parameters; the"
    says += f" line of the best {first} is orange, that of the worst grey, and the better ones lie above."
    says += limit(len(drawn), len(facts.completed), "completed trials, the best among them")
    says += limit(len(shown), len(names), "parameters")
    if any(_ABSENT in scale.places for scale in scales):
        says += " A line runs below an axis where its trial does not have that parameter."
    if any(scale.is_cut for scale in scales):
        says += " Values far from all others lie at the end of their axis, which says so."
    traces = [*_lines(facts, drawn, scales), _legend(facts, values[0])]
    across = list(range(len(scales)))
    made = figure(
        *traces,
        height=460,
        margin={"l": 40, "r": 20, "t": 40, "b": 90},
        meta={"min_width": _WIDTH * len(scales) + 100},
        xaxis={
            "tickvals": across,
            "ticktext": [scale.title for scale in scales],
            "tickangle": 25,
            "range": [-0.4, len(scales) - 0.4],
            "showgrid": False,
            "zeroline": False,
        },
        yaxis={"range": [-0.2, 1.12], "visible": False, "fixedrange": True},
        shapes=[
            {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": {"color": GREY, "width": 1}, "layer": "below"}
            for x in across
        ],
        annotations=[
            {"x": x, "y": y, "text": text, "showarrow": False, "font": {"size": 11}, "yanchor": anchor}
            # The name of a choice stands beside its axis, where fewer lines cross it.
            | ({"xanchor": "left", "xshift": 5} if anchor == "middle" else {})
            for x, scale in enumerate(scales)
            for y, text, anchor in scale.marks
        ],
        showlegend=False,
        hovermode="closest",
    )
    return Plot("parallel", title, says, (made,))


class _Scale:
    """One axis.

    Attributes:
        title: Its name, and whether it is logarithmic or cut.
        places: Height of each trial, from 0 to 1, or ``_ABSENT``.
        texts: Value of each trial.
        marks: What is written at the axis, as (height, text, anchor).
        is_cut: Whether values lie beyond its ends.
    """

    def __init__(self, title: str, places: list[float], texts: list[str], marks: list[tuple[float, str, str]]) -> None:
        self.title, self.places, self.texts, self.marks = title, places, texts, marks
        self.is_cut = False

    @classmethod
    def of_values(cls, facts: Facts, trials: Sequence[FrozenTrial], index: int) -> _Scale:
        direction = facts.spec.objectives[index]
        name = label(facts.objective(index), 24) + ("" if facts.single else f" ({direction})")
        values = [trial.values[index] for trial in trials]
        return cls._of_numbers(name, values, of_points(values, good=1 if direction == "maximize" else -1))

    @classmethod
    def of_parameter(cls, name: str, title: str, trials: Sequence[FrozenTrial]) -> _Scale:
        column = Column(name, trials, lambda text: label(text, 14))
        values = [column.shown(trial.params[name]) if name in trial.params else None for trial in trials]
        if not isinstance(column.kind, CategoricalDistribution):
            return cls._of_numbers(title, values, column.axis)
        choices = sorted({str(value) for value, trial in zip(values, trials, strict=True) if name in trial.params})
        heights = {choice: (place + 0.5) / len(choices) for place, choice in enumerate(choices)}
        marks = [(heights[choice], choice, "middle") for choice in choices]
        if len(marks) > _MOST_CHOICES:
            marks = [marks[0], marks[-1]]
        has = [name in trial.params for trial in trials]
        return cls(
            title,
            [heights[str(value)] if there else _ABSENT for value, there in zip(values, has, strict=True)],
            [str(value) if there else "–" for value, there in zip(values, has, strict=True)],
            marks,
        )

    @classmethod
    def _of_numbers(cls, name: str, values: Sequence[float | None], axis: ValueAxis) -> _Scale:
        title = name + (", log" if axis.log else "") + (f"; {axis.beyond} beyond" if axis.beyond else "")
        places = [_ABSENT if value is None else axis.place(value) for value in values]
        texts = ["–" if value is None else f"{value:.6g}" for value in values]
        if axis.most == axis.least:
            return cls(title, places, texts, [(0.5, number(axis.least), "bottom")])
        marks = [(0.0, number(axis.least), "top"), (1.0, number(axis.most), "bottom")]
        made = cls(title, places, texts, marks)
        made.is_cut = axis.beyond > 0
        return made


def _lines(facts: Facts, trials: Sequence[FrozenTrial], scales: Sequence[_Scale]) -> list[go.Scatter]:
    """Returns the lines by shade, the best ones last and so above."""
    found: dict[int, list[int]] = {}
    for place in range(len(trials)):
        found.setdefault(round((_SHADES - 1) * _goodness(facts, scales[0].places[place])), []).append(place)
    traces = []
    for shade in sorted(found):
        (colour,) = sample_colorscale([list(each) for each in LINES], [shade / (_SHADES - 1)])
        x: list[int | None] = []
        y: list[float | None] = []
        texts: list[str] = []
        for place in found[shade]:
            x += [*range(len(scales)), None]
            y += [*(scale.places[place] for scale in scales), None]
            texts += [f"trial {trials[place].number}: {scale.title} {scale.texts[place]}" for scale in scales] + [""]
        traces.append(
            go.Scatter(
                x=x,
                y=y,
                text=texts,
                mode="lines",
                showlegend=False,
                line={"color": colour, "width": 1.3},
                hovertemplate="%{text}<extra></extra>",
            )
        )
    return traces


def _goodness(facts: Facts, place: float) -> float:
    return place if facts.maximize else 1.0 - place


def _legend(facts: Facts, scale: _Scale) -> go.Scatter:
    """Returns a trace that draws nothing but the bar of colours, from the worst value to the best."""
    ends = [text for _, text, _ in scale.marks]
    worst, best = (ends[0], ends[-1]) if facts.maximize else (ends[-1], ends[0])
    bar: dict[str, Any] = {"thickness": 14, "tickvals": [0, 1], "ticktext": [f"worst {worst}", f"best {best}"]}
    return go.Scatter(
        x=[None],
        y=[None],
        mode="markers",
        marker={"color": [0.0], "cmin": 0, "cmax": 1, "colorscale": LINES, "showscale": True, "colorbar": bar},
        showlegend=False,
        hoverinfo="skip",
    )
