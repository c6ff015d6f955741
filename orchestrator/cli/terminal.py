"""Printing for people: in colours on a terminal, and plain everywhere else."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

_UNBOUNDED = 10_000
"""Cells of a line that goes into a file or a pipe."""


def show(*parts: RenderableType) -> None:
    """Prints these, each on lines of its own."""
    from rich.console import Console, Group

    # Not what rich takes for a terminal, which is also whatever FORCE_COLOR says. NO_COLOR it heeds by itself.
    terminal = sys.stdout.isatty()
    console = Console(force_terminal=terminal, width=width(), highlight=False, markup=False, emoji=False)
    console.print(Group(*parts))


def width() -> int:
    """Returns the width of the terminal; what a program reads is not cut off."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNBOUNDED
