"""Commands that show where studies stand."""

from __future__ import annotations

import json
import shutil
import sys
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import click

from orchestrator.cli.commands import cli

if TYPE_CHECKING:
    from rich.console import RenderableType

    from orchestrator.storage.history import History

_UNBOUNDED = 10_000
"""Cells of a line that goes into a file or a pipe."""


@cli.command()
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def ls(as_json: bool) -> None:
    """List the studies: where they stand, how fast they go, what pruning has saved."""
    from orchestrator.view.overview import render_list, to_json

    with _history() as history:
        found = history.overviews()
    now = time.time()
    if as_json:
        click.echo(json.dumps([to_json(each, now) for each in found]))
    else:
        print_rich(render_list(found, now))


@cli.command()
@click.argument("study")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(study: str, as_json: bool) -> None:
    """Show where STUDY stands: its trials, the best one, its pace, and what each slot does."""
    from orchestrator.view.overview import render_status, to_json

    with _history() as history:
        found = history.overview(study)
    now = time.time()
    if as_json:
        click.echo(json.dumps(to_json(found, now)))
    else:
        print_rich(render_status(found, _width(), now))


@cli.command()
@click.argument("study")
def watch(study: str) -> None:
    """Show what happens to STUDY, until it has ended: the view that `run` has.

    Wherever the same Redis and database can be reached; without ORCHESTRATOR_REDIS_URL, beside the `run` that works in
    ORCHESTRATOR_DATA_DIR. Ctrl-C ends the watching and nothing else.
    """
    from orchestrator.settings import load_settings
    from orchestrator.view.base import make_view
    from orchestrator.watch import watch as watch_study

    settings = load_settings()
    view = make_view(sys.stdout)
    try:
        watch_study(settings, study, _history, view)
    except KeyboardInterrupt:
        view.close()
        sys.exit(130)
    finally:
        view.close()


def _history() -> AbstractContextManager[History]:
    from orchestrator.settings import load_settings
    from orchestrator.storage.look import open_history, url_of

    return open_history(url_of(load_settings()))


def print_rich(what: RenderableType) -> None:
    """Prints to stdout, in colours where that is a terminal."""
    from rich.console import Console

    Console(width=_width(), highlight=False, markup=False, emoji=False).print(what)


def _width() -> int:
    """Of the terminal; what a program reads is not cut off."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNBOUNDED
