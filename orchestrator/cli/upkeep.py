"""Commands for whoever looks after the servers."""

from __future__ import annotations

import click

from orchestrator.cli.commands import cli
from orchestrator.errors import BadInput


@cli.command()
def prepare() -> None:
    """Make the tables that are missing in the database of ORCHESTRATOR_STORAGE_URL, as their owner.

    After that `serve` and whatever else writes needs no right to make any. Where it has that right, it makes them
    itself, and nobody has to call this.
    """
    from orchestrator.settings import load_settings, redact
    from orchestrator.storage.database import Database

    url = load_settings().storage_url
    if url is None:
        raise BadInput("ORCHESTRATOR_STORAGE_URL", "is not set", "name the database, as its owner reaches it")
    database = Database(url)
    database.prepare()
    database.close()
    click.echo(f"{redact(url)} has all tables")
