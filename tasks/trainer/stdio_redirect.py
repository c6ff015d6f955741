"""Redirects standard output and error to the trial's log, those of child processes and C code too."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from tasks.trial_files import open_log


def redirect(path: str) -> None:
    """Points standard output and error at the file ``path``."""
    fd = open_log(Path(path))
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)


def restore() -> None:
    """Flushes the streams, and restores those that the objective has replaced or closed."""
    for name, fd in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        _flush(getattr(sys, name))
        _open(fd)
        stream = getattr(sys, f"__{name}__")
        if stream is None or stream.closed:
            # Only the Python object is closed here: the descriptor is opened above.
            mode, errors = ("w", "backslashreplace") if fd else ("r", "surrogateescape")
            stream = open(fd, mode, 1, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
            setattr(sys, f"__{name}__", stream)
        _flush(stream)
        setattr(sys, name, stream)


def _flush(stream: object) -> None:
    # The objective may have put any object there.
    with contextlib.suppress(Exception):
        stream.flush()  # type: ignore[attr-defined]


def _open(fd: int) -> None:
    """Opens a closed standard descriptor on /dev/null; otherwise the next file that is opened would get its number."""
    try:
        os.fstat(fd)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != fd:
            os.dup2(null, fd)
            os.close(null)
        os.set_inheritable(fd, True)
