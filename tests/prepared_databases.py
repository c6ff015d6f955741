"""Databases with all tables and nothing in them: copies of one that each process of the tests prepares."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
import uuid
from pathlib import Path

import sqlalchemy

from orchestrator.storage.database import Database
from tests import shared_servers
from tests.shared_servers import postgresql_url


def sqlite(path: Path) -> str:
    """Makes the SQLite file ``path``; returns its URL."""
    return f"sqlite:///{shutil.copy(_sqlite_original(), path)}"


def postgresql() -> str:
    """Makes a database on the PostgreSQL that the tests share; returns its name.

    Raises:
        NotInstalled: there is no PostgreSQL.
    """
    return make_database(_postgresql_original())


def make_database(template: str = "") -> str:
    """Makes a database on that server, empty or a copy of ``template``; returns its name."""
    name = f"orchestrator_test_{uuid.uuid4().hex}"
    run(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
    return name


def drop_database(name: str) -> None:
    """Drops a database of that server; ends the connections to it."""
    run(f'DROP DATABASE "{name}" WITH (FORCE)')


def url_of(name: str) -> str:
    """Returns the URL of a database of that server."""
    return sqlalchemy.make_url(postgresql_url()).set(database=name).render_as_string(hide_password=False)


def run(statement: str) -> None:
    """Runs a statement on that server, in no transaction."""
    engine = sqlalchemy.create_engine(postgresql_url(), isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


@functools.cache
def _sqlite_original() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tests-original-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _prepare(f"sqlite:///{folder}/study.db")
    return folder / "study.db"


@functools.cache
def _postgresql_original() -> str:
    name = make_database()
    shared_servers.before_close(lambda: drop_database(name))
    _prepare(url_of(name))
    return name


def _prepare(url: str) -> None:
    database = Database(url)
    database.prepare()
    database.close()
