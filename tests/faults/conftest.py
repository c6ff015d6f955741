"""One cluster for each file of tests that wants it, every test with a search of its own on it; others have a fleet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from fixtures import embedded, running, running_embedded, servers

from tests.faults.cluster import Cluster

__all__ = ["cluster", "embedded", "running", "running_embedded", "servers"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()
