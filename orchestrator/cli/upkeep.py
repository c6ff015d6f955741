"""Commands for whoever looks after the servers."""

from __future__ import annotations

from contextlib import closing

import click

from orchestrator.cli.commands import cli
from orchestrator.common.errors import BadInput


@cli.command()
def prepare() -> None:
    """Make the tables that a database lacks, as their owner.

    The database is that of ORCHESTRATOR_STORAGE_URL. After that `serve`, and whatever else writes, needs no right to
    make any. Where they have that right they make them themselves, and nobody has to call this.
    """
    from orchestrator.common.settings import load_settings
    from orchestrator.common.urls import redact
    from orchestrator.storage.database import Database

    url = load_settings().storage_url
    if url is None:
        raise BadInput("ORCHESTRATOR_STORAGE_URL", "is not set", "name the database, as its owner reaches it")
    with closing(Database(url)) as database:
        database.prepare()
    click.echo(f"{redact(url)} has all tables")
