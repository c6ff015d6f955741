"""Statements that SQLite and PostgreSQL spell in different ways: upserts, and the current time.

An insert is made once: putting a statement together costs more than the database takes to run it.
"""

from __future__ import annotations

import functools
from typing import Any

from sqlalchemy import ColumnElement, Float, Table, literal_column
from sqlalchemy.dialects import postgresql, sqlite

_dialects: dict[str, Any] = {"postgresql": postgresql, "sqlite": sqlite}

_NOW = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "extract(epoch from clock_timestamp())::float8",
}


def current_time(dialect: str) -> ColumnElement[float]:
    """Returns the time by the database's clock, in seconds since the epoch."""
    return literal_column(_NOW[dialect], Float)


@functools.cache
def insert_or_ignore(dialect: str, table: Table) -> Any:
    """Returns an insert that leaves alone what is there."""
    return _dialects[dialect].insert(table).on_conflict_do_nothing()


@functools.cache
def insert_or_update(dialect: str, table: Table, keys: tuple[str, ...], columns: tuple[str, ...]) -> Any:
    """Returns an insert that replaces ``columns`` where a row with the same ``keys`` is there."""
    statement = _dialects[dialect].insert(table)
    changed = {name: statement.excluded[name] for name in columns}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)
