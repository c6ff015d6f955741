"""One scene for each file of tests that wants it, every test with a search of its own on it; others have a fleet."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "integration"))

from fixtures import embedded, running, running_embedded, servers

from tests.faults.scene import Scene

__all__ = ["embedded", "running", "running_embedded", "scene", "servers"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("scene"))
    yield made
    made.close()
