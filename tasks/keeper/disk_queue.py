"""Queue of records in a file, first in, first out, for what does not fit into memory."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path
from typing import Final

_LENGTH: Final = struct.Struct("<I")
_REWIND: Final = 1 << 20
"""Bytes taken from a file after which it is truncated when it is empty."""


class DiskQueue:
    """A queue of byte strings on disk.

    The file has no name: it goes with the process, however that ends. When a keeper dies, its runner is superseded and
    what it has not sent is trained again, so the records would be of no use.

    Args:
        folder: Folder on the disk that takes the file.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        # Unbuffered: an error belongs to the record that is being written.
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self._count = 0
        self._begin = 0
        self._end = 0

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self._end

    def append(self, record: bytes) -> None:
        """Adds a record.

        Raises:
            OSError: it could not be written, and was not added.
        """
        data = _LENGTH.pack(len(record)) + record
        self._file.seek(self._end)
        # A part of it may fit on the disk; the next record overwrites that.
        if self._file.write(data) != len(data):
            raise OSError("the disk is full")
        self._end += len(data)
        self._count += 1

    def take(self, most: int) -> list[bytes]:
        """Removes and returns up to ``most`` records, oldest first."""
        self._file.seek(self._begin)
        found = []
        for _ in range(min(most, self._count)):
            (length,) = _LENGTH.unpack(self._file.read(_LENGTH.size))
            found.append(self._file.read(length))
            self._begin += _LENGTH.size + length
        self._count -= len(found)
        if not self._count and self._begin > _REWIND:
            self._file.truncate(0)
            self._begin = self._end = 0
        return found

    def close(self) -> None:
        """Frees the disk."""
        self._file.close()
