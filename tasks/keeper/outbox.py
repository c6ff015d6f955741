"""Unconfirmed events of a runner, in order: in memory, and in a file what does not fit there."""

from __future__ import annotations

import logging
import struct
import tempfile
import threading
from collections import deque
from itertools import islice
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


log = logging.getLogger(__name__)

IN_MEMORY = 10_000
"""Most events of one runner in memory; an event has some hundred bytes."""

SENT_AHEAD = 2_000
"""Send window: most events of one runner in the stream, where those of all others wait behind them."""

_PORTION = IN_MEMORY - SENT_AHEAD
"""Events that are read back from disk at a time."""


class Outbox:
    """Unconfirmed events of one runner.

    The oldest ones are in memory; what does not fit there goes to a file, and to memory again where the disk is full.

    Args:
        token: Token of the attempt.
        runner: Id of this start of it.
        folder: Folder for the file.
        now: Monotonic seconds.
    """

    def __init__(self, token: str, runner: str, folder: Path, now: float = 0.0) -> None:
        self.token = token
        self.runner = runner
        self.last = 0
        self.confirmed = 0
        self.sent = 0
        self.probed = 0
        self.stalled_since = now
        self.closed = False
        self.answered = threading.Event()
        self._folder = folder
        self._head: deque[tuple[int, bytes]] = deque()
        self._file: DiskQueue | None = None
        self._tail: deque[bytes] = deque()
        self._disk_refuses = False

    def __len__(self) -> int:
        return len(self._head) + len(self._file or ()) + len(self._tail)

    @property
    def in_memory(self) -> int:
        """Number of events in memory."""
        return len(self._head) + len(self._tail)

    @property
    def spilled(self) -> int:
        """Bytes of the events on disk."""
        return 0 if self._file is None else self._file.size

    def add(self, data: bytes) -> None:
        """Adds the runner's next event, encoded; its number is ``last`` already."""
        if len(self._head) < IN_MEMORY and not self._file and not self._tail:
            self._head.append((self.last, data))
        elif self._tail or not self._write(data):
            self._tail.append(data)

    def confirm(self, seq: int, now: float) -> None:
        """Drops all events up to ``seq``: they are committed."""
        if seq > self.confirmed:
            self.confirmed = seq
            self.stalled_since = now
            self._drop(seq)
            if seq == self.probed:
                # That one alone was missing, so those behind it were lost, too.
                self.forget_sent()
            self.probed = 0
        self.sent = max(self.sent, self.confirmed)

    def clear(self) -> None:
        """Drops all events."""
        self._head.clear()
        self._tail.clear()
        self._close_file()

    def forget_sent(self) -> None:
        """Marks all unconfirmed events as unsent."""
        self.sent = self.confirmed

    def probe(self) -> list[tuple[int, bytes]]:
        """Returns the oldest event, to be sent once more, for it may have been lost.

        The next confirmation tells: of this event alone, if it was lost; of more, if the control plane was slow; there
        is none while no control plane reads.
        """
        self.probed = self._head[0][0]
        return [self._head[0]]

    def unsent(self, limit: int) -> list[tuple[int, bytes]]:
        """Returns the next events to send, as (number, event), in order."""
        # Numbers have no gaps, so the position follows from the first one.
        first = self._head[0][0] if self._head else 0
        ahead = max(0, self.sent + 1 - first)
        return list(islice(self._head, ahead, min(ahead + limit, max(ahead, SENT_AHEAD))))

    @property
    def full(self) -> bool:
        """Whether the send window is used up and events wait behind it."""
        return len(self) > SENT_AHEAD and self.sent >= self._head[SENT_AHEAD - 1][0]

    def _drop(self, seq: int) -> None:
        while self._head and self._head[0][0] <= seq:
            self._head.popleft()
            if (self._file or self._tail) and len(self._head) <= SENT_AHEAD:
                self._fetch()

    def _fetch(self) -> None:
        """Reads the next events back into memory."""
        after = self._head[-1][0] if self._head else self.last - len(self)
        records = self._file.take(_PORTION) if self._file else []
        if self._file is not None and not self._file:
            self._close_file()
        while self._tail and len(records) < _PORTION and self._file is None:
            records.append(self._tail.popleft())
        self._head.extend(enumerate(records, after + 1))

    def _write(self, data: bytes) -> bool:
        try:
            if self._file is None:
                self._file = DiskQueue(self._folder)
                log.warning(
                    "%d events are not confirmed; more of them go to a file in %s",
                    IN_MEMORY,
                    self._folder,
                    extra={"action": "spilling"},
                )
            self._file.append(data)
        except OSError as error:
            if not self._disk_refuses:
                log.error(
                    "events that are not confirmed cannot be written to %s (%s); they are kept in memory, and the "
                    "training waits when there are too many",
                    self._folder,
                    error,
                    extra={"action": "spill_failed"},
                )
            self._disk_refuses = True
            return False
        self._disk_refuses = False
        return True

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
