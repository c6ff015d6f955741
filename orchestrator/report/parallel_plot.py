"""Parallel coordinates: a line for each trial, through its values and all its parameters.

The axes lie across, one below the other: so they fit on a page of any width, and their names can be read.
"""

from __future__ import annotations

import html
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
"""Place of a line where its trial does not have the parameter."""
_MOST_CHOICES = 8
_LETTERS = 44
"""Of all choices of an axis together, so that they have room beside each other on a narrow page."""
_ROW = 62
"""Pixels from axis to axis."""
_TITLE, _MARK = -0.42, 0.06
"""Where titles and marks are, in rows below an axis."""


def parallel(facts: Facts) -> Plot:
    """Draws a line for each trial, through its value and all its parameters."""
    title, names = "Parallel coordinates", names_of(facts)
    if absent := absent_of(facts, names, 2, several=True):
        return Plot("parallel", title, absent=absent)
    drawn = best_and_spread(facts, MOST_LINES)
    shown = names[:MOST_PARAMETERS]
    values = [_Scale.of_values(facts, drawn, index) for index in range(len(facts.spec.objectives))]
    scales = [*values, *(_Scale.of_parameter(name, text, drawn) for name, text in labels(shown, _LETTERS).items())]
    first = label(facts.objective(0))
    says = f"A line for each completed trial, through its value{'' if facts.single else 's'} and its parameters; the"
    says += f" line of the best {first} is orange, that of the worst grey, and the better ones lie on top."
    says += limit(len(drawn), len(facts.completed), "completed trials, the best among them")
    says += limit(len(shown), len(names), "parameters")
    lacking = any(_ABSENT in scale.places for scale in scales)
    if lacking:
        says += " A line runs left of an axis where its trial does not have that parameter."
    if any(scale.is_cut for scale in scales):
        says += " Values far from all others lie at the end of their axis, which says so."
    traces = [*_lines(facts, drawn, scales), _legend(facts, values[0])]
    rows = list(range(len(scales)))
    made = figure(
        *traces,
        height=_ROW * len(scales) + 90,
        margin={"l": 12, "r": 12, "t": 60, "b": 10},
        xaxis={"range": [_ABSENT - 0.04 if lacking else -0.02, 1.02], "visible": False, "fixedrange": True},
        yaxis={"range": [len(scales) - 0.4, -0.6], "visible": False, "fixedrange": True},
        shapes=[
            {"type": "line", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": {"color": GREY, "width": 1}, "layer": "below"}
            for y in rows
        ],
        annotations=[
            note
            for y, scale in enumerate(scales)
            for note in (
                _note(0.0, y + _TITLE, f"<b>{scale.title}</b>", "left"),
                *(_note(x, y + _MARK, text, side) for x, text, side in scale.marks),
            )
        ],
        showlegend=False,
        hovermode="closest",
    )
    return Plot("parallel", title, says, (made,))


def _note(x: float, y: float, text: str, side: str) -> dict[str, Any]:
    return {
        "x": x,
        "y": y,
        "text": text,
        "showarrow": False,
        "font": {"size": 11},
        "xanchor": side,
        "yanchor": "top",
    }


class _Scale:
    """One axis.

    Attributes:
        title: Its name, and whether it is logarithmic or cut.
        places: Place of each trial, from 0 to 1, or ``_ABSENT``.
        texts: Value of each trial.
        marks: What is written at the axis, as (place, text, anchor).
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
        column = Column(name, trials, lambda text: label(text, _LETTERS))
        values = [column.shown(trial.params[name]) if name in trial.params else None for trial in trials]
        if not isinstance(column.kind, CategoricalDistribution):
            return cls._of_numbers(title, values, column.axis)
        choices = sorted({str(value) for value, trial in zip(values, trials, strict=True) if name in trial.params})
        found = {choice: (place + 0.5) / len(choices) for place, choice in enumerate(choices)}
        marks = [(found[each], _short(each, _LETTERS // len(choices)), "center") for each in choices]
        if len(choices) > _MOST_CHOICES:
            first, last = (_short(each, _LETTERS // 2) for each in (choices[0], choices[-1]))
            marks = [(found[choices[0]], first, "left"), (found[choices[-1]], last, "right")]
        has = [name in trial.params for trial in trials]
        return cls(
            title,
            [found[str(value)] if there else _ABSENT for value, there in zip(values, has, strict=True)],
            [str(value) if there else "–" for value, there in zip(values, has, strict=True)],
            marks,
        )

    @classmethod
    def _of_numbers(cls, name: str, values: Sequence[float | None], axis: ValueAxis) -> _Scale:
        title = name + axis.kind + (f"; {axis.beyond} beyond" if axis.beyond else "")
        places = [_ABSENT if value is None else axis.place(value) for value in values]
        texts = ["–" if value is None else f"{value:.6g}" for value in values]
        if axis.most == axis.least:
            return cls(title, places, texts, [(0.5, number(axis.least), "center")])
        marks = [(0.0, number(axis.least), "left"), (1.0, number(axis.most), "right")]
        made = cls(title, places, texts, marks)
        made.is_cut = axis.beyond > 0
        return made


def _short(text: str, most: int) -> str:
    """Returns an escaped text, its middle left out where it is longer: long choices mostly differ at their end."""
    plain = html.unescape(text)
    if len(plain) > most:
        plain = f"{plain[: most // 2]}…{plain[len(plain) - (most - most // 2 - 1) :]}"
    return html.escape(plain, quote=False)


def _lines(facts: Facts, trials: Sequence[FrozenTrial], scales: Sequence[_Scale]) -> list[go.Scatter]:
    """Returns the lines by shade, the best ones last and so above."""
    found: dict[int, list[int]] = {}
    for place in range(len(trials)):
        high = scales[0].places[place]
        found.setdefault(round((_SHADES - 1) * (high if facts.maximize else 1.0 - high)), []).append(place)
    traces = []
    for shade in sorted(found):
        (colour,) = sample_colorscale([list(each) for each in LINES], [shade / (_SHADES - 1)])
        x: list[float | None] = []
        y: list[int | None] = []
        texts: list[str] = []
        for place in found[shade]:
            x += [*(scale.places[place] for scale in scales), None]
            y += [*range(len(scales)), None]
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


def _legend(facts: Facts, scale: _Scale) -> go.Scatter:
    """Returns a trace that draws nothing but the bar of colours, from the worst value to the best."""
    ends = [text for _, text, _ in scale.marks]
    worst, best = (ends[0], ends[-1]) if facts.maximize else (ends[-1], ends[0])
    bar = {
        "orientation": "h",
        "thickness": 10,
        "len": 0.8,
        "y": 1.0,
        "yanchor": "bottom",
        "tickvals": [0.1, 0.9],
        "ticktext": [f"worst {worst}", f"best {best}"],
    }
    return go.Scatter(
        x=[None],
        y=[None],
        mode="markers",
        marker={"color": [0.0], "cmin": 0, "cmax": 1, "colorscale": LINES, "showscale": True, "colorbar": bar},
        showlegend=False,
        hoverinfo="skip",
    )
