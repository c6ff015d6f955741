"""Access to settings, specs, database and control plane, and printing, for all commands."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orchestrator.api.fleet import Fleet
    from orchestrator.api.shown import Answer
    from orchestrator.common.settings import Settings

READS_DATABASE = (
    "Reads the database of ORCHESTRATOR_STORAGE_URL; without it, the one that `orchestrator run` keeps in "
    "ORCHESTRATOR_DATA_DIR [default: .orchestrator]."
)
"""Ends the help of the commands that read the database."""

_UNBOUNDED = 10_000
"""Cells of a line that goes into a file or a pipe."""


def load_settings() -> Settings:
    """Reads the settings from the environment.

    Raises:
        BadInput: a variable is wrong.
    """
    from orchestrator.common.settings import load_settings

    return load_settings()


def fleet() -> Fleet:
    """Returns the studies that the settings name, for a ``with`` statement."""
    from orchestrator.api.fleet import Fleet

    return Fleet(load_settings())


def answer(as_json: bool, data: Callable[[], Any], text: Callable[[], RenderableType]) -> None:
    """Prints the answer of a command: ``data`` as one line of JSON, or ``text`` for a person."""
    if as_json:
        click.echo(json.dumps(data()))
    else:
        show(text())


def tell(found: Answer, as_json: bool) -> None:
    """Prints an answer of the Python interface."""
    if as_json:
        click.echo(json.dumps(found.data))
        return
    show(*found.lines(terminal_width()))
    for note in found.notes:
        click.echo(f"note: {note}", err=True)


def show(*parts: RenderableType) -> None:
    """Prints each part on lines of its own: in colours on a terminal, plain and without blanks at the ends of lines
    everywhere else."""
    from rich.console import Console, Group

    if not sys.stdout.isatty():
        from orchestrator.api.shown import as_text

        click.echo(as_text(*parts, width=terminal_width()))
        return

    # isatty() decides, not FORCE_COLOR, which rich would follow. rich heeds NO_COLOR by itself.
    console = Console(
        force_terminal=sys.stdout.isatty(), width=terminal_width(), highlight=False, markup=False, emoji=False
    )
    console.print(Group(*parts), crop=False)


def terminal_width() -> int:
    """Returns the width of the terminal in cells; what a program reads is not cut off."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNBOUNDED
