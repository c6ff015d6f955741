"""Databases with all tables and nothing in them: copies of one that each process of the tests prepares.

A copy on PostgreSQL takes ten times as long to make and to drop as its rows to delete. What a test gives back is
therefore emptied, and the next test has it under another name: what still knows the old name finds nothing.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy

from orchestrator.storage.database import Database
from tests import shared_servers
from tests.shared_servers import postgresql_url

SHAPE = """
WITH own AS (SELECT oid, nspname, nspacl FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
SELECT ('schema', nspname, nspacl)::text FROM own
UNION ALL SELECT ('relation', relname, relkind, relacl, relowner, reloptions, relrowsecurity, relpersistence)::text
    FROM pg_class WHERE relnamespace IN (SELECT oid FROM own)
UNION ALL SELECT ('column', relname, attname, atttypid, atttypmod, attnotnull, attisdropped, attacl)::text
    FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid WHERE relnamespace IN (SELECT oid FROM own)
UNION ALL SELECT ('default', relname, pg_get_expr(adbin, adrelid))::text
    FROM pg_attrdef JOIN pg_class ON adrelid = pg_class.oid
UNION ALL SELECT ('index', pg_get_indexdef(indexrelid), indisvalid)::text
    FROM pg_index JOIN pg_class ON indexrelid = pg_class.oid WHERE relnamespace IN (SELECT oid FROM own)
UNION ALL SELECT ('constraint', conrelid::regclass, conname, pg_get_constraintdef(oid))::text
    FROM pg_constraint WHERE connamespace IN (SELECT oid FROM own)
UNION ALL SELECT ('trigger', tgrelid::regclass, pg_get_triggerdef(oid), tgenabled)::text
    FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT ('constraint trigger', tgrelid::regclass, tgconstraint::regclass, tgenabled, count(*))::text
    FROM pg_trigger WHERE tgisinternal AND tgenabled <> 'O' GROUP BY tgrelid, tgconstraint, tgenabled
UNION ALL SELECT ('rule', ev_class::regclass, rulename)::text FROM pg_rewrite WHERE ev_class >= 16384
UNION ALL SELECT ('function', proname, prosrc, proacl)::text FROM pg_proc WHERE pronamespace IN (SELECT oid FROM own)
UNION ALL SELECT ('type', typname)::text FROM pg_type WHERE typnamespace IN (SELECT oid FROM own)
UNION ALL SELECT ('setting', setrole, setconfig)::text FROM pg_db_role_setting JOIN pg_database ON setdatabase = oid
    WHERE datname = current_database()
UNION ALL SELECT ('database', datacl, datconnlimit, pg_database_size(oid) > 24000000)::text FROM pg_database
    WHERE datname = current_database()
ORDER BY 1
"""
"""Asks PostgreSQL what a database is like, its rows left out."""

_free: list[str] = []


def sqlite(path: Path) -> str:
    """Makes the SQLite file ``path``; returns its URL."""
    return f"sqlite:///{shutil.copy(_sqlite_original(), path)}"


def postgresql() -> str:
    """Takes a database on the PostgreSQL that the tests share; returns its name.

    Raises:
        NotInstalled: there is no PostgreSQL.
    """
    return _free.pop() if _free else make_database(_postgresql_original().name)


def give_back(name: str) -> None:
    """Ends the connections to a database that ``postgresql`` returned; keeps it for another test, or drops it where
    more than its rows was changed."""
    renamed = _new_name()
    run(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'")
    run(f'ALTER DATABASE "{name}" RENAME TO "{renamed}"')
    if _postgresql_original().empties(renamed):
        _free.append(renamed)
    else:
        drop_database(renamed)


def make_database(template: str = "") -> str:
    """Makes a database on that server, empty or a copy of ``template``; returns its name."""
    name = _new_name()
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
    with _connection(postgresql_url()) as connection:
        connection.exec_driver_sql(statement)


@dataclass(frozen=True)
class Original:
    """A prepared database that is copied, and what makes a used copy like it again."""

    name: str
    shape: tuple[str, ...]
    emptying: str

    @staticmethod
    def read(name: str) -> Original:
        metadata = sqlalchemy.MetaData()
        with _connection(url_of(name)) as connection:
            metadata.reflect(connection)
            names = [f'"{table.name}"' for table in metadata.sorted_tables]
            statements = [f"DELETE FROM {each}" for each in reversed(names)]
            for each in names:
                kept = connection.exec_driver_sql(f"SELECT json_agg(t)::text FROM {each} t").scalar()
                if kept is not None:
                    source = f"json_populate_recordset(null::{each}, $rows${kept}$rows$)"
                    statements.append(f"INSERT INTO {each} SELECT * FROM {source}")
            for sequence in sqlalchemy.inspect(connection).get_sequence_names():
                place = connection.exec_driver_sql(f'SELECT last_value, is_called FROM "{sequence}"').one()
                statements.append(f"SELECT setval('\"{sequence}\"', {place.last_value}, {place.is_called})")
            return Original(name, shape(connection), "; ".join(statements))

    def empties(self, copy: str) -> bool:
        """Makes the rows of a copy what they are here; returns ``False`` where it differs in more than rows."""
        with _connection(url_of(copy)) as connection:
            if shape(connection) != self.shape:
                return False
            connection.execution_options(no_parameters=True).exec_driver_sql(self.emptying)
            return True


def shape(connection: sqlalchemy.Connection) -> tuple[str, ...]:
    """Returns what there is in a database and who may do what with it, all but rows; its size as a large one or not,
    as deleted rows take place and time."""
    return tuple(connection.exec_driver_sql(SHAPE).scalars())


def _new_name() -> str:
    return f"orchestrator_test_{uuid.uuid4().hex}"


def _connection(url: str) -> sqlalchemy.Connection:
    """Returns a connection whose statements are in no transaction; closed, it leaves nothing open."""
    return sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool).connect()


@functools.cache
def _sqlite_original() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="tests-original-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _prepare(f"sqlite:///{folder}/study.db")
    return folder / "study.db"


@functools.cache
def _postgresql_original() -> Original:
    name = make_database()
    shared_servers.before_close(lambda: drop_database(name))
    _prepare(url_of(name))
    shared_servers.before_close(_drop_free)
    return Original.read(name)


def _drop_free() -> None:
    while _free:
        drop_database(_free.pop())


def _prepare(url: str) -> None:
    database = Database(url)
    database.prepare()
    database.close()
