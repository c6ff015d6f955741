"""The Redis and the PostgreSQL that all tests of a process share: those of the machine, else servers of the tests' own.

``TEST_REDIS_URL`` and ``TEST_POSTGRESQL_URL`` name servers of the machine; where they are not set, the usual ports are
tried. Tests empty the Redis database whose number is that of the URL plus that of the process; a database that no
variable names is left alone unless it is empty. In PostgreSQL they make databases and drop them.
"""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import redis
import sqlalchemy

from tests.servers import PostgreSQL, Redis, Server

PROCESS = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Which of the processes this is that run tests beside each other."""

USUAL_REDIS = "redis://127.0.0.1:6379/9"
USUAL_POSTGRESQL = "postgresql://root@127.0.0.1:5432/postgres"
CONNECT_SECONDS = 3

passed_over: list[str] = []
"""What a variable names and what cannot be used, with the reason; the end of the run shows it."""

_own: list[Server] = []
_before_close: list[Callable[[], None]] = []


@functools.cache
def redis_url() -> str:
    """Returns the URL of an empty Redis database, which no other process of these tests uses."""
    named = os.environ.get("TEST_REDIS_URL")
    try:
        given = sqlalchemy.make_url(named or USUAL_REDIS)
        url = given.set(database=str(int(given.database or 0) + PROCESS)).render_as_string(hide_password=False)
        with redis.Redis.from_url(
            url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=CONNECT_SECONDS
        ) as client:
            if named:
                client.flushdb()
            usable = client.dbsize() == 0
    except (redis.RedisError, sqlalchemy.exc.ArgumentError, ValueError, OSError) as error:
        usable = False
        if named:
            passed_over.append(f"TEST_REDIS_URL: {_first_line(error)}")
    return url if usable else _start(Redis)


@functools.cache
def postgresql_url() -> str:
    """Returns the URL of a PostgreSQL database by which others can be made; it names no driver, as pg_dump wants it.

    Raises:
        NotInstalled: there is none, and none can be started.
    """
    named = os.environ.get("TEST_POSTGRESQL_URL")
    url = named or USUAL_POSTGRESQL
    try:
        engine = sqlalchemy.create_engine(
            url, connect_args={"connect_timeout": CONNECT_SECONDS}, poolclass=sqlalchemy.NullPool
        )
        with engine.connect() as connection:
            may = connection.exec_driver_sql(
                "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
            )
            if may.scalar():
                return _without_driver(url)
            reason = f"its user may not make databases: {sqlalchemy.make_url(url)}"
    except (sqlalchemy.exc.SQLAlchemyError, TypeError, ImportError) as error:
        reason = _first_line(getattr(error, "orig", None) or error)
    if named:
        passed_over.append(f"TEST_POSTGRESQL_URL: {reason}")
    return _without_driver(_start(PostgreSQL))


def _without_driver(url: str) -> str:
    return sqlalchemy.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def before_close(remove: Callable[[], None]) -> None:
    """Has ``remove`` called at the end of the run, while the servers are still there."""
    _before_close.append(remove)


def close() -> None:
    """Removes what was left for the end of the run; ends the servers that were started here."""
    while _before_close:
        _before_close.pop()()
    while _own:
        server = _own.pop()
        server.close()
        shutil.rmtree(server.folder, ignore_errors=True)


def _start(kind: type[Redis] | type[PostgreSQL]) -> str:
    server = kind(Path(tempfile.mkdtemp(prefix="tests-server-")))
    _own.append(server)
    atexit.register(close)
    server.start()
    return server.url


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
