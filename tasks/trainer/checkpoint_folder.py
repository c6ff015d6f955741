"""Checkpoints that are folders: packed into one file, and unpacked when the trial goes on."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TRIES = 3
"""Times that a folder is packed while a program writes to it, before its checkpoint is left out."""


class FolderChanged(OSError):
    """The folder was written to while it was packed."""


def pack(folder: Path, file: Any) -> None:
    """Writes the files of a folder: regular ones, folders, and links that stay within it.

    Args:
        folder: The folder.
        file: Anything that has a method ``write``.

    Raises:
        FolderChanged: it changed meanwhile.
        OSError: it cannot be read, or ``file`` cannot be written.
    """
    before = list(_stamps(folder))
    with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for name, *_ in before:
            archive.add(folder / name, arcname=name, recursive=False)
    if list(_stamps(folder)) != before:
        raise FolderChanged("the folder was written to while it was saved")


def is_packed(file: Path) -> bool:
    """Whether a checkpoint is a folder's."""
    return tarfile.is_tarfile(file)


def unpack(file: Path, folder: Path) -> None:
    """Makes ``folder`` of what ``pack`` has written. A file from elsewhere puts nothing outside of it.

    Raises:
        OSError, tarfile.TarError: it cannot be read or written.
    """
    folder.mkdir(parents=True)
    with tarfile.open(file, mode="r:") as archive:
        archive.extractall(folder, filter="data")


def _stamps(folder: Path) -> Iterator[tuple[str, int, int, int]]:
    """Yields the name, mode, size and time of everything in the folder, in the order of names."""
    for path in sorted(folder.rglob("*")):
        found = path.lstat()
        kept = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode) or _is_inner_link(path, found, folder)
        if kept:
            yield str(path.relative_to(folder)), found.st_mode, found.st_size, found.st_mtime_ns


def _is_inner_link(path: Path, found: os.stat_result, folder: Path) -> bool:
    if not stat.S_ISLNK(found.st_mode):
        return False
    target = os.readlink(path)
    return not os.path.isabs(target) and path.resolve().is_relative_to(folder.resolve())
