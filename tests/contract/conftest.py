"""Databases of both kinds, prepared and empty."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from leased_store import LeasedStore
from queue_worker import Worker

from tasks.app import connect
from tests import prepared_databases
from tests.servers import Redis


@pytest.fixture
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL database with all tables and nothing in them."""
    name = prepared_databases.postgresql()
    yield prepared_databases.url_of(name)
    prepared_databases.give_back(name)


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    """The URL of such an SQLite file."""
    return prepared_databases.sqlite(tmp_path / "study.db")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def leased(url: str) -> Iterator[LeasedStore]:
    """A store that may write, over an empty database."""
    made = LeasedStore(url)
    yield made
    made.close()


@pytest.fixture(scope="module")
def queue_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    # The path of a socket may be no longer than some hundred characters.
    with tempfile.TemporaryDirectory() as folder:
        made = Redis(tmp_path_factory.mktemp("redis"), "--unixsocket", f"{folder}/redis.sock")
        made.start()
        yield made
        made.close()


@pytest.fixture
def worker(queue_server: Redis) -> Iterator[Worker]:
    client = connect(queue_server.url)
    client.flushall()
    yield Worker(client, queue_server.url)
    client.close()
