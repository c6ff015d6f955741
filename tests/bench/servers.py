"""Servers to measure on: an embedded one with SQLite, and those of the environment where they may be used."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis
import sqlalchemy

from orchestrator.common.file_lock import data_lock
from orchestrator.local.embedded_redis import EmbeddedServer
from orchestrator.storage.database import Database
from tasks.app import connect

OURS = ("orchestrator:*", "trials*", "_kombu.*", "unacked*", "celery*", "*.pidbox", "*reply.celery.pidbox*")


class Unusable(Exception):
    """Servers that are configured and that nothing is measured on; the message says why."""


@dataclass(frozen=True)
class Place:
    """A Redis and a way to an empty database."""

    name: str
    redis_url: str
    new_database: Callable[[], str]

    def database(self) -> Database:
        """Returns a new database with its tables made."""
        database = Database(self.new_database())
        database.prepare()
        return database


@contextmanager
def embedded(folder: Path) -> Iterator[Place]:
    """The servers that ``orchestrator run`` brings along."""
    with ExitStack() as stack:
        url = _embedded_redis(folder, stack)
        yield Place("embedded, SQLite", url, lambda: _sqlite(folder))


@contextmanager
def configured(folder: Path) -> Iterator[Place | None]:
    """The servers of the environment, or ``None`` where it names none.

    Nothing in them is touched: the Redis database has to be empty, and the study database is a new one beside
    the one that is named.

    Raises:
        Unusable: they cannot be reached, or may not be used so.
    """
    redis_url = os.environ.get("ORCHESTRATOR_REDIS_URL")
    storage_url = os.environ.get("ORCHESTRATOR_STORAGE_URL")
    if not redis_url and not storage_url:
        yield None
        return
    with ExitStack() as stack:
        stream = stack.enter_context(_borrowed_redis(redis_url)) if redis_url else _embedded_redis(folder, stack)
        make: Callable[[], str] = lambda: _sqlite(folder)  # noqa: E731
        named = sqlalchemy.make_url(storage_url).get_backend_name() if storage_url else "sqlite"
        if storage_url and named == "postgresql":
            make = stack.enter_context(_new_postgresql(storage_url))
        words = ("Redis" if redis_url else "embedded", "PostgreSQL" if named == "postgresql" else "SQLite")
        yield Place(", ".join(words), stream, make)


def environment(place: Place | None, folder: Path, storage_url: str = "") -> dict[str, str]:
    """Returns the environment for processes that work on these servers."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ORCHESTRATOR_")}
    paths = (str(Path(__file__).parents[2]), clean.get("PYTHONPATH", ""))
    clean["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    clean["ORCHESTRATOR_OBJECTIVES"] = "tests.bench,tasks.objectives"
    clean["ORCHESTRATOR_DATA_DIR"] = str(folder / "data")
    if place is not None:
        clean["ORCHESTRATOR_REDIS_URL"] = place.redis_url
        clean["ORCHESTRATOR_STORAGE_URL"] = storage_url
    return clean


def say(text: str) -> None:
    """Shows progress."""
    print(text, file=sys.stderr, flush=True)


def _sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / f'studies-{uuid.uuid4().hex[:8]}.db'}"


def _embedded_redis(folder: Path, stack: ExitStack) -> str:
    home = folder / "redis"
    home.mkdir()
    lock = stack.enter_context(data_lock(home))
    server = EmbeddedServer(home, lock)
    stack.callback(server.stop)
    server.wait_ready()
    return server.url


@contextmanager
def _borrowed_redis(url: str) -> Iterator[str]:
    client = connect(url)
    try:
        held = client.dbsize()
    except redis.RedisError as error:
        raise Unusable(f"Redis cannot be reached: {error}") from None
    if held:
        raise Unusable("the Redis database is not empty, and something may be working on it; name an empty one (/N)")
    try:
        yield url
    finally:
        for pattern in OURS:
            for key in client.scan_iter(pattern, count=1000):
                client.unlink(key)


@contextmanager
def _new_postgresql(url: str) -> Iterator[Callable[[], str]]:
    admin = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    made: list[str] = []

    def make() -> str:
        made.append(f"orchestrator_bench_{uuid.uuid4().hex[:12]}")
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {made[-1]}")
        return sqlalchemy.make_url(url).set(database=made[-1]).render_as_string(hide_password=False)

    try:
        try:
            make()
        except sqlalchemy.exc.DBAPIError as error:
            made.clear()
            reason = str(error.orig or error).strip().splitlines()[0]
            raise Unusable(f"no database can be made beside the one that is named: {reason}") from None
        yield make
    finally:
        for name in made:
            with admin.connect() as connection:
                connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()
