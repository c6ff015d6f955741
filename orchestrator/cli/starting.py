"""The command that writes a first search."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from orchestrator.cli.commands import PROGRAM, cli


@cli.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
def init(folder: Path) -> None:
    """Write a first spec and objective.

    Puts search.toml and train.py into DIR, which is made where it is missing: a small search that runs as it is, in a
    few seconds, with comments that say what to replace. Files that are there already are never overwritten.
    """
    from orchestrator.spec import starter

    spec, objective = starter.write(folder)
    click.echo(f"wrote {spec} and {objective}", err=True)
    enter = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    click.echo(f"{enter}{PROGRAM} run {spec.name}")
