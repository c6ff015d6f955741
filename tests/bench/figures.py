"""What was measured, as rows of a table: the middle, the worst hundredth, and how often."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table. ``where``: which servers it was measured on, blank where none are involved."""

    name: str
    where: str
    median: str
    p99: str
    n: str
    note: str = ""


@dataclass(frozen=True)
class Section:
    """The rows of one figure, with how they were measured."""

    title: str
    how: str
    rows: tuple[Row, ...]


def timing(name: str, seconds: Sequence[float], *, where: str = "", note: str = "") -> Row:
    """Returns a row of durations."""
    if not seconds:
        return skipped(name, "nothing was recorded", where=where)
    return Row(
        name,
        where,
        duration(quantile(seconds, 0.5)),
        duration(quantile(seconds, 0.99)),
        str(len(seconds)),
        note,
    )


def rate(name: str, counts: Sequence[tuple[int, float]], unit: str, *, where: str = "", note: str = "") -> Row:
    """Returns a row of rates from pairs of how many and how long; p99 is the slowest of the repetitions."""
    if not counts:
        return skipped(name, "nothing was recorded", where=where)
    rates = [count / seconds for count, seconds in counts]
    slowest = f"{number(min(rates))} {unit}" if len(rates) > 1 else "–"
    total = sum(count for count, _ in counts)
    return Row(name, where, f"{number(quantile(rates, 0.5))} {unit}", slowest, str(total), note)


def single(name: str, text: str, *, where: str = "", note: str = "", n: int = 1) -> Row:
    """Returns a row of one value."""
    return Row(name, where, text, "–", str(n), note)


def skipped(name: str, why: str, *, where: str = "") -> Row:
    """Returns a row that says why there is no figure."""
    return Row(name, where, "skipped", "–", "0", why)


def quantile(values: Sequence[float], share: float) -> float:
    """Returns the value at that share by nearest rank; below 100 values, the 0.99 one is the largest."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def duration(seconds: float) -> str:
    """Returns a duration with the unit that suits it."""
    size = abs(seconds)
    if size >= 1:
        return f"{seconds:.2f} s"
    if size >= 1e-3:
        return f"{seconds * 1e3:.1f} ms" if size < 0.1 else f"{seconds * 1e3:.0f} ms"
    return f"{seconds * 1e6:.1f} µs" if size < 1e-4 else f"{seconds * 1e6:.0f} µs"


def number(value: float) -> str:
    """Returns a count to three digits, with thousands set apart."""
    if value >= 1000:
        digits = len(str(int(value))) - 3
        return f"{round(value, -digits):,.0f}".replace(",", " ")
    return f"{value:.3g}"


def table(rows: Sequence[Row]) -> str:
    """Returns the rows in Markdown, the columns aligned for people who read it as text."""
    cells = [("figure", "servers", "median", "p99", "n", "note")]
    cells += [(row.name, row.where, row.median, row.p99, row.n, row.note) for row in rows]
    used = [at for at in range(6) if at not in (1, 5) or any(line[at] for line in cells[1:])]
    widths = {at: max(2, *(len(line[at]) for line in cells)) for at in used}
    right = {2, 3, 4}
    lines = []
    for index, line in enumerate(cells):
        padded = [line[at].rjust(widths[at]) if at in right else line[at].ljust(widths[at]) for at in used]
        lines.append("| " + " | ".join(padded) + " |")
        if index == 0:
            rule = ["-" * (widths[at] - 1) + ":" if at in right else "-" * widths[at] for at in used]
            lines.append("| " + " | ".join(rule) + " |")
    return "\n".join(lines)
