"""Numbers, durations and foreign text the way every view writes them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

ENOUGH = 100
"""Least number of measurements for a 99th percentile."""

MOST_LISTED = 5
_MOST_PLACES, _LARGEST_IN_FULL = 6, 1e6  # of a number that is written without an exponent
NOTHING = "–"
NONE_FEASIBLE = "no completed trial satisfies its constraints"


def number(value: float | None) -> str:
    """Returns ``value`` with four significant digits; NaN and infinities by their names."""
    return NOTHING if value is None else f"{value:.4g}"


def numbers(values: Iterable[float]) -> str:
    """Returns each value as ``number`` does, with commas between."""
    return ", ".join(map(number, values))


def aligned(value: float | None) -> str:
    """Returns ``number`` with its trailing zeros, so that the numbers of a column align."""
    return NOTHING if value is None else f"{value:#.4g}".removesuffix(".")


def with_error(value: float, error: float) -> str:
    """Returns ``0.91 ± 0.02``: the error with one significant digit, or two behind a 1, and the value no finer."""
    if not (math.isfinite(error) and error > 0):
        return f"{number(value)} ± {number(error)}"
    digits = 2 if f"{error:.1e}".startswith("1") else 1
    rounded = f"{error:.{digits - 1}e}"
    places = max(0, digits - 1 - int(rounded.partition("e")[2]))
    if places <= _MOST_PLACES and max(abs(value), error) < _LARGEST_IN_FULL:
        return f"{value:.{places}f} ± {float(rounded):.{places}f}"
    return f"{number(value)} ± {number(float(rounded))}"


def count(amount: int, noun: str) -> str:
    """Returns ``1 epoch``, ``2 epochs``."""
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"


def listed(items: Iterable[object]) -> str:
    """Returns ``a, b, c, d, e and 2 more``: at most ``MOST_LISTED`` items, and how many more there are."""
    texts = [str(item) for item in items]
    more = f" and {len(texts) - MOST_LISTED} more" if len(texts) > MOST_LISTED else ""
    return ", ".join(texts[:MOST_LISTED]) + more


def percent(part: int, whole: int) -> str:
    """Returns ``part`` in percent of ``whole``; never rounded to 0 or 100 where it is neither."""
    if whole <= 0:
        return NOTHING
    share = 100 * part / whole
    if 0 < share < 1:
        return "<1%"
    if 99 < share < 100:
        return ">99%"
    return f"{share:.0f}%"


def params(values: Mapping[str, Any]) -> list[str]:
    """Returns ``name=value`` for each parameter, on one line each."""
    return [f"{one_line(name)}={param(value)}" for name, value in values.items()]


def param(value: Any) -> str:
    """Returns the value of a parameter, on one line."""
    return number(value) if isinstance(value, float) else one_line(str(value))


def duration(seconds: float) -> str:
    """Returns how long something took: ``0.42s``, ``3.1s``, ``4m 05s``, ``2h 03m``."""
    if not math.isfinite(seconds):
        return NOTHING
    if seconds < 0.995:
        return f"{max(seconds, 0.0):.2f}s"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    return f"{minutes // 60}h {minutes % 60:02d}m"


def is_apart(trained: float, passed: float) -> bool:
    """Returns whether the time on a slot is worth being shown beside the time that passed."""
    return passed - trained > max(1.0, passed / 10)


def percentiles(measured: Mapping[str, float]) -> str:
    """Returns ``12.30 ms (median), 45.60 ms (99th percentile)``; of fewer than a hundred the largest, as there is no
    such percentile."""
    number = int(measured.get("count", ENOUGH))
    if number < 2:
        return f"{measured['p50']:.2f} ms (measured once)"
    end = "99th percentile" if number >= ENOUGH else f"the largest of {number}"
    return f"{measured['p50']:.2f} ms (median), {measured['p99']:.2f} ms ({end})"


def silence(seconds: float, pace: float) -> str:
    """Returns ``last report 20m 00s ago, usually every 0.30s``."""
    return f"last report {duration(seconds)} ago, usually every {duration(pace)}"


def clock(seconds: float) -> str:
    """Returns ``0:07``, ``12:40``, ``3:05:09``, for a clock that counts up or down."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def one_line(text: str) -> str:
    """Returns foreign text as one line without control characters, so that it cannot move the cursor."""
    return "".join(c if c.isprintable() or c in _JOINERS else "�" for c in " ".join(text.split()))


def cut(text: str, longest: int) -> str:
    """Returns the text, cut to ``longest`` characters."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


# Not printable to Python, and part of ordinary text: they join letters and emoji.
_JOINERS = "\u200c\u200d"
