"""An axis of values that outliers do not ruin: logarithmic over many decades, and cut where few values lie far away.

Where not all values are positive, the axis is a symmetric logarithm: linear up to a size beside 0, logarithmic beyond.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from orchestrator.common.formatting import count, number
from orchestrator.report.facts import LARGEST
from orchestrator.report.plot import GREY

LOG_FROM = 100.0
"""Ratio of the typical values from which an axis is logarithmic."""
BOTH_SIGNS_LOG_FROM = 1_000.0
"""Likewise of the sizes of values of both signs: of any values around 0 some are close to it."""
CUT_FROM = 4.0
"""Outliers are left out where the axis would be more than so many times longer with them."""

_PAD = 0.05
_CLOSEST = 1_000.0
_FENCE, _FENCE_OF_EQUALS = 3.0, 6.0
_MANY = 12
_FEW_DECADES, _MOST_TICKS = 2, 6
_SYMBOLS = {(0, 1): "triangle-up", (0, -1): "triangle-down", (1, 0): "triangle-right", (-1, 0): "triangle-left"}


@dataclass(frozen=True)
class ValueAxis:
    """An axis, with the part of the values that it shows.

    Attributes:
        log: Whether it is logarithmic; only where all values are positive.
        linear: Of a symmetric logarithm, the size of values up to which the axis is linear; else 0.
        low: Lower end in the unit of the values; ``-inf`` where the smallest value is shown.
        high: Upper end likewise; ``inf`` where the largest is shown.
        beyond: Number of values outside.
        least: Smallest value that is shown.
        most: Largest value that is shown.
        ends: Where it ends, with a margin, in the units in which plotly has it; ``None`` for one value.
    """

    log: bool = False
    linear: float = 0.0
    low: float = -math.inf
    high: float = math.inf
    beyond: int = 0
    least: float = 0.0
    most: float = 1.0
    ends: tuple[float, float] | None = None

    def side(self, value: float | str) -> int:
        """Returns 1 where a value lies beyond the upper end, -1 beyond the lower one, else 0, as for a category."""
        return 0 if isinstance(value, str) else (value > self.high) - (value < self.low)

    def clamp(self, value: float) -> float:
        """Returns the value, or the end of the axis that it lies beyond."""
        return min(max(value, self.low), self.high)

    def at(self, value: Any) -> Any:
        """Returns what plotly is given for a value, which may be a category or ``None``."""
        return signed_log(value, self.linear) if self.linear and isinstance(value, int | float) else value

    def place(self, value: float) -> float:
        """Returns where a value lies: 0 at the smallest one that is shown, 1 at the largest."""
        turn = math.log10 if self.log else self.at
        low, at, high = turn(self.least), turn(self.clamp(value)), turn(self.most)
        return 0.5 if high == low else min(max((at - low) / (high - low), 0.0), 1.0)

    def layout(self, title: str) -> dict[str, Any]:
        """Returns the axis for plotly; its title says how it is logarithmic, and how many values it does not show."""
        said = f"{title}{self.kind}"
        made: dict[str, Any] = {"title": {"text": f"{said}; {self.beyond} beyond" if self.beyond else said}}
        if self.log:
            # Whole decades, as many as there is room for; of few decades 2 and 5 as well.
            decades = math.log10(self.most) - math.log10(self.least)
            step = "D2" if decades < _FEW_DECADES else math.ceil(decades / _MOST_TICKS)
            made |= {"type": "log", "exponentformat": "power", "dtick": step}
        if self.linear:
            found = self.ticks()
            made |= {"tickvals": list(map(self.at, found)), "ticktext": [f"{each:g}" for each in found]}
        if self.ends is not None:
            made["range"] = list(self.ends)
        return made

    @property
    def kind(self) -> str:
        """The addition to its title."""
        return ", log" if self.log else ", symmetric log" if self.linear else ""

    def ticks(self) -> list[float]:
        """Returns round numbers for the ticks of a symmetric logarithm: 0, and whole decades of both signs."""
        low, high = (signed_log(each, self.linear) for each in (self.least, self.most))
        step = max(1, math.ceil((high - low) / _MOST_TICKS))
        powers = range(0, math.ceil(max(-low, high)) + 1, step)
        sizes = [float(f"1e{round(math.log10(self.linear)) + power}") for power in powers]
        found = sorted({*(-size for size in sizes), 0.0, *sizes})
        return [each for each in found if self.least <= each <= self.most] or [self.least, self.most]

    def says(self, values: Iterable[float]) -> str:
        """Returns the sentence on the values that lie beyond the axis; empty where none does."""
        outside = [value for value in values if self.side(value)]
        if not outside:
            return ""
        lie, are = ("lies", "a triangle") if len(outside) == 1 else ("lie", "triangles")
        farthest = max(outside, key=lambda value: abs(value - self.clamp(value)))
        upto = number(farthest) if len(outside) == 1 else f"the farthest is {number(farthest)}"
        return f" {count(len(outside), 'value')} ({upto}) {lie} beyond the axis, {are} at its edge."


def of_points(
    values: Iterable[float], *, good: int = 0, log: bool | None = None, kept: Sequence[float] = ()
) -> ValueAxis:
    """Returns an axis for points.

    Args:
        values: What it shows; infinite ones and NaN are passed over.
        good: 1 where larger values are better, -1 where smaller ones are, else 0.
        log: Whether it is logarithmic, if all values are positive; ``None`` where they are to decide.
        kept: Some of the values, which are no outliers.
    """
    found = [float(value) for value in values if abs(value) <= LARGEST]
    return of_ranges(found, found, good=good, log=log, kept=kept)


def of_ranges(
    lows: Sequence[float],
    highs: Sequence[float],
    *,
    good: int = 0,
    log: bool | None = None,
    kept: Sequence[float] = (),
) -> ValueAxis:
    """Returns an axis for things that reach from a low to a high each, such as curves.

    A thing is an outlier on one side by Tukey's outer fence, three times the distance of the quartiles. On the good
    side of an objective a group of values is no outlier, however far away: it is what the search was for. The arguments
    are those of ``of_points``.
    """
    if not lows:
        return ValueAxis()
    is_log = min(lows) >= 1 / LARGEST and (_spans_decades(lows, highs) if log is None else log)
    linear = _linear_part(lows, highs) if log is None and not is_log else 0.0
    turn: Callable[[float], float] = math.log10 if is_log else (lambda each: signed_log(each, linear))
    turned_lows, turned_highs = (list(map(turn, each)) for each in (lows, highs))
    low, high = min(turned_lows), max(turned_highs)
    never = list(map(turn, kept))
    inner_low = min(-_outermost([-each for each in turned_lows], is_good=good < 0), *never, math.inf)
    inner_high = max(_outermost(turned_highs, is_good=good > 0), *never, -math.inf)
    inside = inner_high - inner_low
    if inside > 0:
        longest = CUT_FROM * _caution(lows) * inside
        low = min(each for each in turned_lows if inner_high - each <= longest)
        high = max(each for each in turned_highs if each - inner_low <= longest)
    back: Callable[[float], float] = (lambda each: 10.0**each) if is_log else (lambda each: signed_power(each, linear))
    pad = (high - low) * _PAD
    first = back(low - pad) if low > min(turned_lows) else -math.inf
    last = back(high + pad) if high < max(turned_highs) else math.inf
    beyond = sum(lowest < first or highest > last for lowest, highest in zip(lows, highs, strict=True))
    ends = (low - pad, high + pad) if pad else None
    return ValueAxis(is_log, linear, first, last, beyond, back(low), back(high), ends)


def signed_log(value: float, linear: float) -> float:
    """Returns the symmetric logarithm: 1 and -1 at the ends of the linear part, and 1 more for each decade beyond. It
    is the value itself where ``linear`` is 0."""
    if not linear:
        return value
    size = abs(value) / linear
    return math.copysign(1.0 + math.log10(size) if size > 1.0 else size, value)


def signed_power(turned: float, linear: float) -> float:
    """Returns the value that has this symmetric logarithm."""
    if not linear:
        return turned
    size = 10.0 ** (abs(turned) - 1.0) if abs(turned) > 1.0 else abs(turned)
    return math.copysign(size * linear, turned)


def _linear_part(lows: Sequence[float], highs: Sequence[float]) -> float:
    """Returns the size up to which a symmetric logarithm is linear: the decade of the small ones of the values. 0 where
    no symmetric logarithm is called for."""
    small = sorted(min(abs(low), abs(high)) for low, high in zip(lows, highs, strict=True))
    small = [size for size in small if size >= 1 / LARGEST]
    if not small:
        return 0.0
    large = sorted(size for low, high in zip(lows, highs, strict=True) if (size := max(abs(low), abs(high))))
    typical = small[math.ceil(0.05 * (len(small) - 1)) if len(small) > 2 else 0]
    most = large[math.floor(0.95 * (len(large) - 1)) if len(large) > 2 else -1]
    # A single value close to 0 stretches no axis.
    least = max(small[math.floor(0.05 * (len(small) - 1))], typical / _CLOSEST)
    from_ratio = BOTH_SIGNS_LOG_FROM if min(lows) < 0 < max(highs) else LOG_FROM
    return 10.0 ** math.floor(math.log10(least)) if most / typical >= from_ratio else 0.0


def _spans_decades(lows: Sequence[float], highs: Sequence[float]) -> bool:
    low = sorted(lows)[math.ceil(0.05 * (len(lows) - 1))]
    high = sorted(highs)[math.floor(0.95 * (len(highs) - 1))]
    if len(lows) < 3:
        low, high = min(lows), max(highs)
    return high / low >= LOG_FROM


def _outermost(values: Sequence[float], *, is_good: bool) -> float:
    """Returns the largest value that is no outlier."""
    ordered = sorted(values)
    last = len(ordered) - 1
    if last < 2:
        return ordered[-1]
    low, middle, high = ordered[math.ceil(0.25 * last)], ordered[last // 2], ordered[math.floor(0.75 * last)]
    reach = _FENCE * _caution(values) * (high - low)
    if not reach:
        away = sorted(abs(each - middle) for each in ordered if each != middle)
        reach = _FENCE_OF_EQUALS * away[(len(away) - 1) // 2] if away else 0.0
    inside = [each for each in ordered if each <= high + reach]
    outside = ordered[len(inside) :]
    if is_good and len(outside) > max(1, len(ordered) // 20):
        return _outermost(outside, is_good=True)
    # More than a quarter of them are no outliers.
    return inside[-1] if len(outside) <= max(1, len(ordered) // 4) else ordered[-1]


def _caution(values: Sequence[float]) -> float:
    """Returns how much farther away an outlier has to be where the values are few: their quartiles say little."""
    return max(1.0, _MANY / len(values))


def at_edges(points: Iterable[tuple[float | str, float, str]], across: ValueAxis, up: ValueAxis) -> list[go.Scatter]:
    """Returns triangles at the edge of the plot for the points (x, y, text) that lie beyond an axis."""
    found: dict[str, list[tuple[float | str, float, str]]] = {}
    for x, y, text in points:
        sides = across.side(x), up.side(y)
        if sides != (0, 0):
            symbol = _SYMBOLS[(0, sides[1]) if sides[1] else (sides[0], 0)]
            place = x if isinstance(x, str) else across.at(across.clamp(x))
            found.setdefault(symbol, []).append((place, up.at(up.clamp(y)), text))
    return [
        go.Scatter(
            x=[x for x, _, _ in those],
            y=[y for _, y, _ in those],
            text=[text for _, _, text in those],
            mode="markers",
            name="beyond the axis",
            legendgroup="beyond the axis",
            showlegend=place == 0,
            cliponaxis=False,
            marker={"color": GREY, "symbol": symbol, "size": 10},
            hovertemplate="%{text}<extra>beyond the axis</extra>",
        )
        for place, (symbol, those) in enumerate(found.items())
    ]
