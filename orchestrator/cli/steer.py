"""Commands that change a study: pause, resume, stop, retry, enqueue."""

from __future__ import annotations

from typing import Any

import click

from orchestrator.cli import shared
from orchestrator.cli.options import study_argument, trial_argument
from orchestrator.cli.program import cli
from orchestrator.cli.shared import command_client, has_control_plane, load_settings, open_reader
from orchestrator.common.errors import BadInput

_CONTINUE = {
    "stopped": "run or submit its spec again",
    "failed": "run or submit its spec again",
    "finished": "it has reached a limit of its spec: raise that, and run or submit it again",
}
"""The user's next step, by the state of the study, so that an added trial is run."""


@cli.command()
@study_argument
def pause(study: str) -> None:
    """Ask for no more trials.

    Those of STUDY that run or wait in the queue go on to their end. `resume` undoes it.
    """
    _command("pause", study)


@cli.command()
@study_argument
def resume(study: str) -> None:
    """Go on after `pause`, or take up a suspended study.

    The control plane handles STUDY again; if the cause of its suspension remains, the study is suspended again, and
    `status` shows the cause.
    """
    _command("resume", study)


@cli.command()
@study_argument
def stop(study: str) -> None:
    """End a study at once.

    Trials of STUDY that run are stopped in the middle of their epoch; what they have reported is kept. The same spec,
    run or submitted again, goes on with the trials that are left.
    """
    _command("stop", study)


@cli.command()
@study_argument
@trial_argument
def retry(study: str, trial: str) -> None:
    """Run a trial again, with the same parameters.

    Makes a new trial of STUDY with the parameters of TRIAL, which has ended and stays as it is. The new one is the next
    that runs, and adds to the budget; its user attribute `retry_of` names the old one. Prints its number.

    Use it for a trial that failed: its host was lost, the disk was full, or you have mended a bug. The same rule judges
    a pruned trial again; a completed one shows how much of its value is chance.
    """
    from orchestrator.control.command_handler import check_retry

    with open_reader() as reader:
        reader.spec(study)
        found = reader.trial(study, trial)
    check_retry(study, found.number, found.state)
    if found.state == "PRUNED":
        click.echo(f"note: trial {found.number} was pruned; the same rule will judge it again", err=True)
    _add_trial("retry", study, {"trial": found.number})


@cli.command()
@study_argument
@click.argument("values", metavar="KEY=VALUE...", nargs=-1, required=True)
def enqueue(study: str, values: tuple[str, ...]) -> None:
    """Add a trial with known-good parameters.

    It is the next one of STUDY that runs, and adds to the budget; a study that was finished goes on for it. Parameters
    that are not given are sampled. VALUE is JSON, such as a number, true, null or a list; any other text is a string.

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
    with open_reader() as reader:
        # The control plane checks them again; here the error is shown even where no control plane runs.
        check_configuration(reader.spec(study), params, f"study '{study}'")
        known = reader.trials(study).parameters()
    check_structured(params, known, f"study '{study}'")
    for doubt in doubts(params, known, study):
        click.echo(f"note: {doubt}", err=True)
    _add_trial("enqueue", study, {"params": params})


def _command(operation: str, study: str) -> None:
    settings = load_settings()
    with open_reader() as reader:
        reader.spec(study)
        state = reader.overview(study).progress.state
    if not has_control_plane(settings):
        problem = f"is {state}, and no `run` works in {settings.data_dir}"
        remedy = "'orchestrator run' with its spec goes on with it; a fleet's needs ORCHESTRATOR_REDIS_URL and"
        raise BadInput(f"study '{study}'", problem, f"{remedy} ORCHESTRATOR_STORAGE_URL")
    with command_client(settings) as client:
        click.echo(client.command(operation, study, shared.ANSWER_SECONDS))


def _add_trial(operation: str, study: str, payload: dict[str, Any]) -> None:
    """Asks the control plane to add a trial; where none runs, stores the command for the next one."""
    settings = load_settings()
    with command_client(settings) as client:
        if not has_control_plane(settings):
            client.enqueue(operation, study, payload)
            click.echo("stored: 'orchestrator run' begins with it when it goes on with the study", err=True)
            return
        added = client.add(operation, study, payload, shared.ANSWER_SECONDS)
    click.echo(f"trial {added.trial}")
    if added.study_state in _CONTINUE:
        how = _CONTINUE[added.study_state]
        click.echo(f"note: study '{study}' is {added.study_state}; {how}, and it goes on with this trial", err=True)
