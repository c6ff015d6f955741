"""Connections to the study database: SQLite on one machine, PostgreSQL for a fleet."""

from __future__ import annotations

import logging
import os
import re
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, NullPool, event, exc, text, update

from orchestrator.common.advice import how_to
from orchestrator.common.errors import BadInput, NotReached
from orchestrator.common.urls import redact
from orchestrator.storage import migrations, own_tables
from orchestrator.storage.pipeline import Pipeline
from orchestrator.storage.schema_check import (
    is_being_made,
    optuna_is_current,
    optuna_refusal,
    own_schema,
    shown,
)
from orchestrator.storage.sql_dialects import Transaction
from orchestrator.storage.sqlite_files import (
    DAMAGED,
    OTHER_FILE,
    PERMISSIONS,
    check_writable,
    copy_database,
    path_of,
    read_only_uri,
)
from tasks.process_identity import is_stopped, pid_namespace, proc_is_ours, start_time
from tasks.server_errors import Contact, unavailable

log = logging.getLogger(__name__)

_making = threading.Lock()
"""Alembic, Optuna's and ours, keeps what it works on in variables of the process: one thread at a time makes tables."""

BUSY_SECONDS = 60
"""Wait of an SQLite writer for another process that holds the file."""

MAKE_ATTEMPTS = 6
LOOKS_AT_MAKING = 16
"""Looks at tables that another process makes: over 6 s, for Optuna takes long on a busy machine."""
_NOT_ALLOWED = "42501"
_READ_ONLY = "25006"
"""PostgreSQL's SQLSTATE for a role that lacks a right, and for a read-only transaction."""

_READ_ONLY_CLIENT = text(
    "SELECT count(*) FROM pg_settings WHERE name = 'default_transaction_read_only' AND setting = 'on'"
    " AND source IN ('user', 'database user', 'client')"
)
"""Whether it is the role, or the URL, that may only read; a server or a database may be so for a while."""

_MET = re.compile("locked|already exists|duplicate key|UNIQUE constraint|tuple concurrently", re.IGNORECASE)

OPTIONS: dict[str, dict[str, Any]] = {
    "sqlite": {"connect_args": {"timeout": BUSY_SECONDS}},
    "postgresql": {
        "connect_args": {
            "connect_timeout": 5,
            "application_name": "orchestrator",
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            # What was sent and is not acknowledged for so many milliseconds ends the connection.
            "tcp_user_timeout": 15_000,
            # At a rollback the driver forgets the statements that it has prepared, and with them a pipeline's.
            "prepare_threshold": None,
        },
    },
}
"""Arguments of ``create_engine`` by dialect."""


class Database:
    """An engine whose write transactions take SQLite's lock at their beginning, so that they never fail half-way.

    Args:
        url: An SQLAlchemy URL, as Optuna takes it.
        busy: Wait of an SQLite writer for another process that holds the file, in seconds.
        read_only: Nothing is written: not even SQLite's journal mode is set.

    Raises:
        BadInput: the URL is of no kind that is known here, or its folder cannot be made.
    """

    def __init__(self, url: str, busy: float = BUSY_SECONDS, *, read_only: bool = False) -> None:
        self.url = url
        try:
            parsed = sqlalchemy.make_url(url)
            self.dialect = parsed.get_backend_name()
            self.options = OPTIONS.get(self.dialect, {})
            if self.dialect == "sqlite":
                self.options = {"connect_args": {"timeout": busy}}
            self._file = path_of(parsed)
            if self._file is not None and read_only:
                parsed = parsed.set(database=read_only_uri(self._file), query={"uri": "true"})
            elif self._file is not None:
                self._file.parent.mkdir(parents=True, exist_ok=True)
            self.engine: Engine = sqlalchemy.create_engine(parsed, **self.options)
        except OSError as error:
            problem = f"the database cannot be reached: its folder cannot be made: {error.strerror}"
            raise BadInput(redact(url), problem, "choose another one") from None
        except (exc.ArgumentError, exc.NoSuchModuleError, ImportError) as error:
            raise BadInput(redact(url), str(error), "use a sqlite or postgresql URL") from None
        if self.dialect == "sqlite":
            event.listen(self.engine, "connect", _on_sqlite_read_only if read_only else _on_sqlite_connect)
            event.listen(self.engine, "begin", _on_sqlite_begin)

    def lacks_tables(self) -> bool:
        """Whether Optuna's tables of this version or this program's are missing, so that ``prepare`` would make them.

        A database that cannot be used lacks none: ``prepare`` says why.
        """
        if self._file is not None and not self._file.exists():
            return True
        try:
            with closing(Database(self.url, read_only=True)) as database, database.read() as connection:
                return not optuna_is_current(connection) or own_schema(connection) is None
        except exc.DBAPIError as error:
            if unavailable(error) is not None:
                raise
            return False

    def prepare(self) -> None:
        """Makes the tables that are missing, Optuna's and this program's, and upgrades this program's older ones.

        An upgrade is one transaction, and an SQLite file is copied beside itself first. Of several processes that
        prepare at once, one upgrades and the others wait for it. A line of log, a warning, tells of an upgrade.

        Raises:
            BadInput: the database cannot be reached, is of a newer version, or its tables have to be made or upgraded
                and this role may not. An error that goes away by itself is raised as it is.
        """
        where = redact(self.url)
        if self._file is not None:
            check_writable(self._file, where)
        try:
            self._check_optunas()
            self._make_tables(where)
        except exc.DBAPIError as error:
            found = unavailable(error)
            if found is not None and found.contact is Contact.NOT_NOW:
                raise
            if found is not None and found.contact is Contact.NOT_REACHED:
                problem = f"the database cannot be reached: {_first_line(error)}"
                raise NotReached(where, problem, "check ORCHESTRATOR_STORAGE_URL") from None
            if not self._is_not_allowed(error):
                raise explained(error, where) from None
            problem = f"its tables have to be made or upgraded, and this role may not: {_first_line(error)}"
            raise BadInput(where, problem, f"have their owner run '{how_to('prepare')}'") from None
        except (exc.NoSuchModuleError, ImportError) as error:
            raise BadInput(where, str(error), "use a sqlite or postgresql URL") from None

    def _check_optunas(self) -> None:
        """Refuses tables of another Optuna before anything is added to them."""
        if self._file is not None and not self._file.exists():
            return
        with closing(Database(self.url, read_only=True)) as database, database.read_made() as connection:
            refusal = optuna_refusal(connection, shown(self.url))
        if refusal:
            raise BadInput(redact(self.url), *refusal)

    def _make_tables(self, where: str) -> None:
        """Makes Optuna's tables and this program's, and upgrades the latter."""
        with self.read() as connection:
            optunas_are_made = optuna_is_current(connection)
        with _making:
            if optunas_are_made:
                # Optuna would read its migrations to find nothing to do, which takes a fifth of a second.
                self._upgrade_own(where)
            else:
                self._make_all(where)

    def _make_all(self, where: str) -> None:
        # Not before it is needed: most commands only look.
        import optuna
        from optuna.storages import RDBStorage

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        for attempt in range(MAKE_ATTEMPTS):
            try:
                # Without a pool: a constructor that raises would leave the pool's connections open.
                theirs = RDBStorage(self.url, engine_kwargs=self.options | {"poolclass": NullPool})
                theirs.remove_session()
                theirs.engine.dispose()
                self._upgrade_own(where)
                return
            except (exc.DatabaseError, optuna.exceptions.StorageInternalError) as error:
                # Processes that start together make the same tables; the second one retries.
                if attempt + 1 == MAKE_ATTEMPTS or not _MET.search(str(error.__cause__ or "") + str(error)):
                    # Optuna's words for whatever went wrong hide the database's.
                    wrapped = isinstance(error, optuna.exceptions.StorageInternalError)
                    raise (error.__cause__ if wrapped and error.__cause__ else error) from None
                time.sleep(0.1 * (attempt + 1))
        raise AssertionError("unreachable")

    def _upgrade_own(self, where: str) -> None:
        with self.write() as connection:
            done = self._upgrade(connection, where)
        if done:
            log.warning("%s", done, extra={"action": "upgraded"})

    def _upgrade(self, connection: Connection, where: str) -> str:
        """Brings this program's tables to its newest revision; returns what was upgraded, empty where nothing was."""
        migrations.lock(connection)
        schema = own_schema(connection)
        done = ""
        if schema is None:
            migrations.upgrade(connection, None)
        elif refusal := schema.refusal():
            if not schema.known:
                raise BadInput(where, *refusal)
            copy = None if self._file is None else copy_database(self._file, f"before-{schema.wanted}", where)
            migrations.upgrade(connection, schema.found)
            done = f"{where}: upgraded its tables from revision {schema.found} to {schema.wanted}"
            done += f"; the file as it was before is {copy}" if copy else ""
        if self.dialect == "sqlite":
            for statement in (own_tables.CREATE_CASCADE, *own_tables.DELETE_ORPHANS):
                connection.exec_driver_sql(statement)
        return done

    def check_writable(self) -> None:
        """Raises BadInput where the role in the URL may not write. A standby would find out when it takes over."""
        with self.write() as connection:
            # There is no such row; the right is asked for all the same.
            connection.execute(update(own_tables.writer).where(own_tables.writer.c.id == 0).values(term=0))

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that will write.

        Raises:
            BadInput: the role in the URL may only read.
        """
        try:
            with (
                self.engine.connect().execution_options(orchestrator_write=True) as connection,
                connection.begin(),
            ):
                yield connection
        except exc.DBAPIError as error:
            if not self._is_not_allowed(error):
                raise
            problem = f"the role in this URL may not write: {_first_line(error)}"
            raise BadInput(redact(self.url), problem, "take one that may, such as orchestrator_writer") from None

    @contextmanager
    def write_together(self) -> Iterator[Transaction]:
        """The same; PostgreSQL is sent statements together, as far as no rows are looked at in between."""
        with self.write() as connection:
            if self.dialect != "postgresql":
                yield connection
                return
            pipeline = Pipeline(connection)
            yield pipeline
            pipeline.commit()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that only reads."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def read_made(self, first: str = "") -> Iterator[Connection]:
        """The same, once the tables that another process is just making are made, or have waited for long.

        Args:
            first: A statement that begins the transaction.
        """
        for attempt in range(LOOKS_AT_MAKING):
            with self.read() as connection:
                if first:
                    connection.exec_driver_sql(first)
                if attempt + 1 == LOOKS_AT_MAKING or not is_being_made(connection):
                    yield connection
                    return
            time.sleep(0.05 * (attempt + 1))

    def close(self) -> None:
        self.engine.dispose()

    def _is_not_allowed(self, error: exc.DBAPIError) -> bool:
        """Whether this client lacks a right permanently, and the server is not only read-only for a while."""
        code = getattr(error.orig, "sqlstate", None)
        if code != _READ_ONLY:
            return bool(code == _NOT_ALLOWED)
        with self.read() as connection:
            return bool(connection.scalar(_READ_ONLY_CLIENT))


def explained(error: exc.DBAPIError, where: str) -> BadInput:
    """Returns in one line why a database cannot be used, and what helps."""
    line = _first_line(error)
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        # An extended code has the primary one in its lowest byte.
        match code & 0xFF:
            case sqlite3.SQLITE_NOTADB:
                return BadInput(where, "is not an SQLite database", OTHER_FILE)
            case sqlite3.SQLITE_CORRUPT:
                return BadInput(where, f"is damaged: {line}", DAMAGED)
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN:
                return BadInput(where, f"cannot be opened: {line}", PERMISSIONS)
    state = getattr(error.orig, "sqlstate", None) or ""
    if state == _NOT_ALLOWED:
        return BadInput(where, f"the role in this URL lacks a right: {line}", "docs/security.md lists those it needs")
    if code == sqlite3.SQLITE_ERROR or state.startswith("42"):
        problem = f"its tables are not as this program knows them: {line}"
        return BadInput(where, problem, f"'{how_to('doctor')}' says more")
    return NotReached(where, f"the database cannot be reached: {line}", "check ORCHESTRATOR_STORAGE_URL")


def process_name() -> str:
    """Returns a name for this process that another can check: host and PID namespace, process id, start time."""
    return f"{_host()}:{os.getpid()}:{start_time(os.getpid()) if proc_is_ours() else ''}"


def is_gone(holder: str) -> bool:
    """Returns whether ``holder`` was a process of this host and of this PID namespace that runs no more; ``False``
    when that cannot be known."""
    pid, start = _process_of(holder)
    return bool(pid) and start_time(pid) != start


def stopped_pid(holder: str) -> int:
    """Returns the id of the process ``holder`` where it is on this host and stands still, as after SIGSTOP; else 0."""
    pid, start = _process_of(holder)
    return pid if pid and start_time(pid) == start and is_stopped(pid) else 0


def _process_of(holder: str) -> tuple[int, str]:
    """Returns id and start time of a process of this host and PID namespace; 0 where it is none of these, or where
    that cannot be known."""
    host, _, rest = holder.rpartition(":")[0].partition(":")
    start = holder.rpartition(":")[2]
    known = host == _host() and pid_namespace() and rest.isdigit() and start and proc_is_ours()
    return (int(rest), start) if known else (0, "")


def _host() -> str:
    return f"{socket.gethostname()}/{pid_namespace()}"


def _first_line(error: exc.DBAPIError) -> str:
    return str(error.orig or error).strip().splitlines()[0]


def _decode(raw: bytes) -> str:
    # One text that is no UTF-8, from another program, would fail the query for every row.
    return raw.decode(errors="replace")


def _on_sqlite_connect(connection: Any, record: Any) -> None:
    del record
    connection.isolation_level = None  # SQLAlchemy's "begin" decides, not the driver
    connection.text_factory = _decode
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _on_sqlite_read_only(connection: Any, record: Any) -> None:
    del record
    connection.isolation_level = None
    connection.text_factory = _decode
    connection.execute("PRAGMA query_only = ON")


def _on_sqlite_begin(connection: Connection) -> None:
    write = connection.get_execution_options().get("orchestrator_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
