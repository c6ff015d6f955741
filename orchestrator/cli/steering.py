"""Commands that change a study that is there already."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli.access import issuer, look, nobody_there
from orchestrator.cli.arguments import study_argument, trial_argument
from orchestrator.cli.commands import ANSWER_SECONDS, cli
from orchestrator.common.errors import BadInput

_GOES_ON = {
    "stopped": "run or submit its spec again",
    "failed": "run or submit its spec again",
    "finished": "it has come to a limit of its spec: raise that, and run or submit it again",
}
"""States of a study that somebody has to take up again before a trial that was added is run, and how."""


@cli.command()
@study_argument
@click.argument("values", metavar="KEY=VALUE...", nargs=-1, required=True)
def enqueue(study: str, values: tuple[str, ...]) -> None:
    """Add a trial with known-good parameters.

    It is the next one of STUDY that runs, and adds to the budget; a study that was finished goes on for it. Parameters
    that are not given are sampled. VALUE is JSON, such as a number, true, null or a list, or else
    a string.

    \b
    orchestrator enqueue digits lr=0.003 optimizer=adam 'layers=[64, 64]'
    """
    from orchestrator.spec.configuration import (
        check_configuration,
        check_structured,
        doubts,
        read_configuration,
    )

    params = read_configuration(values)
    with look() as history:
        # Here as well as where it is applied: what is wrong is said also where nobody runs who would apply it.
        check_configuration(history.spec(study), params, f"study '{study}'")
        known = history.listing(study).parameters()
    check_structured(params, known, f"study '{study}'")
    for doubt in doubts(params, known, study):
        click.echo(f"note: {doubt}", err=True)
    _add("enqueue", study, {"params": params})


@cli.command()
@study_argument
@trial_argument
def retry(study: str, trial: str) -> None:
    """Run a trial again, with the same parameters.

    Makes a new trial of STUDY with the parameters of TRIAL, which has ended and stays as it is. The new one is the next
    that runs, and adds to the budget; its user attribute `retry_of` names the old one. Prints its number.

    A trial that failed is what this is for: a lost host, a full disk, a bug that is mended. One that was pruned is
    judged by the same rule again; one that completed shows how much of its value is chance.
    """
    from orchestrator.control.command_handler import check_retry

    with look() as history:
        history.spec(study)
        found = history.trial(study, trial)
    check_retry(study, found.number, found.state)
    if found.state == "PRUNED":
        click.echo(f"note: trial {found.number} was pruned; the same rule will judge it again", err=True)
    _add("retry", study, {"trial": found.number})


@cli.command()
@study_argument
def pause(study: str) -> None:
    """Ask for no more trials.

    Those of STUDY that run or wait in the queue go on to their end. `resume` undoes it.
    """
    _steer("pause", study)


@cli.command()
@study_argument
def resume(study: str) -> None:
    """Go on after `pause`, or take up a suspended study.

    Whatever kept the control plane from handling STUDY is tried again; if it is still there, the study is suspended
    again, and `status` shows the cause.
    """
    _steer("resume", study)


@cli.command()
@study_argument
def stop(study: str) -> None:
    """End a study at once.

    Trials of STUDY that run are stopped in the middle of their epoch; what they have reported is kept. The same spec,
    run or submitted again, goes on with the trials that are left.
    """
    _steer("stop", study)


def _steer(operation: str, study: str) -> None:
    from orchestrator.common.settings import load_settings

    settings = load_settings()
    with look() as history:
        history.spec(study)
        state = history.overview(study).progress.state
    if nobody_there(settings):
        problem = f"is {state}, and nobody works at it in {settings.data_dir}"
        remedy = "'orchestrator run' with its spec goes on with it; a fleet's needs ORCHESTRATOR_REDIS_URL and"
        raise BadInput(f"study '{study}'", problem, f"{remedy} ORCHESTRATOR_STORAGE_URL")
    with issuer(settings) as told:
        click.echo(told.command(operation, study, ANSWER_SECONDS))


def _add(operation: str, study: str, payload: dict[str, Any]) -> None:
    """Has a trial added by whoever looks after the study, or keeps the command for whoever will."""
    from orchestrator.common.settings import load_settings

    settings = load_settings()
    with issuer(settings) as told:
        if nobody_there(settings):
            told.leave(operation, study, payload)
            click.echo("kept: 'orchestrator run' begins with it when it goes on with the study", err=True)
            return
        added = told.add(operation, study, payload, ANSWER_SECONDS)
    click.echo(f"trial {added.trial}")
    if added.study_state in _GOES_ON:
        how = _GOES_ON[added.study_state]
        click.echo(f"note: study '{study}' is {added.study_state}; {how}, and it goes on with this trial", err=True)
