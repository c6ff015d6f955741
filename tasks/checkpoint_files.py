"""What keeper and trainer both know of a checkpoint's file: how it is called while it is written, and its digest."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

UNFINISHED: Final = ".tmp"
"""How the name of a checkpoint ends that is being written."""

_DIGEST_BYTES: Final = 32


def new_digest() -> hashlib.blake2b:
    return hashlib.blake2b(digest_size=_DIGEST_BYTES)


def file_digest(path: Path) -> str:
    """Returns the digest of a whole file, in hex.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, new_digest).hexdigest()
