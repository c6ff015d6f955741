"""Files that a reader never meets half of."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Yields a file that takes the place of ``path`` when all of it is written, and is gone when that fails.

    Raises:
        OSError: the folder takes no files.
    """
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:80]}-", delete=False) as file:
        try:
            yield file
            file.flush()
            # A temporary file is its owner's alone; these are to be read by others, as far as the folder lets them.
            os.fchmod(file.fileno(), 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
