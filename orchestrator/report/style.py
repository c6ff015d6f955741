"""Colours, and foreign text made safe for plots: what is the same in every one of them."""

from __future__ import annotations

import html
from typing import Any

import plotly.graph_objects as go

from orchestrator.common.formatting import one_line
from orchestrator.report.facts import PAUSED, RETRIED, RETURNED, RUNNING

BLUE, RED, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#b8669a", "#7f7f7f"
"""After Okabe and Ito, who chose them so that colour-blind people tell them apart. Each keeps a contrast of 3:1 to the
page in light and in dark, for which the brighter ones of theirs are left out."""

SCALE = "Viridis"

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

_MOST = 60
_EACH = 8  # so many ticks have room; beyond that plotly takes steps of whole numbers by itself


def pattern(shape: str) -> dict[str, Any]:
    """Returns a bar's pattern over its colour, in whichever of black and white stands out more."""
    return {"shape": shape, "size": 6, "fillmode": "overlay"}


def label(text: str, most: int = _MOST) -> str:
    """Returns foreign text for a plot: one line, cut, and with nothing that plotly takes for markup."""
    text = one_line(text)
    return html.escape(text if len(text) <= most else text[: most - 1] + "…", quote=False)


def counted(title: str, most: int) -> dict[str, Any]:
    """Returns an axis of things that are counted, up to ``most``: no tick lies between two whole numbers."""
    return {"title": {"text": title}, "rangemode": "tozero", "dtick": 1 if most <= _EACH else None}


def figure(*traces: Any, height: int = 380, **layout: Any) -> go.Figure:
    """Returns a figure without a theme of its own: the page lays one over it, light or dark."""
    made = go.Figure(data=list(traces))
    tidy(made, height=height, **layout)
    return made


def tidy(made: go.Figure, *, height: int, **layout: Any) -> None:
    """Takes away what a figure brings along of colours and sizes."""
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
