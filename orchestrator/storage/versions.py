"""Reading which version the tables of a database are of; what follows from that is said by ``orchestrator.schema``."""

from __future__ import annotations

import functools

import sqlalchemy
from sqlalchemy import Connection, column, select, table

from orchestrator.schema import OptunaSchema, OurSchema
from orchestrator.storage import tables
from orchestrator.urls import redact

_ALEMBIC = table("alembic_version", column("version_num"))
_VERSION = table("version_info", column("library_version"))


def optuna_schema(connection: Connection) -> OptunaSchema | None:
    """Returns the version of Optuna's tables; ``None`` where there are none."""
    inspector = sqlalchemy.inspect(connection)
    if not inspector.has_table(_ALEMBIC.name) or not inspector.has_table(_VERSION.name):
        return None
    found = connection.scalar(select(_ALEMBIC.c.version_num))
    if found is None:
        return None
    wanted, known = _installed()
    library = connection.scalar(select(_VERSION.c.library_version))
    return OptunaSchema(str(found), wanted, found in known, str(library or "?"))


@functools.cache
def _installed() -> tuple[str, frozenset[str]]:
    """Returns the version that the installed Optuna works with, and all that it knows.

    A database in memory tells, so that the one that is looked at is not touched.
    """
    from optuna.storages import RDBStorage

    storage = RDBStorage("sqlite://")
    try:
        return storage.get_head_version(), frozenset(storage.get_all_versions())
    finally:
        storage.remove_session()
        storage.engine.dispose()


def our_schema(connection: Connection) -> OurSchema | None:
    """Returns the version of our tables; ``None`` where there are none."""
    if not sqlalchemy.inspect(connection).has_table(tables.meta.name):
        return None
    found = connection.scalar(select(tables.meta.c.schema_version))
    return None if found is None else OurSchema(found, tables.SCHEMA_VERSION)


def shown(url: str) -> str:
    """Returns a database URL as a command may name it: one with a password stands in the environment."""
    return url if redact(url) == url else '"$ORCHESTRATOR_STORAGE_URL"'
