"""What ``torch.save`` writes, on its way to a file that is on the disk when it is done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from tasks.checkpoint_files import new_digest


class CheckedWriter:
    """Takes what ``torch.save`` writes, counts it, and keeps the first error instead of raising it.

    The writer is C++ that calls back; an exception on its way through there could end the process.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None
        self.digest = new_digest()
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        length = memoryview(data).nbytes
        if self._error is None:
            try:
                self._file.write(data)
            except OSError as error:
                self._error = error
            self.digest.update(data)
            self.size += length
        return length

    def flush(self) -> None:
        """Nothing: ``check`` does it, and says what went wrong."""

    def check(self) -> None:
        """Says what went wrong.

        Raises:
            OSError: something was not written.
        """
        if self._error is not None:
            raise self._error
        self._file.flush()

    def sync(self) -> None:
        """Returns when it is on the disk.

        Raises:
            OSError: something was not written.
        """
        self.check()
        os.fsync(self._file.fileno())


def sync_folder(folder: Path) -> None:
    """Makes a rename in ``folder`` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
