"""A terminal emulator behind a stream: what a person sees, at a size that may change."""

from __future__ import annotations

import io

import pyte
from rich.cells import cell_len
from rich.console import Console


class Terminal(io.StringIO):
    """Reads what is written as a terminal does.

    Args:
        columns, lines: Its size.
        reflows: Whether it wraps what is on the screen anew when it becomes narrower, as most do; the others cut it.
    """

    def __init__(self, columns: int, lines: int, *, reflows: bool) -> None:
        super().__init__()
        self._reflows = reflows
        self._open(columns, lines)
        self.console = Console(
            file=self,
            width=columns,
            height=lines,
            force_terminal=True,
            color_system="truecolor",
            highlight=False,
            markup=False,
            emoji=False,
            _environ={"TERM": "xterm"},
        )

    def write(self, text: str) -> int:
        self._stream.feed(text.replace("\n", "\r\n"))
        return len(text)

    def isatty(self) -> bool:
        return True

    def _open(self, columns: int, lines: int) -> None:
        self.screen = pyte.HistoryScreen(columns, lines, history=1000)
        self._stream = pyte.Stream(self.screen)

    def resize(self, columns: int, lines: int) -> None:
        if self._reflows and columns < self.screen.columns:
            rows = [row.rstrip() for row in self.screen.display[: self.screen.cursor.y + 1]]
            self._open(columns, lines)
            # Each row was a line of its own; the terminal breaks it where it ends now.
            self._stream.feed("\r\n".join(rows))
        else:
            self.screen.resize(lines, columns)
        self.console.width, self.console.height = columns, lines

    def rows(self) -> list[str]:
        """What stands on the screen, without blanks at the end."""
        rows = [row.rstrip() for row in self.screen.display]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    @property
    def widest(self) -> int:
        return max(map(cell_len, self.rows()), default=0)
