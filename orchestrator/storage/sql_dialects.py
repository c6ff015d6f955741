"""Statements that SQLite and PostgreSQL spell in different ways: many rows at once, upserts, and the current time.

However many rows are written, it is one statement: PostgreSQL gets one array a column and unnests them, SQLite has
``executemany``. A statement is made once: putting one together costs more than the database takes to run it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    Dialect,
    Enum,
    Executable,
    Float,
    String,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

Row = Mapping[str, Any]


class Transaction(Protocol):
    """What a statement is executed in: a connection of SQLAlchemy's, or a pipeline."""

    @property
    def dialect(self) -> Dialect:
        """The database's kind."""

    def execute(self, statement: Executable, parameters: Any) -> Iterable[Any]:
        """Has a statement executed; returns its rows."""

    def exec_driver_sql(self, statement: str, parameters: Any) -> object:
        """The same with a statement as the driver takes it."""


_dialects: dict[str, Any] = {"postgresql": postgresql, "sqlite": sqlite}

_NOW = {
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "extract(epoch from clock_timestamp())::float8",
}


def current_time(dialect: str) -> ColumnElement[float]:
    """Returns the time by the database's clock, in seconds since the epoch."""
    return literal_column(_NOW[dialect], Float)


def insert_rows(connection: Transaction, table: Table, rows: Sequence[Row]) -> None:
    """Inserts rows, which all have the same columns."""
    _execute(connection, _insert, table, rows, None)


def insert_new_rows(connection: Transaction, table: Table, rows: Sequence[Row]) -> None:
    """Inserts the rows that are not there yet, and leaves alone those that are."""
    _execute(connection, _insert, table, rows, ())


def replace_rows(connection: Transaction, table: Table, keys: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Inserts rows, in place of those that have the same ``keys``. No two of them may have the same."""
    _execute(connection, _insert, table, rows, keys)


def update_rows(
    connection: Transaction,
    table: Table,
    keys: tuple[str, ...],
    rows: Sequence[Row],
    only: ColumnElement[bool] | None = None,
) -> None:
    """Sets the other columns of each row in the one that has the same ``keys``, if ``only`` holds there."""
    _execute(connection, _update, table, rows, keys, only)


def delete_rows(connection: Transaction, table: Table, rows: Sequence[Row]) -> None:
    """Deletes the rows that have these values."""
    _execute(connection, _delete, table, rows)


def is_among(dialect: str, column: Column[int], name: str) -> ColumnElement[bool]:
    """Returns the condition that ``column`` is one of the integers bound as ``name``, in the form of ``integers``."""
    if dialect == "postgresql":
        return column == any_(bindparam(name, type_=ARRAY(column.type)))
    listed = func.json_each(bindparam(name)).table_valued("value")
    return column.in_(select(listed.c.value))


def integers(dialect: str, values: Collection[int]) -> Any:
    """Returns what is bound for ``is_among``; however many there are, it is one parameter."""
    return list(values) if dialect == "postgresql" else json.dumps(list(values))


def _execute(connection: Transaction, make: Any, table: Table, rows: Sequence[Row], *how: Any) -> None:
    if not rows:
        return
    columns = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        text, constants = as_text(make("postgresql", table, columns, *how))
        values = {_name(column): array_literal([row[column] for row in rows]) for column in columns}
        connection.exec_driver_sql(text, constants | values)
    else:
        statement = make("sqlite", table, columns, *how)
        connection.execute(statement, [{_name(column): row[column] for column in columns} for row in rows])


@functools.cache
def as_text(statement: Any) -> tuple[str, dict[str, Any]]:
    """Returns a statement as psycopg takes it, and the values in it that are always the same.

    All parameters are texts: SQLAlchemy would look at each of them, and at the statement, every time, which is a
    quarter of what the statement costs this process.
    """
    make_dialect: Any = postgresql.psycopg.dialect  # it has no types
    compiled = statement.compile(dialect=make_dialect())
    return str(compiled), {name: value for name, value in compiled.params.items() if value is not None}


@functools.cache
def _insert(dialect: str, table: Table, columns: tuple[str, ...], keys: tuple[str, ...] | None) -> Any:
    statement: Any = (insert if keys is None else _dialects[dialect].insert)(table)
    if dialect == "postgresql":
        statement = statement.from_select(columns, select(*_values(dialect, table, columns).values()))
    else:
        statement = statement.values(_values(dialect, table, columns))
    if keys is None:
        return statement
    if not keys:
        return statement.on_conflict_do_nothing()
    replaced = {name: statement.excluded[name] for name in columns if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=replaced)


@functools.cache
def _update(
    dialect: str, table: Table, columns: tuple[str, ...], keys: tuple[str, ...], only: ColumnElement[bool] | None
) -> Any:
    values = _values(dialect, table, columns)
    found = [table.c[key] == values.pop(key) for key in keys]
    return update(table).where(*found, true() if only is None else only).values(values)


@functools.cache
def _delete(dialect: str, table: Table, columns: tuple[str, ...]) -> Any:
    return delete(table).where(*(table.c[name] == value for name, value in _values(dialect, table, columns).items()))


def _values(dialect: str, table: Table, columns: tuple[str, ...]) -> dict[str, Any]:
    """Returns by column what stands for the value of a row."""
    if dialect != "postgresql":
        return {name: bindparam(_name(name), type_=table.c[name].type) for name in columns}
    # As text: the driver looks at every element of a list three times, which costs more than the server does.
    arrays = (cast(bindparam(_name(name), type_=Text()), ARRAY(_element(table, name))) for name in columns)
    rows = func.unnest(*arrays).table_valued(*columns, name="added").render_derived()
    return {
        name: cast(rows.c[name], table.c[name].type) if isinstance(table.c[name].type, Enum) else rows.c[name]
        for name in columns
    }


def _element(table: Table, name: str) -> TypeEngine[Any]:
    kind = table.c[name].type
    # A cast to a length would cut off what is too long; the insert refuses it.
    return String() if isinstance(kind, String) else kind


def array_literal(values: Iterable[Any]) -> str:
    """Returns PostgreSQL's text form of an array of numbers, texts, truth values or times."""
    return "{" + ",".join([_literal(value) for value in values]) + "}"


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, float):
        # Not ``repr``: numpy's floats are floats, too, and say so.
        return float.__repr__(value)
    return int.__repr__(value) if isinstance(value, int) else f'"{value}"'


def _name(column: str) -> str:
    # An update has its columns' names for itself.
    return f"the_{column}"
