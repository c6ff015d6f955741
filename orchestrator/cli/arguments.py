"""Arguments and options that several commands have, and how a shell completes them.

Completing must be quick and never complains: where nothing can be found out, nothing is offered.
"""

from __future__ import annotations

import contextlib
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_MOST_FILES: Final = 500
_LOOKED_INTO: Final = 65_536


def study_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the argument STUDY."""
    return click.argument("study", shell_complete=_complete_study)(command)


def trial_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the argument TRIAL, as text: what is no number of a trial is told with those that are."""
    return click.argument("trial")(command)


def spec_argument(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the argument SPEC, a path."""
    return click.argument("spec", type=click.Path(path_type=Path), shell_complete=_complete_spec)(command)


def json_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Returns what adds the option --json; ``what`` is printed, such as ``one JSON object``."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what}.")


def complete_rule(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offers the pruning rules, and specs whose pruner may be taken."""
    from orchestrator.spec.pruner_table import OPTUNAS, RULES

    rules = [CompletionItem(name) for name in (*RULES, *OPTUNAS) if name.startswith(incomplete)]
    return rules or _complete_spec(context, parameter, incomplete)


def _complete_study(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    del context, parameter
    with contextlib.suppress(Exception):
        from orchestrator.cli.study_completion import study_names

        return [CompletionItem(name) for name in study_names() if name.startswith(incomplete)]
    return []


def _complete_spec(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offers the specs here and in the folders below; where there are none, whatever files the shell finds."""
    del context, parameter
    found = []
    with contextlib.suppress(OSError, ValueError):
        found = [CompletionItem(path) for path in sorted(_specs(incomplete))]
    return found or [CompletionItem(incomplete, type="file")]


def _specs(incomplete: str) -> Iterator[str]:
    """Yields the paths that begin so and are of specs: in the folder that is named, and in those in it."""
    name = incomplete.rpartition("/")[2]
    prefix = incomplete[: len(incomplete) - len(name)]
    folder = Path(prefix or ".").expanduser()
    for path in islice(chain(folder.glob("*.toml"), folder.glob("*/*.toml")), _MOST_FILES):
        shown = prefix + path.relative_to(folder).as_posix()
        if shown.startswith(incomplete) and not shown.removeprefix(prefix).startswith(".") and _is_spec(path):
            yield shown


def _is_spec(path: Path) -> bool:
    with path.open("rb") as file:
        text = file.read(_LOOKED_INTO)
    return any(line.startswith(b"objective") for line in text.splitlines())
