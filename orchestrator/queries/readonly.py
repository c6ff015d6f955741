"""Opens a database read-only: creates nothing, changes nothing, and names what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy
from sqlalchemy import Connection, exc

from orchestrator.common.errors import BadInput
from orchestrator.common.urls import redact
from orchestrator.queries.study_reader import StudyReader
from orchestrator.storage.database import Database, explained
from orchestrator.storage.schema_check import foreign_refusal, optuna_refusal, own_schema, shown
from orchestrator.storage.sqlite_files import path_of, tables_in
from tasks.server_errors import Contact, unavailable

_SNAPSHOT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
_EMPTY = "holds no studies, nor the tables for them"
_REMEDY = "run a search first, or set ORCHESTRATOR_STORAGE_URL or ORCHESTRATOR_DATA_DIR to where one was run"


class NothingThere(BadInput):
    """There is no such database, or it has no tables for studies."""


@contextmanager
def open_study_reader(url: str) -> Iterator[StudyReader]:
    """Opens the database in one read-only transaction, a snapshot.

    Raises:
        BadInput: there is none, it cannot be reached, it holds no studies, or it is of another version.
    """
    with open_connection(url) as connection:
        if refusal := optuna_refusal(connection, shown(url)):
            raise BadInput(redact(url), *refusal)
        yield StudyReader(connection, _has_ours(connection, redact(url)))


@contextmanager
def open_connection(url: str) -> Iterator[Connection]:
    """Opens the database in one read-only transaction, whatever version its tables are of.

    Raises:
        NothingThere: there is none, or it holds no studies.
        BadInput: it cannot be reached.
    """
    where = redact(url)
    _check_file(url, where)
    database = Database(url, read_only=True)
    try:
        with database.read_made(_SNAPSHOT if database.dialect == "postgresql" else "") as connection:
            if not sqlalchemy.inspect(connection).has_table("studies"):
                raise NothingThere(where, _EMPTY, _REMEDY)
            if refusal := foreign_refusal(connection):
                raise BadInput(where, *refusal)
            yield connection
    except exc.DBAPIError as error:
        found = unavailable(error)
        if found is not None and found.contact is Contact.NOT_NOW:
            raise
        raise explained(error, where) from None
    finally:
        database.close()


def _check_file(url: str, where: str) -> None:
    """Refuses a file that is missing or no SQLite database: opening it would create or change it."""
    try:
        parsed = sqlalchemy.make_url(url)
    except exc.ArgumentError as error:
        raise BadInput(where, str(error), "use a sqlite or postgresql URL") from None
    if parsed.get_backend_name() != "sqlite":
        return
    path = path_of(parsed)
    if path is None or not path.exists():
        raise NothingThere(where, "there is no such database", _REMEDY)
    tables_in(path, where)


def _has_ours(connection: Connection, where: str) -> bool:
    ours = own_schema(connection)
    if ours is not None and (refusal := ours.refusal()):
        raise BadInput(where, *refusal)
    return ours is not None
