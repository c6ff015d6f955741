"""Whether files can be kept where they are to be: in a data folder, or in a store."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

WORKERS_FOLDERS: Final = ("logs", "logs/studies", "scratch")
"""Folders that a worker makes in its data folder, beside those of its stores."""


def obstacle(path: Path, *, folder: bool) -> str:
    """Returns why this path cannot be a folder, or else a regular file, of this user; empty where it can, or is not
    there yet."""
    if folder:
        if os.path.lexists(path) and not path.is_dir():
            return "is not a folder"
        return "takes no files" if path.is_dir() and not os.access(path, os.W_OK | os.X_OK) else ""
    if path.is_symlink() and not path.resolve().parent.is_dir():
        return "is a link that leads nowhere"
    if path.exists() and not path.is_file():
        return "is not a file"
    return "may not be written by this user" if path.exists() and not os.access(path, os.R_OK | os.W_OK) else ""


def missing_package(url: str) -> str:
    """Returns why a store cannot be used for want of a package; empty where it can, and of a path."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() in ("file", "local"):
        return ""
    # Imported where it is needed: most workers keep their files in a folder.
    import fsspec

    try:
        fsspec.get_filesystem_class(scheme)
    except (ImportError, ValueError) as error:
        return f"'{scheme}://' cannot be used: {' '.join(str(error).split()):.200}"
    return ""
