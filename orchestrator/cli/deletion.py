"""The command that deletes studies."""

from __future__ import annotations

import shlex
import socket
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import studies_argument
from orchestrator.cli.program import cli
from orchestrator.cli.shared import READS_DATABASE, fleet
from orchestrator.common.errors import BadInput
from orchestrator.common.formatting import count, listed
from orchestrator.model.state_words import study_word

if TYPE_CHECKING:
    from orchestrator.queries.study_contents import StudyContents


@cli.command(epilog=READS_DATABASE)
@studies_argument
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def delete(studies: tuple[str, ...], yes: bool) -> None:
    """Delete studies, with all that belongs to them.

    Of each STUDY: its rows in the database, checkpoints, models and other files of its trials, its report, and what
    its trials printed on this host. A study that goes on is refused; `stop` ends it. Killed half-way, the same command
    finishes. It cannot be undone.
    """
    with fleet() as there:
        handles = [there.handle(name) for name in dict.fromkeys(studies)]
        found = [each.contents() for each in handles]
        if not yes:
            _confirm(found)
        for handle, contents in zip(handles, found, strict=True):
            handle.delete(contents)
            click.echo(f"deleted {contents.name}")
            if elsewhere := [host for host in contents.hosts if host != socket.gethostname()]:
                click.echo(
                    f"note: what its trials printed stays on {listed(elsewhere)}, in the data folder there", err=True
                )


def _confirm(found: Sequence[StudyContents]) -> None:
    if not _is_terminal():
        names = shlex.join(each.name for each in found)
        problem = "asks before it deletes, and there is no terminal"
        raise BadInput("delete", problem, f"'orchestrator delete {names} --yes' does not ask")
    for each in found:
        click.echo(_describe(each), err=True)
    if not click.confirm(f"delete {'it' if len(found) == 1 else f'all {len(found)}'}?", err=True):
        click.echo("nothing was deleted", err=True)
        sys.exit(1)


def _is_terminal() -> bool:
    return sys.stdin.isatty()


def _describe(study: StudyContents) -> str:
    parts = [count(study.trials, "trial")]
    if study.files:
        parts.append(count(study.files, "stored file"))
    if study.checkpoints:
        parts.append(count(study.checkpoints, "checkpoint"))
    text = f"study {study.name}, {study_word(study.state)}: {', '.join(parts)}"
    if not study.uid and study.running:
        text += f"; {count(study.running, 'trial')} may be trained by another program now"
    return text
