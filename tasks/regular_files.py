"""Opening files whose paths an objective can replace: never waits, never follows a link, never takes a device."""

from __future__ import annotations

import errno
import os
import stat
import uuid
from pathlib import Path


def open_regular(path: str | os.PathLike[str], flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
    """Opens a regular file and returns its descriptor.

    An ordinary ``open`` of a named pipe waits until another process opens its other end, which may be never.

    Raises:
        OSError: it cannot be opened, or it is a link, a folder, a named pipe, a socket or a device.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
    # Programs that inherit it expect a descriptor that waits.
    os.set_blocking(descriptor, True)
    return descriptor


def is_regular(path: str | os.PathLike[str]) -> bool:
    """Whether a regular file is there, and neither a link nor anything else."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def open_log(path: Path) -> int:
    """Opens a log to append to it; what stands in its place and is no regular file is moved aside.

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
