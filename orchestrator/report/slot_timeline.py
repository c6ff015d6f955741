"""The timeline: what each slot did at what time, without the long pauses in which nothing was at work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from orchestrator.common.formatting import duration, percent
from orchestrator.report.facts import Facts, SlotInterval
from orchestrator.report.plot import COLOURS, GREY, PATTERNS, SCALE, Plot, bars, figure, label

MOST_PAUSES = 0.5
"""Pauses are cut out, the longest first, until the others take at most this share of the time at work."""

_LEAST_PAUSE = 0.05
"""Share of the time at work that a pause has to last; shorter ones stay, however many there are."""
STRIPE = "rgba(127,127,127,0.35)"

_GAP, _MOST_GAPS = 0.03, 0.3
"""Length that a pause keeps when it is cut out, and all of them together, as shares of the time at work."""
_TICKS = 6
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
_DAY = 86_400
_UNITS = ((2 * 3600.0, "hours", 3600.0), (300.0, "minutes", 60.0), (0.0, "seconds", 1.0))


@dataclass(frozen=True)
class TimeAxis:
    """Places times on an axis, in seconds at work since the first start; all times are in seconds since the epoch.

    Attributes:
        start: The first start.
        end: The last end.
        pauses: What is cut out, as (begin, end), in order.
        gap: Length that each of them keeps on the axis, in seconds.
    """

    start: float
    end: float
    pauses: tuple[tuple[float, float], ...] = ()
    gap: float = 0.0

    @property
    def length(self) -> float:
        """Length of the axis in seconds."""
        return self.place(self.end)

    def place(self, time: float) -> float:
        """Returns where a time lies on the axis."""
        place = time - self.start
        for begin, end in self.pauses:
            if time > begin:
                gone = (min(time, end) - begin) / (end - begin)
                place += gone * (self.gap - (end - begin))
        return place

    def lost(self, begin: float, end: float) -> float:
        """Returns the seconds of a span that lie in pauses."""
        return sum(max(0.0, min(end, last) - max(begin, first)) for first, last in self.pauses)

    def layout(self) -> tuple[float, dict[str, Any]]:
        """Returns the seconds that one unit of the axis has, and plotly's layout of it."""
        if not self.pauses:
            unit, per = next((name, size) for least, name, size in _UNITS if self.end - self.start >= least)
            return per, {"xaxis": {"title": {"text": f"{unit} since the first start"}}}
        ticks = self._ticks()
        seconds = any(tick % 60 for tick in ticks)
        axis = {
            "title": {"text": f"time since the first start ({'h:min:s' if seconds else 'h:min'})"},
            "tickvals": [self.place(self.start + tick) for tick in ticks],
            "ticktext": [_clock(tick, with_seconds=seconds) for tick in ticks],
        }
        shapes = [
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": self.place(begin),
                "x1": self.place(end),
                "y0": 0,
                "y1": 1,
                "fillcolor": STRIPE,
                "line": {"width": 0},
            }
            for begin, end in self.pauses
        ]
        return 1.0, {"xaxis": axis, "shapes": shapes}

    @property
    def legend(self) -> str:
        """The explanation of the stripes; empty where there is none."""
        if not self.pauses:
            return ""
        whole = duration(sum(end - begin for begin, end in self.pauses))
        return f"pause of {whole}" if len(self.pauses) == 1 else f"{len(self.pauses)} pauses of {whole} together"

    def says(self) -> str:
        """Returns the sentence on what is cut out; empty where nothing is."""
        if not self.pauses:
            return ""
        if len(self.pauses) == 1:
            return f" A {self.legend}, in which no slot is known to have worked, is cut out: the grey stripe."
        return f" {self.legend}, in which no slot is known to have worked, are cut out: the grey stripes."

    def _ticks(self) -> list[int]:
        step = self.length / _TICKS
        by = next((each for each in _STEPS if each >= step), _DAY * max(1, math.ceil(step / _DAY)))
        ticks = []
        begin = self.start
        for first, last in (*self.pauses, (self.end, self.end)):
            from_, to = math.ceil((begin - self.start) / by), math.floor((first - self.start) / by)
            ticks += [by * tick for tick in range(from_, to + 1)]
            begin = last
        return ticks


def _clock(seconds: int, *, with_seconds: bool) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if with_seconds else f"{hours}:{minutes:02d}"


def without_pauses(facts: Facts) -> TimeAxis:
    """Returns the axis for the attempts of a study; at least one of them has started."""
    intervals = sorted(facts.intervals, key=lambda each: each.begin)
    start, end = intervals[0].begin, max(each.end for each in intervals)
    pauses, last = [], start
    for each in intervals:
        if each.begin > last:
            pauses.append((last, each.begin))
        last = max(last, each.begin + facts.worked(each))
    if end > last:
        pauses.append((last, end))
    left = sum(until - since for since, until in pauses)
    busy = end - start - left
    cut: list[tuple[float, float]] = []
    for since, until in sorted(pauses, key=lambda pause: pause[0] - pause[1]):
        if not busy or left <= MOST_PAUSES * busy or until - since < _LEAST_PAUSE * busy:
            break
        cut.append((since, until))
        left -= until - since
    return TimeAxis(start, end, tuple(sorted(cut)), min(_GAP, _MOST_GAPS / max(1, len(cut))) * busy)


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
