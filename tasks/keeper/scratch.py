"""A keeper's folder for what is on its way to or from a store, which does not outlive the keeper."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from pathlib import Path
from typing import Any


class ScratchFolder:
    """A folder of this keeper's own below ``root``, locked as long as it lives; those of dead keepers are removed."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        # Under one lock, so that nobody's folder is taken for a dead keeper's before it is locked.
        with _locked(root):
            for each in root.iterdir():
                if each.is_dir() and (fd := _lock(each)) is not None:
                    shutil.rmtree(each, ignore_errors=True)
                    os.close(fd)
            self.path = root / f"keeper-{uuid.uuid4().hex[:12]}"
            self.path.mkdir()
            self._fd = _lock(self.path)

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


@contextlib.contextmanager
def _locked(folder: Path) -> Any:
    fd = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _lock(folder: Path) -> int | None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd
