"""The timeline: what each slot did at what time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from orchestrator.common.formatting import duration, percent
from orchestrator.report.facts import Facts, SlotInterval
from orchestrator.report.plot import COLOURS, GREY, PATTERNS, SCALE, Plot, bars, figure, label
from orchestrator.report.time_axis import STRIPE, TimeAxis, without_pauses

MOST_BARS = 1_500
BINS = 300


def timeline(facts: Facts) -> Plot:
    """Draws a bar for each attempt; of very many attempts how busy each slot was."""
    title, intervals = "Timeline of the slots", facts.intervals
    if not intervals:
        return Plot("timeline", title, absent="No attempt of a trial has started on a slot.")
    time = without_pauses(facts)
    per, axis = time.layout()
    slots = sorted({each.slot for each in intervals}, reverse=True)
    busy = sum(each.end - each.begin - time.lost(each.begin, each.end) for each in intervals)
    # A slot that came late, or has gone, was not idle then.
    there = sum(_span([each for each in intervals if each.slot == slot], time) for slot in slots)
    which, whose = ("The slot was", "its") if len(slots) == 1 else (f"The {len(slots)} slots were", "their")
    says = f"{which} at work {percent(round(1000 * busy), round(1000 * there))} of the time between {whose} first start"
    says += f" and {whose} last end ({duration(busy)} of slot time)."
    says += time.says()
    height = 180 + 26 * len(slots)
    y = {"categoryorder": "array", "categoryarray": [label(slot) for slot in slots], "automargin": True}
    if len(intervals) > MOST_BARS:
        says += f" {len(intervals)} attempts are too many for a bar each: the colour is how busy a slot was."
        trace = _share(intervals, slots, time, per)
        return Plot("timeline", title, says, (figure(trace, height=height, yaxis=y, **axis),))
    says += " A bar is an attempt; what lies between two bars was idle."
    drawn = []
    for kind in COLOURS:
        those = [each for each in intervals if each.kind == kind]
        if those:
            drawn.append(
                bars(
                    [(time.place(each.end) - time.place(each.begin)) / per for each in those],
                    [label(each.slot) for each in those],
                    kind,
                    COLOURS[kind],
                    PATTERNS[kind],
                    base=[time.place(each.begin) / per for each in those],
                    marker_line={"width": 0.5, "color": GREY},
                    text=[_words(each) for each in those],
                    textposition="none",
                    hovertemplate="%{text}<extra>" + kind + "</extra>",
                )
            )
    if time.pauses:
        # An annotation at the stripe would meet the legend on a narrow page.
        drawn.append(bars([math.nan], [label(slots[0])], time.legend, STRIPE, "", hoverinfo="skip", hovertemplate=None))
    made = figure(*drawn, height=height, yaxis=y, barmode="overlay", bargap=0.25, showlegend=True, **axis)
    return Plot("timeline", title, says, (made,))


def _span(intervals: Sequence[SlotInterval], time: TimeAxis) -> float:
    begin, end = min(each.begin for each in intervals), max(each.end for each in intervals)
    return end - begin - time.lost(begin, end)


def _words(interval: SlotInterval) -> str:
    return f"trial {interval.trial}, attempt {interval.attempt}, {duration(interval.end - interval.begin)}"


def _share(intervals: Sequence[SlotInterval], slots: Sequence[str], time: TimeAxis, per: float) -> go.Heatmap:
    length = max(time.length, 1e-9)
    edges = np.linspace(0.0, length, BINS + 1)
    shares = np.zeros((len(slots), BINS))
    for each in intervals:
        overlap = np.minimum(edges[1:], time.place(each.end)) - np.maximum(edges[:-1], time.place(each.begin))
        shares[slots.index(each.slot)] += np.clip(overlap, 0.0, None)
    return go.Heatmap(
        x=(edges[1:] + edges[:-1]) / 2 / per,
        y=[label(slot) for slot in slots],
        z=np.clip(shares / (length / BINS), 0.0, 1.0),
        zmin=0.0,
        zmax=1.0,
        colorscale=SCALE,
        colorbar={"title": "busy", "thickness": 14},
    )
