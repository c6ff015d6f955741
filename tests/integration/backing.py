"""What a fleet stands on: an embedded server with SQLite, or a Redis and a PostgreSQL that run already."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import sqlalchemy
from fleet import Servers

from orchestrator.local.lock import data_lock
from orchestrator.local.server import EmbeddedServer

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Which of the processes this is that run tests beside each other; each has a Redis database of its own."""

REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")
POSTGRESQL_URL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql://root@127.0.0.1:5432/postgres")


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
