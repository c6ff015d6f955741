"""Access to settings, specs, database and control plane, and printing, for all commands."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, Any

import click

from orchestrator.common.errors import BadInput

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import RenderableType

    from orchestrator.common.settings import Settings
    from orchestrator.messaging.command_client import CommandClient
    from orchestrator.queries.study_reader import StudyReader
    from orchestrator.spec import Spec

ANSWER_SECONDS = 10.0
"""Time that a command waits for the control plane's answer."""

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


def fleet_urls(settings: Settings) -> tuple[str, str]:
    """Returns the URLs of the fleet's Redis and database.

    Raises:
        BadInput: one of them is not set.
    """
    for variable, value in (
        ("ORCHESTRATOR_REDIS_URL", settings.redis_url),
        ("ORCHESTRATOR_STORAGE_URL", settings.storage_url),
    ):
        if value is None:
            raise BadInput(variable, "is not set", "a fleet needs both URLs; 'orchestrator run' alone needs neither")
    return str(settings.redis_url), str(settings.storage_url)


def open_reader() -> AbstractContextManager[StudyReader]:
    """Opens the database for reading; raises as ``open_study_reader`` does."""
    settings = load_settings()
    from orchestrator.common.data_folder import storage_url_of
    from orchestrator.queries.readonly import open_study_reader

    return open_study_reader(storage_url_of(settings))


def has_control_plane(settings: Settings) -> bool:
    """Returns whether a control plane can be reached: a fleet is configured, or a `run` works in the data folder."""
    from orchestrator.common.file_lock import is_locked

    return settings.redis_url is not None or is_locked(settings.data_dir)


@contextmanager
def command_client(settings: Settings, *, prepare: bool = False) -> Iterator[CommandClient]:
    """Yields a client that sends commands to the control plane, or stores them for the next one.

    A command about a study that was found finds all tables, too; ``prepare`` creates those that are missing.
    """
    from orchestrator.common.data_folder import redis_url_of, storage_url_of
    from orchestrator.messaging.command_client import CommandClient
    from orchestrator.storage.command_table import CommandTable
    from orchestrator.storage.database import Database
    from tasks.app import connect

    with closing(Database(storage_url_of(settings))) as database, ExitStack() as stack:
        if prepare:
            database.prepare()
        url = redis_url_of(settings)
        client = stack.enter_context(closing(connect(url))) if url else None
        yield CommandClient(CommandTable(database), client)


def load_spec(path: Path, settings: Settings, name: str | None = None, trials: int | None = None) -> Spec:
    """Returns the spec, with the given name and number of trials; its objective or program is found, but not run.

    Raises:
        BadInput: the spec is wrong, or its objective or program is not there.
    """
    from orchestrator.spec import load
    from orchestrator.spec.objective_check import check_objective, check_program
    from tasks.objective_path import split_path

    spec = load(path)
    changed = {key: value for key, value in (("name", name), ("trials", trials)) if value is not None}
    if changed:
        from orchestrator.spec.model import validate

        data = {key: value for key, value in spec.to_json().items() if key != "format"}
        spec = validate(data | changed, "--name" if name is not None else "--trials")
    try:
        if spec.command is None:
            check_objective(spec.objective, split_path(settings.objective_path))
        else:
            check_program(spec.command.run[0])
    except BadInput as error:
        raise error.within(str(path)) from None
    return spec


def check_sampler_and_pruner(spec: Spec, path: Path) -> None:
    """Builds the spec's sampler and pruner, which only Optuna and the user's own classes can judge.

    Raises:
        BadInput: one of them cannot be built.
    """
    from orchestrator.spec.pruner_factory import check_pruner
    from orchestrator.spec.sampler_factory import check_sampler

    check_sampler(spec, str(path))
    check_pruner(spec, str(path))


def answer(as_json: bool, data: Callable[[], Any], text: Callable[[], RenderableType]) -> None:
    """Prints the answer of a command: ``data`` as one line of JSON, or ``text`` for a person."""
    if as_json:
        click.echo(json.dumps(data()))
    else:
        show(text())


def show(*parts: RenderableType) -> None:
    """Prints each part on lines of its own: in colours on a terminal, plain everywhere else."""
    from rich.console import Console, Group

    # isatty() decides, not FORCE_COLOR, which rich would follow. rich heeds NO_COLOR by itself.
    console = Console(
        force_terminal=sys.stdout.isatty(), width=terminal_width(), highlight=False, markup=False, emoji=False
    )
    console.print(Group(*parts))


def terminal_width() -> int:
    """Returns the width of the terminal in cells; what a program reads is not cut off."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNBOUNDED
