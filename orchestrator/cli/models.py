"""Commands about the models that trials have saved: models ls, models get, models rm."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from orchestrator.cli.options import json_option, study_argument, trial_argument
from orchestrator.cli.program import cli
from orchestrator.cli.shared import READS_DATABASE, fleet, tell
from orchestrator.common.errors import BadInput
from orchestrator.common.formatting import count, listed

_name_option = click.option("--name", help="Name of the model, where the trial has several [default: the newest].")


@cli.group()
def models() -> None:
    """List, fetch and delete stored models.

    Models are what objectives give to `trial.save_model`. Their files are in the store of ORCHESTRATOR_ARTIFACT_URL, or
    in ORCHESTRATOR_DATA_DIR; what this host does not reach is marked.
    """


@models.command("ls", epilog=READS_DATABASE)
@click.argument("study", required=False)
@json_option("a JSON list, an object for each model")
def list_models(study: str | None, as_json: bool) -> None:
    """List the models of STUDY, or of all studies."""
    with fleet() as found:
        tell(found.models(*([] if study is None else [study])), as_json)


@models.command("get", epilog=READS_DATABASE)
@study_argument
@trial_argument
@_name_option
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default=Path(),
    help="File, or folder, that takes it [default: the name that the objective gave it, here].",
)
def get_model(study: str, trial: str, name: str | None, output: Path) -> None:
    """Copy the model of TRIAL of STUDY.

    TRIAL is a number, `best` or `last`. A file that is there already is never overwritten. Prints the path.
    """
    with fleet() as found:
        click.echo(found.handle(study).get_model(trial, output, name=name))


@models.command("rm", epilog=READS_DATABASE)
@study_argument
@trial_argument
@_name_option
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def remove_model(study: str, trial: str, name: str | None, yes: bool) -> None:
    """Delete the models of TRIAL of STUDY, or one of them.

    The files and their records; the trial stays. It cannot be undone.
    """
    with fleet() as studies:
        handle = studies.handle(study)
        found = [handle.model(trial, name)] if name else handle.models(trial)
        what = f"{count(len(found), 'model')} of trial {found[0].trial}: {listed(each.filename for each in found)}"
        if not yes:
            if not sys.stdin.isatty():
                raise BadInput("models rm", "asks before it deletes, and there is no terminal", "--yes does not ask")
            if not click.confirm(f"delete {what}?", err=True):
                click.echo("nothing was deleted", err=True)
                sys.exit(1)
        handle.remove_models(found[0].trial, name=name)
    click.echo(f"deleted {what}")
