"""What a runner has said and nobody has confirmed: kept, in order, in memory and on disk."""

from __future__ import annotations

import logging
import threading
from collections import deque
from itertools import islice
from pathlib import Path

from tasks.keeper.disk_queue import DiskQueue

log = logging.getLogger(__name__)

IN_MEMORY = 10_000
"""Events of one runner that are kept in memory, some hundred bytes each."""

SENT_AHEAD = 2_000
"""Events of one runner that may be in the stream, where those of all others wait behind them."""

_PORTION = IN_MEMORY - SENT_AHEAD
"""Events that are brought back into memory at a time."""


class Outbox:
    """What one runner has said and has not been confirmed.

    The oldest of it is in memory, to be sent; what does not fit there waits in a file, and where the disk takes no
    more, in memory again.

    Args:
        token: The attempt.
        runner: Its start.
        folder: Takes the file, if one is needed.
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
        self.carried = threading.Event()
        self._folder = folder
        self._head: deque[tuple[int, bytes]] = deque()
        self._spill: DiskQueue | None = None
        self._tail: deque[bytes] = deque()
        self._disk_refuses = False

    def __len__(self) -> int:
        return len(self._head) + len(self._spill or ()) + len(self._tail)

    @property
    def in_memory(self) -> int:
        """How many of them are in memory."""
        return len(self._head) + len(self._tail)

    @property
    def spilled(self) -> int:
        """Bytes that its file takes."""
        return 0 if self._spill is None else self._spill.size

    def add(self, data: bytes) -> None:
        """Takes the runner's next event, encoded; its number is ``last`` already."""
        if len(self._head) < IN_MEMORY and not self._spill and not self._tail:
            self._head.append((self.last, data))
        elif self._tail or not self._write(data):
            self._tail.append(data)

    def confirm(self, seq: int, now: float) -> None:
        """Forgets everything up to ``seq``: it is committed."""
        if seq > self.confirmed:
            self.confirmed = seq
            self.stalled_since = now
            self._drop(seq)
            if seq == self.probed:
                # That one was missing, and those behind it have gone the same way.
                self.forget_sent()
            self.probed = 0
        self.sent = max(self.sent, self.confirmed)

    def clear(self) -> None:
        """Forgets everything: nobody wants to hear it."""
        self._head.clear()
        self._tail.clear()
        self._close_spill()

    def forget_sent(self) -> None:
        """Everything that is not confirmed is to be sent, again or not."""
        self.sent = self.confirmed

    def probe(self) -> list[tuple[int, bytes]]:
        """Returns the oldest of it, to be sent once more, for it may have been lost.

        What comes of it tells the rest: nothing, where nobody listens; a confirmation of it alone, where it had been
        lost; one of more than that, where only somebody was slow.
        """
        self.probed = self._head[0][0]
        return [self._head[0]]

    def unsent(self, limit: int) -> list[tuple[int, bytes]]:
        """Returns what is to be sent next, as (number, event), in order."""
        # Numbers have no gaps, so that the place of the first one is known.
        first = self._head[0][0] if self._head else 0
        ahead = max(0, self.sent + 1 - first)
        return list(islice(self._head, ahead, min(ahead + limit, max(ahead, SENT_AHEAD))))

    @property
    def full(self) -> bool:
        """Whether more is to be sent than may be before something is confirmed."""
        return len(self) > SENT_AHEAD and self.sent >= self._head[SENT_AHEAD - 1][0]

    def _drop(self, seq: int) -> None:
        while self._head and self._head[0][0] <= seq:
            self._head.popleft()
            if (self._spill or self._tail) and len(self._head) <= SENT_AHEAD:
                self._fetch()

    def _fetch(self) -> None:
        """Brings into memory what comes next."""
        after = self._head[-1][0] if self._head else self.last - len(self)
        records = self._spill.take(_PORTION) if self._spill else []
        if self._spill is not None and not self._spill:
            self._close_spill()
        while self._tail and len(records) < _PORTION and self._spill is None:
            records.append(self._tail.popleft())
        self._head.extend(enumerate(records, after + 1))

    def _write(self, data: bytes) -> bool:
        try:
            if self._spill is None:
                self._spill = DiskQueue(self._folder)
                log.warning(
                    "%d events are not confirmed; more of them go to a file in %s",
                    IN_MEMORY,
                    self._folder,
                    extra={"action": "spilling"},
                )
            self._spill.append(data)
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

    def _close_spill(self) -> None:
        if self._spill is not None:
            self._spill.close()
            self._spill = None
