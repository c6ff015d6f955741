"""Databases of both kinds, prepared and empty."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from leased_store import LeasedStore
from made_databases import make_database, run, url_of

from orchestrator.storage.database import Database


def prepared(url: str) -> str:
    database = Database(url)
    database.prepare()
    database.close()
    return url


@pytest.fixture(scope="session")
def template() -> Iterator[str]:
    """The name of a PostgreSQL database with all tables, to be copied."""
    name = make_database()
    prepared(url_of(name))
    yield name
    run(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def postgresql(template: str) -> Iterator[str]:
    """The URL of a PostgreSQL database with all tables and nothing in them."""
    name = make_database(template)
    yield url_of(name)
    run(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with all tables, to be copied."""
    path = tmp_path_factory.mktemp("original") / "study.db"
    prepared(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite(original: Path, tmp_path: Path) -> str:
    return f"sqlite:///{shutil.copy(original, tmp_path)}"


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
