"""Every command of the command line that looks at the database, found by introspection, with arguments that fit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
from click.testing import CliRunner, Result

from orchestrator.cli import cli

NO_DATABASE: Final = ("init", "validate", "worker", "workers", "workers drain", "flower", "completion")
"""Commands that never look at it, or not before they have met Redis."""

PROCESSES: Final = ("run", "serve", "beat", "submit", "schedule run", "prepare")
"""Commands that prepare it before anything else: all of them by ``Database.prepare``."""

_VALUES: Final = {"study": "plain", "trial": "0", "values": "x=0.5", "pruners": "median", "studies": "plain"}


def looking() -> list[tuple[str, list[str]]]:
    """Returns each command that looks, and steers, with its arguments."""
    return [
        (name, [*name.split(), *_arguments(command)])
        for name, command in _commands(cli, ())
        if name not in (*NO_DATABASE, *PROCESSES)
    ]


def _commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if not isinstance(command, click.Group) or command.invoke_without_command:
            yield " ".join((*path, name)), command
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))


def _arguments(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        if not parameter.required:
            continue
        if isinstance(parameter, click.Option):
            yield parameter.opts[0]
        # A parameter that is new fails here until it has a value that fits.
        yield _VALUES[str(parameter.name)]


def invoke(*arguments: str | Path) -> Result:
    """Runs a command in this process; what it raises is the result's ``exception``."""
    return CliRunner().invoke(cli, [str(each) for each in arguments], standalone_mode=False)
