"""Atomic writes: a reader sees the old file or the new one, never a part."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yields a file that replaces ``path`` once it is written, and is removed if that fails.

    Raises:
        OSError: the folder takes no files.
    """
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
