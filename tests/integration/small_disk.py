"""A small disk of a test's own, and how it is filled."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.installed import NotInstalled


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A disk of its own, where this user may mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode:
        raise NotInstalled("the right to mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path, options: str) -> list[Path]:
    """Uses up the room, or the inodes; returns the files that do."""
    made = []
    with_bytes = "nr_inodes" not in options
    try:
        for number in range(100_000):
            made.append(folder / f"filler-{number}")
            with made[-1].open("wb") as file:
                while with_bytes and file.write(bytes(1 << 16)):
                    file.flush()
    except OSError:
        return made
    raise AssertionError("the disk is not full")
