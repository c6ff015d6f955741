"""Reads the versions of a database's tables; ``orchestrator.model.schema_state`` says what follows from them."""

from __future__ import annotations

import functools
from typing import Final

import sqlalchemy
from sqlalchemy import Connection, column, select, table

from orchestrator.common.urls import redact
from orchestrator.model.schema_state import OptunaSchema, OwnSchema, Refusal
from orchestrator.storage import own_tables
from orchestrator.storage.migrations import HEAD, REVISIONS, VERSION_TABLE

_ALEMBIC = table("alembic_version", column("version_num"))
_VERSION = table("version_info", column("library_version"))
_OWN = table(VERSION_TABLE, column("version_num"))

_FIRST_TABLES: Final = {
    "0004": own_tables.slots.name,
    "0003": own_tables.notes.name,
    "0002": own_tables.closest.name,
    "0001": own_tables.attempts.name,
}
"""A table that each revision added. Databases from before Alembic name no revision; their tables tell it."""

OPTUNA_HEAD: Final = "v3.2.0.a"
"""The version of Optuna's tables that ``optuna_tables`` describes."""

OPTUNA_FIRST: Final = "v0.9.0.a"
"""The oldest version that Optuna migrates from; tables that name no version are of this one."""


def optuna_schema(connection: Connection) -> OptunaSchema | None:
    """Returns the version of Optuna's tables; ``None`` where there are none."""
    if not sqlalchemy.inspect(connection).has_table(_VERSION.name):
        return None
    wanted, known = _installed()
    library = connection.scalar(select(_VERSION.c.library_version))
    found = _found(connection) or OPTUNA_FIRST
    return OptunaSchema(found, wanted, found in known, str(library or "?"))


def optuna_refusal(connection: Connection, url: str) -> Refusal | None:
    """Returns why Optuna's tables cannot be used, if that is so; ``url`` is the database's, as a command may name it.

    Optuna is imported only where the version is another one than usual: a look has no time for it.
    """
    if not sqlalchemy.inspect(connection).has_table("studies") or _found(connection) == OPTUNA_HEAD:
        return None
    schema = optuna_schema(connection)
    return foreign_refusal(connection) if schema is None else schema.refusal(url)


def optuna_is_current(connection: Connection) -> bool:
    """Whether Optuna's tables are made, and of the version that this program knows."""
    return _found(connection) == OPTUNA_HEAD


def is_being_made(connection: Connection) -> bool:
    """Whether Optuna's tables are there, some or all, and their version is not: Optuna commits it after them.

    The oldest tables have no version either; their studies have a direction.
    """
    found = sqlalchemy.inspect(connection)
    if not found.has_table("studies") or _found(connection) is not None:
        return False
    return {each["name"] for each in found.get_columns("studies")} == {"study_id", "study_name"}


def foreign_refusal(connection: Connection) -> Refusal | None:
    """Returns why a database with a table of studies cannot be used, where these are no studies of Optuna's."""
    if sqlalchemy.inspect(connection).has_table(_VERSION.name):
        return None
    return Refusal("has a table 'studies' that is not Optuna's", "name another database")


def _found(connection: Connection) -> str | None:
    """Returns the version that is written down; ``None`` where Optuna did not write any down yet, or has no tables."""
    if not sqlalchemy.inspect(connection).has_table(_ALEMBIC.name):
        return None
    return connection.scalar(select(_ALEMBIC.c.version_num))


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


def own_schema(connection: Connection) -> OwnSchema | None:
    """Returns the revision of this program's tables; ``None`` where there are none."""
    tables = frozenset(sqlalchemy.inspect(connection).get_table_names())
    found: str | None = next((revision for revision, name in _FIRST_TABLES.items() if name in tables), None)
    if _OWN.name in tables:
        found = connection.scalar(select(_OWN.c.version_num))
    return None if found is None else OwnSchema(found, HEAD, found in REVISIONS)


def shown(url: str) -> str:
    """Returns a database URL as a command may name it: one with a password stands in the environment."""
    return url if redact(url) == url else '"$ORCHESTRATOR_STORAGE_URL"'
