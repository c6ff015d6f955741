"""Servers of a fleet: an embedded server with SQLite, or the Redis and the PostgreSQL that all tests share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import redis
import sqlalchemy
from fleet import Servers

from orchestrator.common.file_lock import data_lock
from orchestrator.local.embedded_redis import EmbeddedServer
from tests.shared_servers import postgresql_url, redis_url


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
    given = postgresql_url()
    name = f"orchestrator_test_{uuid.uuid4().hex[:12]}"
    admin = sqlalchemy.create_engine(given, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    url = sqlalchemy.make_url(given).set(database=name).render_as_string(hide_password=False)
    client = redis.Redis.from_url(redis_url())
    client.flushdb()
    it = Servers(redis_url(), url)
    try:
        yield it
    finally:
        it.close()
        client.flushdb()
        client.close()
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
