"""Arguments and options that several commands have, and how a shell completes them.

Completion is quick and silent: where it finds nothing, it offers nothing.
"""

from __future__ import annotations

import contextlib
import functools
import re
import sqlite3
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import click
from click.shell_completion import CompletionItem

from orchestrator.api.trial_listing import state_named
from orchestrator.common.slot_options import SlotOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOST_FILES: Final = 500
_BYTES_READ: Final = 65_536

_SECONDS: Final = 2
_NEWEST_FIRST: Final = "SELECT study_name FROM studies ORDER BY study_id DESC LIMIT 1000"
"""Knows one name of Optuna's tables; ``tests/contract`` holds it to what Optuna says."""


def study_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the argument STUDY."""
    return click.argument("study", shell_complete=_complete_study)(command)


def studies_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the argument STUDY, which may be given several times."""
    return click.argument("studies", metavar="STUDY...", nargs=-1, required=True, shell_complete=_complete_study)(
        command
    )


def trial_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the argument TRIAL, as text: a number, ``best`` or ``last``; the error about another one lists those of the
    study."""
    return click.argument("trial", shell_complete=_complete_trial)(command)


def spec_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the argument SPEC, a path."""
    return click.argument("spec", type=click.Path(path_type=Path), shell_complete=_complete_spec)(command)


class TrialState(click.Choice[str]):
    """A state of trials; ``paused`` is what versions before called one that stands on a rung."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(state_named(str(value)), param, ctx)


def slot_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of a worker's slots; the command gets them as one argument, ``slots``."""

    @functools.wraps(command)
    def with_slots(
        *arguments: Any, slots: int | None, gpus: str | None, per_gpu: int, gpus_per_trial: int, **rest: Any
    ) -> Any:
        chosen = SlotOptions(slots, gpus or "", per_gpu, gpus_per_trial)
        return command(*arguments, slots=chosen, **rest)

    several = click.IntRange(min=1)
    for option in (
        click.option(
            "--gpus-per-trial", metavar="K", type=several, default=1, help="GPUs that each slot has [default: 1]."
        ),
        click.option("--per-gpu", metavar="K", type=several, default=1, help="Slots that share one GPU [default: 1]."),
        click.option("--gpus", metavar="LIST", help="GPUs to use, such as 0,1 [default: all that are visible]."),
        click.option(
            "--slots", metavar="N", type=several, help="Trials at once [default: one per GPU; 1 to 4 on a CPU]."
        ),
    ):
        with_slots = option(with_slots)
    return with_slots


name_option = click.option("--name", help="Name of the study, instead of the one in SPEC.")

log_format_option = click.option(
    "--log-format",
    type=click.Choice(("text", "json")),
    help="How the log is written; json is one object a line [default: ORCHESTRATOR_LOG_FORMAT, or text].",
)
metrics_port_option = click.option(
    "--metrics-port",
    type=int,
    metavar="PORT",
    help="Port of the metrics for Prometheus; 0 for none [default: ORCHESTRATOR_METRICS_PORT, or none].",
)


def json_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns a decorator that adds the option --json; ``what`` is printed, such as ``one JSON object``."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what}.")


def complete_rule(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offers the pruning rules, and specs, whose pruner may be taken."""
    from orchestrator.pruning.registry import all_names

    rules = [CompletionItem(name) for name in all_names() if name.startswith(incomplete)]
    return rules or _complete_spec(context, parameter, incomplete)


def _complete_study(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    del context, parameter
    with contextlib.suppress(Exception):
        return [CompletionItem(name) for name in study_names() if name.startswith(incomplete)]
    return []


def _complete_trial(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    del context, parameter
    return [CompletionItem(name) for name in ("best", "last") if name.startswith(incomplete)]


def study_names() -> list[str]:
    """Returns the names of the studies, the newest first.

    A shell that completes a word has no time to import Optuna and SQLAlchemy, so this asks the drivers themselves. Any
    error of theirs is raised.
    """
    from orchestrator.common.data_folder import database_file
    from orchestrator.common.settings import load_settings

    settings = load_settings()
    path = str(database_file(settings))
    if settings.storage_url is not None:
        scheme, _, rest = settings.storage_url.partition("://")
        if not scheme.startswith("sqlite"):
            import psycopg

            with psycopg.connect(f"postgresql://{rest}", connect_timeout=_SECONDS) as connection:
                return [name for (name,) in connection.execute(_NEWEST_FIRST)]
        path = re.sub(r"\?.*", "", rest.removeprefix("/"))
    # Read-only: completing a word must not create a file.
    uri = f"file:{quote(path)}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=_SECONDS)) as database:
        return [name for (name,) in database.execute(_NEWEST_FIRST)]


def _complete_spec(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offers the specs here and in the folders below; where there are none, whatever files the shell finds."""
    del context, parameter
    found = []
    with contextlib.suppress(OSError, ValueError):
        found = [CompletionItem(path) for path in sorted(_specs(incomplete))]
    return found or [CompletionItem(incomplete, type="file")]


def _specs(incomplete: str) -> Iterator[str]:
    """Yields the paths of specs that begin with ``incomplete``: in the folder that it names, and one level below."""
    name = incomplete.rpartition("/")[2]
    prefix = incomplete[: len(incomplete) - len(name)]
    folder = Path(prefix or ".").expanduser()
    for path in islice(chain(folder.glob("*.toml"), folder.glob("*/*.toml")), _MOST_FILES):
        shown = prefix + path.relative_to(folder).as_posix()
        if shown.startswith(incomplete) and not shown.removeprefix(prefix).startswith(".") and _is_spec(path):
            yield shown


def _is_spec(path: Path) -> bool:
    with path.open("rb") as file:
        return any(line.startswith((b"objective", b"[command]")) for line in file.read(_BYTES_READ).splitlines())
