"""Files of trials: their names on a worker, their digests, and opening those whose paths an objective can replace."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import uuid
from pathlib import Path
from typing import Final

UNFINISHED: Final = ".tmp"
"""Suffix of a file that is being written."""

MODELS: Final = "models"
FILES: Final = "files"
PROGRAM: Final = "program"
"""Folders within that of an attempt: for the files of ``trial.save_model``, for ``trial.artifact_dir``, and for what a
program is given and keeps while it runs."""

NOT_KEPT: Final = "orchestrator_not_kept"
"""User attribute of a trial: the models that it saved and that could not be stored, each with the reason."""

_DIGEST_BYTES: Final = 32


def trial_log(data: Path, study: str, number: int) -> Path:
    """Returns the log file of trial ``number`` below the data folder ``data``.

    Studies have a folder of their own beside the logs of the processes, so that a study may be called
    ``worker.log``.
    """
    folder = study
    if study != study.lower():
        # A file system may take upper and lower case for one. No name of a study holds a plus sign.
        folder = f"{study}+{hashlib.blake2b(study.encode(), digest_size=4).hexdigest()}"
    return data / "logs" / "studies" / folder / f"trial-{number:05d}.log"


def new_digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=_DIGEST_BYTES)


def file_digest(path: Path) -> str:
    """Returns the digest of a whole file, in hex. Raises OSError where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, new_digest).hexdigest()


def open_regular(path: str | os.PathLike[str], flags: int = os.O_RDONLY) -> int:
    """Opens a regular file and returns its descriptor; never waits, follows no link, opens no device.

    An ordinary ``open`` of a named pipe waits until another process opens its other end, which may be never.

    Raises:
        OSError: it cannot be opened, or it is a link, a folder, a named pipe, a socket or a device.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    # Programs that inherit it expect a blocking descriptor.
    os.set_blocking(descriptor, True)
    return descriptor


def is_regular(path: str | os.PathLike[str]) -> bool:
    """Whether the path is a regular file, and neither a link nor anything else."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def open_log(path: Path) -> int:
    """Opens a log to append to it; moves aside what has its name and is no regular file.

    Raises:
        OSError: it cannot be opened.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    try:
        return open_regular(path, flags)
    except OSError:
        if not os.path.lexists(path) or is_regular(path):
            raise
    path.rename(path.with_name(f"{path.name}.not-a-log-{uuid.uuid4().hex[:8]}"))
    return open_regular(path, flags)


def make_trial_log(data: Path, study: str, trial: int) -> Path:
    """Makes the log of a trial, so that a full disk counts as trouble of the host and ends no training process."""
    path = trial_log(data, study, trial)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(open_log(path))
    return path
