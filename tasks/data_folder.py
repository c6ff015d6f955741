"""Whether what lies in a data folder can be used as that for which its name stands there."""

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
