"""Checks whether this host can train: room on its disks, for processes and for open files."""

from __future__ import annotations

import errno
import os
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_BYTES: Final = 1 << 20
"""Size of the test file: more than a file system stores inline, and too little for a trial to miss."""

_ERRORS: Final = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.EAGAIN,
    }
)
"""Errors of the system that concern the host, not a single trial."""


def is_host_trouble(error: BaseException) -> bool:
    """Whether an error says that the host can train no trial for now."""
    if isinstance(error, OSError):
        return error.errno in _ERRORS
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "new thread" in str(error))


def describe_error(error: BaseException) -> str:
    """Returns ``No space left on device: /data/logs``, on one line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return " ".join(f"{type(error).__name__}: {error}".split())


def disk_trouble(folders: Iterable[Path]) -> str:
    """Returns why the disks take no trial for now; empty where they do.

    Args:
        folders: Folders that a trial's files are written to; made where they are missing.
    """
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
                # Random: a disk that compresses takes any number of zeros.
                if file.write(os.urandom(_BYTES)) != _BYTES:
                    return f"{os.strerror(errno.ENOSPC)}: {folder}"
        except OSError as error:
            return f"{error.strerror or error}: {folder}"
    return ""


def may_be_full(folders: Iterable[Path]) -> bool:
    """Whether a disk reports so little room that ``disk_trouble`` should try; takes microseconds."""
    for folder in folders:
        try:
            disk = os.statvfs(folder)
        except OSError:
            continue
        if disk.f_bavail * disk.f_frsize < _BYTES or (disk.f_files and not disk.f_favail):
            return True
    return False


def process_trouble() -> str:
    """Returns why no process can be started for now; empty where one can."""
    try:
        subprocess.run(["true"], stdin=subprocess.DEVNULL, check=False)
    except OSError as error:
        return describe_error(error) if is_host_trouble(error) else ""
    return ""
