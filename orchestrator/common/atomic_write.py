"""Atomic writes: a reader sees the old file or the new one, never a part."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yields a file that replaces ``path`` once it is written, and is removed if that fails.

    A link stays, and what it names is replaced. A pipe or a device, such as ``/dev/null``, is written to as it is.

    Raises:
        OSError: the folder takes no files, or links lead in a circle.
    """
    if _is_stream(path):
        with path.open("wb") as stream:
            yield stream
        return
    path = path.resolve()
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:80]}-", delete=False) as file:
        try:
            yield file
            file.flush()
            # Only its owner can read a temporary file; the result is for every user that the folder admits.
            os.fchmod(file.fileno(), 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _is_stream(path: Path) -> bool:
    """Whether a path names something that takes bytes and is no file of its own, such as a pipe or ``/dev/stdout``;
    raises as ``replacing`` does."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return False
    # What /dev names may be a file that a shell has opened for this process; /dev/shm holds ordinary ones.
    top, below = (*path.absolute().parts, "", "")[1:3]
    return not stat.S_ISDIR(mode) and (not stat.S_ISREG(mode) or (top == "dev" and below != "shm"))
