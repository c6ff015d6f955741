"""A plot or why there is none, the look that all plots share, and which trials are drawn where there are many."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import plotly.graph_objects as go
from optuna.trial import FrozenTrial

from orchestrator.common.formatting import cut, one_line
from orchestrator.report.facts import PAUSED, RETRIED, RETURNED, RUNNING, Facts

T = TypeVar("T")

BLUE, RED, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#b8669a", "#7f7f7f"
"""After Okabe and Ito, who chose them so that colour-blind people tell them apart. Each keeps a contrast of 3:1 to the
page in light and in dark; the brighter ones of their palette do not."""

SCALE = "Viridis"
"""For areas. Of points its ends are lost, one on a dark page and one on a light one."""
SEQUENCE = ((0.0, BLUE), (0.5, GREY), (1.0, RED))
"""For points and lines: each colour of it is seen on both pages."""

OBJECTIVES = (BLUE, RED, GREEN, PURPLE)

# Colour never stands alone: symbols and patterns say the same.
COLOURS = {
    "completed": BLUE,
    "pruned": RED,
    "failed": PURPLE,
    PAUSED: GREEN,
    RETRIED: GREY,
    RETURNED: GREY,
    RUNNING: GREEN,
}
PATTERNS = {"completed": "", "pruned": "/", "failed": "x", PAUSED: "|", RETRIED: "-", RETURNED: ".", RUNNING: "\\"}

_MOST_LETTERS = 60
_MOST_TICKS = 8
"""Beyond them plotly takes steps of whole numbers by itself."""


@dataclass(frozen=True)
class Plot:
    """One plot.

    Attributes:
        id: Names it in links and as a file.
        title: The heading.
        says: What it shows, in a sentence or two, and what is left out. Plain text.
        figures: What is drawn, mostly one figure.
        absent: Why nothing is drawn, where nothing is.
    """

    id: str
    title: str
    says: str = ""
    figures: tuple[go.Figure, ...] = ()
    absent: str = ""

    def names(self) -> tuple[str, ...]:
        """Returns the file name of each figure, without its ending."""
        if len(self.figures) == 1:
            return (self.id,)
        return tuple(f"{self.id}-{index}" for index in range(1, len(self.figures) + 1))


def bars(
    lengths: Sequence[float], places: Sequence[str], name: str, colour: str | None, shape: str, **more: Any
) -> go.Bar:
    """Returns horizontal bars, all with one name, colour and pattern; ``more`` goes to plotly's ``Bar``."""
    pattern = {"shape": shape, "size": 6, "fillmode": "overlay"}
    style = {
        "marker_color": colour,
        "marker_pattern": pattern,
        "hovertemplate": "%{y}: %{x}<extra>" + name + "</extra>",
    }
    return go.Bar(x=lengths, y=places, name=name, orientation="h", **style | more)


def label(text: str, most: int = _MOST_LETTERS) -> str:
    """Returns foreign text for a plot: one line, cut, without anything that plotly takes for markup."""
    return html.escape(cut(one_line(text), most), quote=False)


def labels(names: Iterable[str], most: int = _MOST_LETTERS) -> dict[str, str]:
    """Returns each name as ``label`` does; those that begin alike are told apart by a number."""
    made: dict[str, str] = {}
    taken: set[str] = set()
    for place, name in enumerate(names):
        text = label(name, most)
        made[name] = f"{text} {place}" if text in taken else text
        taken.add(made[name])
    return made


def counted(title: str, most: int) -> dict[str, Any]:
    """Returns an axis for counts up to ``most``: no tick lies between two whole numbers."""
    return {"title": {"text": title}, "rangemode": "tozero", "dtick": 1 if most <= _MOST_TICKS else None}


def figure(*traces: Any, height: int = 380, **layout: Any) -> go.Figure:
    """Returns a figure without a theme of its own: the page adds one, light or dark."""
    made = go.Figure(data=list(traces))
    tidy(made, height=height, **layout)
    return made


def tidy(made: go.Figure, *, height: int, **layout: Any) -> None:
    """Removes the colours and sizes that a figure has of its own."""
    made.update_layout(
        template=go.layout.Template(),
        title=None,
        width=None,
        height=height,
        plot_bgcolor="rgba(0,0,0,0)",
        margin={"l": 70, "r": 20, "t": 30, "b": 60},
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
    )
    made.update_layout(**layout)


def spread(items: Sequence[T], most: int) -> list[T]:
    """Returns at most so many, evenly spread, the first and the last one among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]


def best_and_spread(facts: Facts, most: int) -> list[FrozenTrial]:
    """Returns at most so many completed trials by number: the best fifth, the rest spread over the search."""
    if len(facts.completed) <= most:
        return facts.completed
    best = facts.ranked[: most // 5]
    kept = {trial.number for trial in best}
    rest = spread([trial for trial in facts.completed if trial.number not in kept], most - len(best))
    return sorted([*best, *rest], key=lambda trial: trial.number)


def limit(drawn: int, there: int, noun: str) -> str:
    """Returns the sentence that says how many are drawn; empty where all are."""
    return "" if drawn >= there else f" Drawn are {drawn} of {there} {noun}."
