"""Commands that change a study: pause, resume, stop, retry, enqueue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.options import slot_options, study_argument, trial_argument
from orchestrator.cli.program import cli
from orchestrator.cli.shared import fleet

if TYPE_CHECKING:
    from orchestrator.api.study_handle import AddedTrial
    from orchestrator.common.slot_options import SlotOptions


@cli.command()
@study_argument
def pause(study: str) -> None:
    """Ask for no more trials.

    Those of STUDY that run or are queued go on to their end. `resume` undoes it.
    """
    with fleet() as found:
        click.echo(found.handle(study).pause())


@cli.command()
@study_argument
@slot_options
def resume(study: str, slots: SlotOptions) -> None:
    """Go on with a study that was paused, interrupted or suspended.

    The control plane handles STUDY again; if the cause of its suspension remains, the study is suspended again, and
    `status` shows the cause. Where no `run` in ORCHESTRATOR_DATA_DIR works on STUDY, it is run here in the foreground,
    as `orchestrator run` of its spec would do it.
    """
    from orchestrator.cli.search import run_here

    with fleet() as found:
        state = found.handle(study).resume_by(lambda spec, source: run_here(spec, source, slots, found.settings))
    if state is not None:
        click.echo(state)


@cli.command()
@study_argument
def stop(study: str) -> None:
    """End a study at once.

    Trials of STUDY that run are stopped in the middle of their epoch; what they have reported is kept. Those that never
    began wait, and take no place in the budget. The same spec, run or submitted again, begins with them.
    """
    with fleet() as found:
        click.echo(found.handle(study).stop())


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
    with fleet() as found:
        _show(found.handle(study).retry(trial))


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
    from orchestrator.spec.configuration import read_configuration

    params = read_configuration(values)
    with fleet() as found:
        _show(found.handle(study).enqueue(params))


def _show(added: AddedTrial) -> None:
    if added.number is None:
        click.echo("stored: 'orchestrator run' begins with it when it goes on with the study", err=True)
    else:
        click.echo(f"trial {added.number}")
    for note in added.notes:
        click.echo(f"note: {note}", err=True)
