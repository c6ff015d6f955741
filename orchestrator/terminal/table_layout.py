"""A table that fits its width: where there is no room for all columns, the least important ones are left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, TypeVar

from rich.cells import cell_len, set_cell_size
from rich.text import Span, Text

Cell = tuple[str, str]
"""Text on one line, and its style."""

Row = TypeVar("Row")

GAP: Final = 2
_LEAST: Final = 3
"""Cells of a column that was cut because nothing else helps: a letter, and that there was more."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        head: Its name.
        cells: One for each row.
        right: Whether its cells stand at its right edge, as figures do.
        rank: Columns of the highest rank are left out first, those of rank 0 last.
        least: Smallest width in cells; ``None`` for the natural width.
    """

    head: str
    cells: Sequence[Cell]
    right: bool = False
    rank: int = 0
    least: int | None = None

    @classmethod
    def of(cls, head: str, rows: Sequence[Row], cell: Callable[[Row], Cell | str], **more: Any) -> Column:
        """Returns a column whose cells are made of ``rows`` by ``cell``, which may leave out the style."""
        cells = [found if isinstance(found, tuple) else (found, "") for found in map(cell, rows)]
        return cls(head, cells, **more)

    @cached_property
    def width(self) -> int:
        """Natural width in cells."""
        return max(cell_len(self.head), max((cell_len(text) for text, _ in self.cells), default=0))

    @property
    def narrowest(self) -> int:
        """Smallest width in cells."""
        return self.width if self.least is None else min(self.least, self.width)


def lay_out(columns: Sequence[Column], width: int) -> tuple[list[Text], list[str]]:
    """Returns the lines of a table, the head first, and the names of the columns that were left out, if they have one.

    A line is at most ``width`` cells long. Where the columns of rank 0 alone are longer, the widest of them are cut;
    where even that is not enough, the last ones are left out.
    """
    widths = _fit(columns, width)
    shown = [(column, widths[place]) for place, column in enumerate(columns) if place in widths]
    rows = zip(*(column.cells for column, _ in shown), strict=True)
    lines = [_line(row, shown) for row in ([(column.head, "dim") for column, _ in shown], *rows)]
    return lines, [column.head for place, column in enumerate(columns) if place not in widths and column.head]


def wrapped(line: str, width: int) -> list[str]:
    """Returns a line as several of at most ``width`` cells, broken at blanks; those after the first are indented by two
    more. A word that is longer stays whole: it may be a path or a command to be copied."""
    if cell_len(line) <= width:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    rows = [indent]
    for word in line.split(" "):
        if not word:
            continue
        blank = "" if rows[-1].isspace() or not rows[-1] else " "
        if blank and cell_len(rows[-1]) + 1 + cell_len(word) > width:
            rows.append(indent + "  ")
            blank = ""
        rows[-1] += blank + word
    return rows


def no_room(left_out: Sequence[str]) -> str:
    """Returns the remark about columns that were left out."""
    return f"no room for {', '.join(left_out)}: a wider terminal or JSON shows more"


def _fit(columns: Sequence[Column], width: int) -> dict[int, int]:
    """Returns the width of each column that is shown, by its index.

    Columns get their smallest width by rank, then the rest of the room from left to right.
    """
    widths: dict[int, int] = {}
    room = width + GAP
    for place, column in sorted(enumerate(columns), key=lambda each: each[1].rank):
        if column.rank == 0 or column.narrowest + GAP <= room:
            widths[place] = column.narrowest
            room -= column.narrowest + GAP
    while room < 0:
        widest = max(widths, key=widths.__getitem__)
        if widths[widest] > _LEAST:
            widths[widest] -= 1
            room += 1
        elif len(widths) > 1:
            room += widths.popitem()[1] + GAP
        else:
            break
    for place, column in enumerate(columns):
        if place in widths and room > 0:
            more = min(room, column.width - widths[place])
            widths[place] += more
            room -= more
    return widths


def _line(cells: Sequence[Cell], columns: Sequence[tuple[Column, int]]) -> Text:
    pieces: list[str] = []
    spans: list[Span] = []
    at = 0
    for (text, style), (column, width) in zip(cells, columns, strict=True):
        length = cell_len(text)
        if length > width:
            text = set_cell_size(text, width - 1).rstrip() + "…"
            length = cell_len(text)
        before = width - length if column.right else 0
        piece = " " * before + text + " " * (width - length - before + GAP)
        if text and style:
            spans.append(Span(at + before, at + before + len(text), style))
        pieces.append(piece)
        at += len(piece)
    return Text("".join(pieces).rstrip(), spans=spans, no_wrap=True)
