"""Folder of a keeper for files on their way to or from a store; it does not outlive the keeper."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from pathlib import Path
from typing import Any


class ScratchFolder:
    """A folder below ``root``, locked as long as this keeper lives; removes the folders of dead keepers.

    One that cannot be made now, or has been removed, is made when it is asked for.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path: Path | None = None
        self._fd: int | None = None
        with contextlib.suppress(OSError):
            self._make()

    @property
    def path(self) -> Path:
        """The folder.

        Raises:
            OSError: it cannot be made.
        """
        if self._path is None or not self._path.is_dir():
            self.remove()
            self._make()
        assert self._path is not None
        return self._path

    def _make(self) -> None:
        root = self._root
        root.mkdir(parents=True, exist_ok=True)
        # Under one lock: a folder that is made but not locked yet would be taken for a dead keeper's.
        with _locked(root):
            for each in root.iterdir():
                if each.is_dir() and (fd := _lock(each)) is not None:
                    shutil.rmtree(each, ignore_errors=True)
                    os.close(fd)
            path = root / f"keeper-{uuid.uuid4().hex[:12]}"
            path.mkdir()
            self._fd = _lock(path)
            self._path = path

    def remove(self) -> None:
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            self._path = None
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
    try:
        # O_DIRECTORY: to open a named pipe in its place would wait.
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd
