"""The search that works in a data folder, as another `run` in that folder finds it, and the searches that share it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from orchestrator.common.atomic_write import replacing
from orchestrator.common.data_folder import storage_url_of
from orchestrator.common.settings import Settings
from tasks.objective_allowlist import OBJECTIVES
from tasks.objective_path import OBJECTIVE_PATH

if TYPE_CHECKING:
    from orchestrator.spec import Spec

_FILE = "run.json"
_GUESTS = "guests"


class RunningSearch(msgspec.Struct, frozen=True):
    """The `run` that works in a folder.

    Attributes:
        pid: Of its process.
        study: Name of its study.
        queue: The queue that its worker serves.
        servers: Digest of the URLs of its servers.
        code: Digest of what decides which code its worker runs: Python, working directory, folders, allowlist, keys.
        parts: A digest of each of these, by what it is called; empty where it is of an earlier version.
        commands: The programs that its worker runs, as ``ORCHESTRATOR_COMMANDS`` lists them.
        notify_commands: Whether it runs the command of any spec that notifies by one.
    """

    pid: int
    study: str
    queue: str
    servers: str
    code: str
    parts: dict[str, str] = {}
    commands: str = ""
    notify_commands: bool = False


def describe(spec: Spec, settings: Settings, commands: str = "") -> RunningSearch:
    """Returns how the `run` of this process is found by others; ``commands`` are those that its worker runs."""
    code = {
        "Python": (sys.executable,),
        "working directory": (os.getcwd(),),
        OBJECTIVE_PATH: (settings.objective_path,),
        OBJECTIVES: (os.environ.get(OBJECTIVES, ""),),
        "ORCHESTRATOR_SIGNING_KEY": (settings.signing_key, settings.signing_key_file),
    }
    servers = (settings.redis_url or "", storage_url_of(settings))
    return RunningSearch(
        os.getpid(),
        spec.name,
        spec.queue,
        _digest(*servers),
        _digest(*(text for part in code.values() for text in part)),
        {name: _digest(*part) for name, part in code.items()},
        commands,
        settings.notify_commands,
    )


@contextmanager
def published(folder: Path, search: RunningSearch) -> Iterator[None]:
    """Lets other runs in the locked folder find this one, for as long as it can take their studies."""
    path = folder / _FILE
    with replacing(path) as file:
        file.write(msgspec.json.encode(search))
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find(folder: Path) -> RunningSearch | None:
    """Returns the `run` that takes studies in a folder; ``None`` where none does yet, or any more."""
    with suppress(OSError, msgspec.DecodeError):
        return msgspec.json.decode((folder / _FILE).read_bytes(), type=RunningSearch)
    return None


@contextmanager
def guest_of(folder: Path, study: str) -> Iterator[Guest]:
    """Notes that this process shows a study that the `run` in the folder trains; a kill of it is noticed."""
    path = folder / _GUESTS / study
    path.parent.mkdir(exist_ok=True, mode=0o700)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        guest = Guest(fd, path)
        try:
            yield guest
        finally:
            guest.leave()
    finally:
        os.close(fd)


class Guest:
    """A process that shows a study.

    Args:
        fd: Holds a shared lock of the study's file.
        path: The file.
    """

    def __init__(self, fd: int, path: Path) -> None:
        self._fd = fd
        self._path = path

    def leave(self) -> bool:
        """Notes that this process shows the study no more; returns whether it was the last one."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._path.unlink(missing_ok=True)
        return True


def abandoned(folder: Path) -> list[str]:
    """Returns the studies that no process shows any more, and forgets them: their processes were killed."""
    found = []
    with suppress(OSError):
        for path in sorted((folder / _GUESTS).iterdir()):
            fd = os.open(path, os.O_RDWR)
            try:
                if Guest(fd, path).leave():
                    found.append(path.name)
            finally:
                os.close(fd)
    return found


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogateescape")).hexdigest()
