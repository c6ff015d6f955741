"""Commands that change a study that is there already."""

from __future__ import annotations

import click

from orchestrator.cli.commands import ANSWER_SECONDS, cli


@cli.command()
@click.argument("study")
@click.argument("values", metavar="KEY=VALUE...", nargs=-1, required=True)
def enqueue(study: str, values: tuple[str, ...]) -> None:
    """Add a trial with known-good parameters to STUDY.

    It is the next one that runs, and adds to the budget; a study that was finished goes on for it. Parameters that are
    not given are sampled. VALUE is a number, true, false, null, or else a string.
    """
    from orchestrator.commands import Issuer
    from orchestrator.local.lock import is_locked
    from orchestrator.settings import load_settings
    from orchestrator.spec.configuration import check_configuration, read_configuration
    from orchestrator.spec.faults import nearest
    from orchestrator.storage import Store
    from orchestrator.storage.database import Database
    from orchestrator.storage.look import open_history, url_of
    from tasks.app import connect

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
    database = Database(url_of(settings))
    database.prepare()
    store = Store(database)
    if settings.redis_url is None and not is_locked(settings.data_dir):
        Issuer(store, None).leave("enqueue", study, {"params": params})
        click.echo("kept: 'orchestrator run' begins with it when it goes on with the study", err=True)
        return
    client = connect(settings.redis_url) if settings.redis_url else None
    Issuer(store, client).enqueue(study, params, ANSWER_SECONDS)
