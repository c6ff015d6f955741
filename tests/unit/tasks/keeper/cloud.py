"""A store in memory, as fsspec knows them, with the weaknesses of a real one."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

PATIENCE = 20.0


class Cloud(MemoryFileSystem):  # type: ignore[misc]
    """A store in memory that can be away, or be held up."""

    protocol = "cloud"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    away = 0
    gate = threading.Event()
    entered = threading.Event()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped: str = super()._strip_protocol(str(path).removeprefix("cloud://"))
        return stripped

    def put_file(self, lpath: str, rpath: str, **kwargs: Any) -> None:
        type(self).entered.set()
        assert type(self).gate.wait(PATIENCE)
        if type(self).away:
            type(self).away -= 1
            raise RuntimeError("503 slow down")
        super().put_file(lpath, rpath, **kwargs)


@contextmanager
def opened() -> Iterator[type[Cloud]]:
    """Inside, ``cloud://`` is a store that is empty and there."""
    fsspec.register_implementation("cloud", Cloud, clobber=True)
    Cloud.store.clear()
    Cloud.away = 0
    Cloud.gate.set()
    Cloud.entered.clear()
    yield Cloud
    Cloud.gate.set()
