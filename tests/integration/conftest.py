"""Servers for the integration tests: an embedded one with SQLite, and a real Redis with a real PostgreSQL."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
import sqlalchemy

sys.path.insert(0, str(Path(__file__).parent))

from fleet import Fleet, Servers, fleet

from orchestrator.local.lock import data_lock
from orchestrator.local.server import EmbeddedServer

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Which of the processes this is that run tests beside each other; each has a Redis database of its own."""

REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
POSTGRESQL_URL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql://root@127.0.0.1:5432/postgres")


@pytest.fixture(params=["embedded", "real"])
def servers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Servers]:
    """A Redis-protocol server and a database, empty."""
    if request.param == "embedded":
        yield from embedded_servers(tmp_path)
    else:
        yield from real_servers()


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Servers]:
    yield from embedded_servers(tmp_path)


@pytest.fixture
def running(servers: Servers, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet on both kinds of servers; nothing is started yet."""
    with fleet(servers, tmp_path) as it:
        yield it


@pytest.fixture
def running_embedded(embedded: Servers, tmp_path: Path) -> Iterator[Fleet]:
    with fleet(embedded, tmp_path) as it:
        yield it


@pytest.fixture(scope="module")
def shared_embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A fleet for all tests of a file, on the embedded server."""
    folder = tmp_path_factory.mktemp("fleet")
    with contextmanager(embedded_servers)(folder) as servers, fleet(servers, folder) as it:
        yield it


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Fleet]:
    """No servers: what is started has to bring its own."""
    with fleet(None, tmp_path) as it:
        yield it


def embedded_servers(tmp_path: Path) -> Iterator[Servers]:
    folder = tmp_path / "server"
    folder.mkdir()
    with data_lock(folder) as lock:
        server = EmbeddedServer(folder, lock)
        server.wait_ready()
        it = Servers(server.url, f"sqlite:///{tmp_path / 'studies.db'}")
        yield it
        it.close()
        server.stop()


def real_servers() -> Iterator[Servers]:
    given = sqlalchemy.make_url(REDIS_URL)
    redis_url = given.set(database=str(int(given.database or 0) + WORKER)).render_as_string(hide_password=False)
    client = redis.Redis.from_url(redis_url)
    name = f"orchestrator_test_{uuid.uuid4().hex[:12]}"
    admin = sqlalchemy.create_engine(POSTGRESQL_URL, isolation_level="AUTOCOMMIT")
    try:
        client.ping()
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
    except (redis.RedisError, sqlalchemy.exc.OperationalError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no Redis at {REDIS_URL} or no PostgreSQL: {error}")
    client.flushdb()
    url = sqlalchemy.make_url(POSTGRESQL_URL).set(database=name).render_as_string(hide_password=False)
    it = Servers(redis_url, url)
    try:
        yield it
    finally:
        it.close()
        client.flushdb()
        client.close()
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        admin.dispose()
