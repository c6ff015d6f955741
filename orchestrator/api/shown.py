"""The output of the command line as text, and as HTML for a notebook."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 100
"""Characters of a line of text in a notebook."""


def as_text(*parts: RenderableType, width: int = WIDTH) -> str:
    """Returns what a command would print on a terminal of ``width`` columns, without colours and a final line end."""
    from rich.console import Console, Group

    console = Console(
        file=io.StringIO(),
        width=width,
        highlight=False,
        markup=False,
        emoji=False,
        color_system=None,
        force_jupyter=False,
    )
    with console.capture() as capture:
        console.print(Group(*parts))
    return "\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n"))


def as_html(text: str) -> str:
    """Returns text as HTML that keeps its lines and blanks."""
    return f'<pre style="line-height: 1.2; margin: 0">{html.escape(text)}</pre>'


class Answer:
    """An answer in words. ``str()`` of it is the text; in a notebook and a REPL it is shown.

    Attributes:
        text: The words, on several lines.
        data: The same as plain data, as ``--json`` prints it.
        notes: What the user should know besides, a line each; the text ends with them.
    """

    def __init__(self, lines: Callable[[int], Iterable[RenderableType]], data: Any, notes: Sequence[str] = ()) -> None:
        """``lines`` returns what a terminal of so many columns shows."""
        self.lines = lines
        self.data = data
        self.notes = notes

    @classmethod
    def of_text(cls, text: str, data: Any, notes: Sequence[str] = ()) -> Answer:
        """Returns an answer whose text keeps its lines; a terminal breaks those that are too long for it."""
        answer = cls(lambda width: _broken(text, width), data, notes)
        answer.text = answer._with_notes(text)
        return answer

    @cached_property
    def text(self) -> str:
        return self._with_notes(as_text(*self.lines(WIDTH)))

    def _with_notes(self, text: str) -> str:
        return "\n".join([text, *(f"note: {note}" for note in self.notes)])

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def __getstate__(self) -> dict[str, Any]:
        # What makes the lines may hold a whole study, and cannot be pickled.
        return {"text": self.text, "data": self.data, "notes": self.notes}

    def _repr_html_(self) -> str:
        return as_html(self.text)


def _broken(text: str, width: int) -> Iterator[RenderableType]:
    from rich.text import Text

    from orchestrator.terminal.table_layout import wrapped

    for line in text.split("\n"):
        for row in wrapped(line, width):
            yield Text(row, no_wrap=True, overflow="ignore")
