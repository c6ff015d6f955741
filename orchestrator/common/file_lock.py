"""The lock of a data folder: one run at a time works in it."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.common.errors import BadInput
from tasks.process_identity import has_ended

WAIT_SECONDS = 10.0
"""Time that the processes of a killed run have to end."""

_STUDY = "lock.study"


class FolderInUse(BadInput):
    """Another run works in the folder; ``holder`` is its process id, 0 where that is not known."""

    def __init__(self, folder: Path, holder: int) -> None:
        super().__init__(
            str(folder),
            f"another run is using this data folder (process {holder or 'unknown'})",
            "wait for it, stop it, or set ORCHESTRATOR_DATA_DIR to another folder",
        )
        self.holder = holder


@contextmanager
def data_lock(folder: Path, check: Callable[[], None] = lambda: None) -> Iterator[int]:
    """Holds the folder's lock; yields its descriptor.

    Every process that a run starts inherits the descriptor. So the lock outlives a killed run until its last process
    has ended, and two sets of processes never work in the folder. What ``check`` raises ends the wait for them.

    Raises:
        FolderInUse: another run has the folder.
    """
    path = folder / "lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _wait_for(fd, folder, check)
        os.ftruncate(fd, 0)
        os.write(fd, str(os.getpid()).encode())
        yield fd
    finally:
        os.close(fd)


def is_locked(folder: Path) -> bool:
    """Returns whether a run works in the folder, or a process that it started still lives."""
    try:
        fd = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def holder_of(folder: Path) -> int:
    """Returns the process id of the run that works in the folder; 0 where it has ended, or there is none."""
    try:
        holder = (folder / "lock").read_text().strip()
    except OSError:
        return 0
    return int(holder) if holder.isdigit() and is_locked(folder) and not has_ended(int(holder)) else 0


def name_study(folder: Path, study: str | None, *, beside: bool = False) -> None:
    """Notes the study that the run in the locked folder looks after, or ``beside`` those that are noted another one;
    ``None``: all of its database."""
    with (folder / _STUDY).open("a" if beside else "w") as file:
        file.write(f"{study}\n" if study else "")


def noted_studies(folder: Path) -> frozenset[str] | None:
    """Returns the studies that the run in the folder looks after, or that the last one did; ``None`` where it looks
    after all, or there was none."""
    try:
        return frozenset((folder / _STUDY).read_text().splitlines()) or None
    except OSError:
        return None


def has_run(folder: Path, study: str) -> bool:
    """Returns whether a run works in the folder and looks after the study."""
    return is_locked(folder) and ((noted := noted_studies(folder)) is None or study in noted)


def _wait_for(fd: int, folder: Path, check: Callable[[], None]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode(errors="replace").strip()
            # A run that lives is refused at once; one that was killed leaves processes that end within moments.
            if (holder.isdigit() and not has_ended(int(holder))) or time.monotonic() > deadline:
                raise FolderInUse(folder, int(holder) if holder.isdigit() else 0) from None
            check()
            time.sleep(0.05)
