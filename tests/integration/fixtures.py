"""Servers for tests of real processes: an embedded one with SQLite, and a real Redis with a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fleet import Fleet, Servers, fleet
from fleet_servers import embedded_servers, real_servers


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
