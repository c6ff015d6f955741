"""What each slot did, when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from orchestrator.common.formatting import duration, percent
from orchestrator.report.facts import Facts, Stint
from orchestrator.report.plot import COLOURS, PATTERNS, SCALE, Plot, figure, label, pattern

MOST_BARS = 1_500
BINS = 300
_UNITS = ((2 * 3600.0, "hours", 3600.0), (300.0, "minutes", 60.0), (0.0, "seconds", 1.0))


def timeline(facts: Facts) -> Plot:
    """A bar for each attempt; of very many how busy each slot was."""
    title, stints = "Timeline of the slots", facts.stints
    if not stints:
        return Plot("timeline", title, absent="No attempt of a trial has started on a slot.")
    start = min(each.begin for each in stints)
    span = max(each.end for each in stints) - start
    unit, per = next((name, size) for least, name, size in _UNITS if span >= least)
    slots = sorted({each.slot for each in stints}, reverse=True)
    busy = sum(each.end - each.begin for each in stints)
    # A slot that came late, or has gone, was not idle then.
    there = sum(_span([each for each in stints if each.slot == slot]) for slot in slots)
    which, whose = ("The slot was", "its") if len(slots) == 1 else (f"The {len(slots)} slots were", "their")
    says = f"{which} at work {percent(round(1000 * busy), round(1000 * there))} of the time between {whose} first start"
    says += f" and {whose} last end ({duration(busy)} of slot time)."
    height = 160 + 26 * len(slots)
    x = {"title": {"text": f"{unit} since the first start"}}
    y = {"categoryorder": "array", "categoryarray": [label(slot) for slot in slots], "automargin": True}
    if len(stints) > MOST_BARS:
        says += f" {len(stints)} attempts are too many for a bar each: the colour is how busy a slot was."
        trace = _share(stints, slots, start, max(span, 1e-9), per)
        return Plot("timeline", title, says, (figure(trace, height=height, xaxis=x, yaxis=y),))
    says += " A bar is an attempt; what lies between two bars was idle."
    bars = []
    for kind in COLOURS:
        those = [each for each in stints if each.kind == kind]
        if those:
            bars.append(
                go.Bar(
                    base=[(each.begin - start) / per for each in those],
                    x=[(each.end - each.begin) / per for each in those],
                    y=[label(each.slot) for each in those],
                    orientation="h",
                    name=kind,
                    marker={
                        "color": COLOURS[kind],
                        "pattern": pattern(PATTERNS[kind]),
                        "line": {"width": 0.5, "color": "#7f7f7f"},
                    },
                    text=[_words(each) for each in those],
                    textposition="none",
                    hovertemplate="%{text}<extra>" + kind + "</extra>",
                )
            )
    made = figure(*bars, height=height, xaxis=x, yaxis=y, barmode="overlay", bargap=0.25)
    return Plot("timeline", title, says, (made,))


def _span(stints: Sequence[Stint]) -> float:
    return max(each.end for each in stints) - min(each.begin for each in stints)


def _words(stint: Stint) -> str:
    return f"trial {stint.trial}, attempt {stint.attempt}, {duration(stint.end - stint.begin)}"


def _share(stints: Sequence[Stint], slots: Sequence[str], start: float, span: float, per: float) -> go.Heatmap:
    edges = np.linspace(0.0, span, BINS + 1)
    shares = np.zeros((len(slots), BINS))
    for each in stints:
        overlap = np.minimum(edges[1:], each.end - start) - np.maximum(edges[:-1], each.begin - start)
        shares[slots.index(each.slot)] += np.clip(overlap, 0.0, None)
    return go.Heatmap(
        x=(edges[1:] + edges[:-1]) / 2 / per,
        y=[label(slot) for slot in slots],
        z=np.clip(shares / (span / BINS), 0.0, 1.0),
        zmin=0.0,
        zmax=1.0,
        colorscale=SCALE,
        colorbar={"title": "busy", "thickness": 14},
    )
