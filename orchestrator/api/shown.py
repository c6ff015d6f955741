"""What the command line prints, as text and as HTML for a notebook."""

from __future__ import annotations

import html
import io
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Answer:
    """An answer in words. ``str()`` of it is the text; in a notebook and a REPL it is shown.

    Attributes:
        text: The words, on several lines.
        data: The same as plain data, as ``--json`` prints it.
    """

    text: str
    data: Any = field(repr=False)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return as_html(self.text)
