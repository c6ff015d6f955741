"""Collections between trials: where one may have left garbage, and not for what it has imported."""

from __future__ import annotations

import gc
import mmap
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tasks.gc_tuning import WORTH_BYTES, GarbageCollector


@pytest.fixture
def collections() -> Iterator[list[int]]:
    """The full collections, as they happen."""
    found: list[int] = []

    def note(phase: str, details: dict[str, Any]) -> None:
        if phase == "start" and details["generation"] == 2:
            found.append(1)

    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)


def test_growth_is_collected_until_it_has_gone(collections: list[int]) -> None:
    garbage = GarbageCollector()
    garbage.collect()
    garbage.collect()
    assert len(collections) == 1
    # Pages of its own: what the process has freed before would hold a bytearray without any growth.
    with mmap.mmap(-1, 8 * WORTH_BYTES) as held:
        held.write(b"x" * len(held))
        garbage.collect()
        garbage.collect()
    assert len(collections) == 3


def test_what_is_imported_later_is_collected_once(collections: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    garbage = GarbageCollector()
    garbage.collect()
    module: Any = ModuleType("imported_in_a_trial")
    module.table = mmap.mmap(-1, 8 * WORTH_BYTES)
    module.table.write(b"x" * len(module.table))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    garbage.collect()
    garbage.collect()
    garbage.collect()
    assert len(collections) == 2
