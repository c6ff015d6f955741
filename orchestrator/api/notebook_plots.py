"""Plots of a study for a notebook, as inline SVG that follows the page's colour of text."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from orchestrator.common.formatting import count, number
from orchestrator.model.progress_events import Notice, Progress, TrialEnded

WIDTH: Final = 420
HEIGHT: Final = 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 10, 22, 28
_KEPT: Final = 30
"""Curves that are kept: those of the trials that run, and of those that ended last."""

_POINTS: Final = 400
"""Points of one curve, and trials of one plot, that are drawn."""

_BLUE, _ORANGE, _GREY = "#1f77b4", "#ff7f0e", "#888888"
Point = tuple[float, float]


class History:
    """What the plots show, collected from notices.

    Attributes:
        ended: (Trials that had ended by then, value) of each completed trial, in the order of their ends.
        best: (Trials that had ended by then, best value) whenever that has changed.
        curves: (Step, value) of trials by number, as far as notices told.
    """

    def __init__(self) -> None:
        self.ended: list[Point] = []
        self.best: list[Point] = []
        self.curves: dict[int, list[Point]] = {}
        self._count = 0
        self.last = 0

    def add(self, notice: Notice) -> None:
        """Takes the next notice."""
        if isinstance(notice, TrialEnded):
            self._count = max(self._count, self.last) + 1
            if notice.state == "COMPLETE" and len(notice.values) == 1 and math.isfinite(notice.values[0]):
                self.ended.append((self._count, notice.values[0]))
        elif isinstance(notice, Progress):
            self.last = self._count = notice.ended
            best = None if notice.best is None else notice.best.value
            if best is not None and math.isfinite(best) and (not self.best or self.best[-1][1] != best):
                self.best.append((notice.ended, best))
            for line in notice.slots:
                self._add_report(line.trial, line.step, line.value)

    def _add_report(self, trial: int, step: int | None, value: float | None) -> None:
        if step is None or value is None or not math.isfinite(value):
            return
        curve = self.curves.setdefault(trial, [])
        if not curve or step > curve[-1][0]:
            curve.append((step, value))
        while len(self.curves) > _KEPT:
            del self.curves[min(self.curves)]


def best_plot(history: History, *, several: bool) -> str:
    """Returns the best value so far over the trials that have ended; empty while there is none, or no single best."""
    if several or not history.best:
        return ""
    line = [*history.best, (float(max(history.last, history.best[-1][0])), history.best[-1][1])]
    steps = [line[0]]
    for point in line[1:]:
        steps += [(point[0], steps[-1][1]), point]
    dots = history.ended[-_POINTS:]
    low, high = value_range([value for _, value in dots], [value for _, value in line])
    place = _placed(0.0, max(1.0, line[-1][0]), low, high)
    outside = sum(not low <= value <= high for _, value in dots)
    title = "best value so far" + (f" ({count(outside, 'trial')} beyond the axis)" if outside else "")
    drawn = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2" fill="{_GREY}" fill-opacity="0.6"/>'
        for x, y in (place(each) for each in dots if low <= each[1] <= high)
    ]
    return _svg(
        title,
        "trials that have ended",
        place,
        (0.0, max(1.0, line[-1][0])),
        (low, high),
        [
            *drawn,
            _path([place(each) for each in steps], _BLUE, 2.0),
        ],
    )


def curves_plot(history: History, running: Collection[int]) -> str:
    """Returns the learning curves of the trials that run, above those of trials that ended; empty while none are."""
    curves = {trial: curve for trial, curve in history.curves.items() if len(curve) > 1}
    if not curves:
        return ""
    points = [point for curve in curves.values() for point in curve]
    low, high = value_range([value for _, value in points], [])
    first, last = min(step for step, _ in points), max(step for step, _ in points)
    place = _placed(first, max(last, first + 1.0), low, high)
    drawn = []
    for trial, curve in sorted(curves.items(), key=lambda item: item[0] in running):
        stride = max(1, len(curve) // _POINTS)
        path = [place((step, min(max(value, low), high))) for step, value in [*curve[::stride], curve[-1]]]
        drawn.append(_path(path, _ORANGE if trial in running else _GREY, 1.6 if trial in running else 0.8))
    title = "trials that run" if any(trial in running for trial in curves) else "trials that ran last"
    return _svg(title, "epoch or step", place, (first, max(last, first + 1.0)), (low, high), drawn)


def value_range(values: Sequence[float], always: Sequence[float]) -> tuple[float, float]:
    """Returns the ends of an axis of values: without the outermost values where those lie far outside, so that the
    others can be told apart, and with all of ``always``."""
    ordered = sorted(values)
    if len(ordered) >= 8:
        quarter = len(ordered) // 4
        low, high = ordered[quarter], ordered[-1 - quarter]
        reach = 3 * (high - low) or math.inf
        ordered = [value for value in ordered if low - reach <= value <= high + reach]
    inside = [*ordered, *always]
    low, high = min(inside), max(inside)
    margin = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    return low - margin, high + margin


def _placed(left: float, right: float, low: float, high: float) -> Callable[[Point], Point]:
    across, up = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def place(point: Point) -> Point:
        return _LEFT + across * (point[0] - left) / (right - left), _TOP + up * (high - point[1]) / (high - low)

    return place


def _path(points: Iterable[Point], colour: str, width: float) -> str:
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>'


def _svg(
    title: str,
    below: str,
    place: Callable[[Point], Point],
    across: tuple[float, float],
    up: tuple[float, float],
    drawn: Sequence[str],
) -> str:
    left, bottom = place((across[0], up[0]))
    right, top = place((across[1], up[1]))
    grid, labels = [], []
    for share in (0.05, 0.5, 0.95):
        value = up[0] + share * (up[1] - up[0])
        y = place((across[0], value))[1]
        grid.append(f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>')
        labels.append(f'<text x="{left - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{number(value)}</text>')
    for x, value, anchor in ((left, across[0], "start"), (right, across[1], "end")):
        labels.append(f'<text x="{x:.1f}" y="{bottom + 16:.1f}" text-anchor="{anchor}">{number(value)}</text>')
    middle = (left + right) / 2
    labels.append(f'<text x="{middle:.1f}" y="{bottom + 16:.1f}" text-anchor="middle" opacity="0.7">{below}</text>')
    labels.append(f'<text x="{left:.1f}" y="{top - 8:.1f}" font-weight="bold">{title}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        'style="max-width: 100%; font: 11px sans-serif" role="img">'
        f'<g stroke="currentColor" stroke-opacity="0.15">{"".join(grid)}</g>'
        f'<g fill="currentColor">{"".join(labels)}</g>{"".join(drawn)}</svg>'
    )
