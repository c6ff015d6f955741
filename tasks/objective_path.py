"""Folders of user code: those of ``ORCHESTRATOR_OBJECTIVE_PATH``, and the working directory."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tasks.metrics_endpoint import BadSetting

OBJECTIVE_PATH = "ORCHESTRATOR_OBJECTIVE_PATH"
"""Variable with the folders of user code, separated as in ``PATH``."""

_INSTALLED = ("site-packages", "dist-packages")
_OURS = ("tasks", "orchestrator")
OBJECTIVES_OF_OURS = "tasks.objectives"
"""Package of the ready objectives, the only part of this program that counts as user code."""


def split_path(text: str) -> tuple[Path, ...]:
    """Returns the folders as absolute paths, in order, whether they exist or not."""
    named = (entry.strip() for entry in text.split(os.pathsep))
    return tuple(Path(os.path.abspath(os.path.expanduser(entry))) for entry in named if entry)


def check_folders(folders: tuple[Path, ...]) -> None:
    """Raises BadSetting for the first one that is not there."""
    for folder in folders:
        if not folder.is_dir():
            problem = f"'{folder}' {'is not a folder' if folder.exists() else 'does not exist'}"
            raise BadSetting(OBJECTIVE_PATH, problem, "name folders that exist")


def code_folders(text: str) -> tuple[Path, ...]:
    """Returns the folders in ``text``, then the working directory."""
    folders = split_path(text)
    # It may have been deleted.
    with contextlib.suppress(OSError):
        folders += (Path.cwd(),)
    return folders


def holds(folder: str, file: str) -> bool:
    """Whether ``file`` lies in ``folder``, but not in an environment for installed packages inside it."""
    prefix = folder.rstrip(os.sep) + os.sep
    return file.startswith(prefix) and not any(name in file[len(prefix) :].split(os.sep) for name in _INSTALLED)


def is_ours(module: str) -> bool:
    """Whether the module is part of this program and no ready objective."""
    return module.partition(".")[0] in _OURS and not within(module, OBJECTIVES_OF_OURS)


def within(module: str, package: str) -> bool:
    """Whether the module is the package, or lies in it."""
    return module == package or module.startswith(package + ".")
