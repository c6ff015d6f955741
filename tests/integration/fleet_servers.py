"""Servers of a fleet: an embedded server with SQLite, or the Redis and the PostgreSQL that all tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import redis
from fleet import Servers

from orchestrator.common.file_lock import data_lock
from orchestrator.local.embedded_redis import EmbeddedServer
from tests import prepared_databases
from tests.shared_servers import redis_url


def embedded_servers(tmp_path: Path) -> Iterator[Servers]:
    folder = tmp_path / "server"
    folder.mkdir()
    with data_lock(folder) as lock:
        server = EmbeddedServer(folder, lock)
        server.wait_ready()
        it = Servers(server.url, prepared_databases.sqlite(tmp_path / "studies.db"))
        yield it
        it.close()
        server.stop()


def real_servers() -> Iterator[Servers]:
    name = prepared_databases.postgresql()
    client = redis.Redis.from_url(redis_url())
    client.flushdb()
    it = Servers(redis_url(), prepared_databases.url_of(name))
    try:
        yield it
    finally:
        it.close()
        client.flushdb()
        client.close()
        prepared_databases.give_back(name)
