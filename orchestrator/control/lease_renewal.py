"""Renewal of the writer's lease beside the loop: a long round does not end the lease, a loop that hangs does."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Self

from orchestrator.common.errors import NotTheWriter
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from tasks.server_errors import unavailable

log = logging.getLogger(__name__)

BUSY_SECONDS = 1.0
"""Seconds that one renewal waits where another process has locked an SQLite file."""

END_SECONDS = 10.0


class Renewal:
    """A thread that renews a lease for as long as the loop makes progress.

    Args:
        lease: Held by this process.
        url: The database, over which it has a connection of its own.
        every: Seconds between two renewals.
        limit: Seconds without progress after which the lease is left to end.
    """

    def __init__(self, lease: WriterLease, url: str, *, every: float, limit: float) -> None:
        self._lease = lease
        self._database = Database(url, busy=BUSY_SECONDS)
        self._every = every
        self._limit = limit
        self._progress_at = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="renewal", daemon=True)

    def progress(self) -> None:
        """The loop has done another step, or waits for a server."""
        self._progress_at = time.monotonic()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        hangs = False
        try:
            while not self._ended.wait(self._every):
                still = time.monotonic() - self._progress_at
                if still > self._limit:
                    if not hangs:
                        text = "no progress for %.0f s: the writer's lease is left to end"
                        log.error(text, still, extra={"action": "loop_hangs"})
                    hangs = True
                    continue
                hangs = False
                self._renew()
        except NotTheWriter:
            # The loop finds out by its next transaction, and says so.
            return
        finally:
            self._database.close()

    def _renew(self) -> None:
        try:
            self._lease.renew(self._database)
        except NotTheWriter:
            raise
        except Exception as error:
            # Of a database that is away the loop tells; anything else is a fault, and the lease may end by it.
            if unavailable(error) is None:
                log.exception("the writer's lease could not be renewed", extra={"action": "renewal_failed"})
