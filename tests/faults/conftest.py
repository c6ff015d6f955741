"""One scene for each file of tests; every test has a search of its own on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.faults.scene import Scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("scene"))
    yield made
    made.close()
