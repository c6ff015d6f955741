"""Commands that change a study that is there already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.commands import ANSWER_SECONDS, cli
from orchestrator.errors import BadInput

if TYPE_CHECKING:
    from orchestrator.commands import Issuer
    from orchestrator.settings import Settings
    from orchestrator.storage import Store


@cli.command()
@click.argument("study")
@click.argument("values", metavar="KEY=VALUE...", nargs=-1, required=True)
def enqueue(study: str, values: tuple[str, ...]) -> None:
    """Add a trial with known-good parameters to STUDY.

    It is the next one that runs, and adds to the budget; a study that was finished goes on for it. Parameters that are
    not given are sampled. VALUE is a number, true, false, null, or else a string.
    """
    from orchestrator.commands import Issuer
    from orchestrator.settings import load_settings
    from orchestrator.spec.configuration import check_configuration, read_configuration
    from orchestrator.spec.faults import nearest
    from orchestrator.storage.look import open_history, url_of

    settings = load_settings()
    params = read_configuration(values)
    with open_history(url_of(settings)) as history:
        # Here as well as where it is applied: what is wrong is said also where nobody runs who would apply it.
        check_configuration(history.spec(study), params, f"study '{study}'")
        known = history.parameters(study)
    for key in params if known else ():
        if key not in known:
            # It may belong to a branch of the objective that nobody has taken yet, so this is no error.
            click.echo(f"note: no trial of '{study}' has had a parameter '{key}' yet; {nearest(key, known)}", err=True)
    store = _store(settings)
    if _nobody_there(settings):
        Issuer(store, None).leave("enqueue", study, {"params": params})
        click.echo("kept: 'orchestrator run' begins with it when it goes on with the study", err=True)
        return
    _issuer(settings, store).enqueue(study, params, ANSWER_SECONDS)


@cli.command()
@click.argument("study")
def pause(study: str) -> None:
    """Ask for no more trials of STUDY; those that run or wait in the queue go on to their end. `resume` undoes it."""
    _steer("pause", study)


@cli.command()
@click.argument("study")
def resume(study: str) -> None:
    """Take up STUDY again after `pause`."""
    _steer("resume", study)


@cli.command()
@click.argument("study")
def stop(study: str) -> None:
    """End STUDY: trials that run are stopped in the middle of their epoch, what they have reported is kept."""
    _steer("stop", study)


def _steer(operation: str, study: str) -> None:
    from orchestrator.settings import load_settings
    from orchestrator.storage.look import open_history, url_of

    settings = load_settings()
    with open_history(url_of(settings)) as history:
        state = history.overview(study).progress.state
    if _nobody_there(settings):
        problem = f"is {state}, and nobody works at it in {settings.data_dir}"
        raise BadInput(f"study '{study}'", problem, "set ORCHESTRATOR_REDIS_URL and ORCHESTRATOR_STORAGE_URL")
    click.echo(_issuer(settings, _store(settings)).command(operation, study, ANSWER_SECONDS))


def _nobody_there(settings: Settings) -> bool:
    """Whether there is no control plane that could be told: none of a fleet, and no `run` in the data folder."""
    from orchestrator.local.lock import is_locked

    return settings.redis_url is None and not is_locked(settings.data_dir)


def _store(settings: Settings) -> Store:
    from orchestrator.storage import Store
    from orchestrator.storage.database import Database
    from orchestrator.storage.look import url_of

    database = Database(url_of(settings))
    database.prepare()
    return Store(database)


def _issuer(settings: Settings, store: Store) -> Issuer:
    from orchestrator.commands import Issuer
    from orchestrator.local.server import url_of_running
    from tasks.app import connect

    url = settings.redis_url or url_of_running(settings.data_dir / "redis")
    return Issuer(store, connect(url) if url else None)
