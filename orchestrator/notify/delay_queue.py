"""A queue whose entries are due at a given time, and the threads that deliver them."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

from orchestrator.model.notifications import PendingNotification

log = logging.getLogger(__name__)


class DelayQueue:
    """Delivers notifications when they are due, the longest due first.

    Args:
        name: Name of the threads; a thread is started when an entry needs it.
        threads: Largest number of threads.
        deliver: Called in one of them.
    """

    def __init__(self, name: str, threads: int, deliver: Callable[[PendingNotification], None]) -> None:
        self._name = name
        self._most = threads
        self._deliver = deliver
        self._changed = threading.Condition()
        # The second number keeps the order of entries that are due at the same time.
        self._waiting: list[tuple[float, int, PendingNotification]] = []
        self._numbers = itertools.count()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._stopping = False

    def add(self, owed: PendingNotification, due: float = 0.0) -> None:
        """Adds a notification, which is delivered at ``due``, in monotonic seconds, or later."""
        with self._changed:
            heapq.heappush(self._waiting, (due, next(self._numbers), owed))
            if not self._idle and len(self._threads) < self._most and not self._stopping:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._threads.append(thread)
                thread.start()
            self._changed.notify()

    def take_out(self, study: str, event: str) -> list[PendingNotification]:
        """Removes and returns the waiting notifications of this event of a study."""
        with self._changed:
            out = [each for each in self._waiting if (each[2].study, each[2].note.event) == (study, event)]
            if out:
                self._waiting = [each for each in self._waiting if each not in out]
                heapq.heapify(self._waiting)
        return [owed for _, _, owed in out]

    def stop(self) -> None:
        """Delivers nothing more."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def join(self, until: float) -> None:
        """Waits for deliveries under way, until that moment at the latest."""
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _run(self) -> None:
        while (owed := self._next()) is not None:
            try:
                self._deliver(owed)
            except Exception:
                # It stays owed; the next control plane tries it again.
                about = {"action": "note_failed", "study": owed.study}
                log.exception("study %s: a notification could not be delivered", owed.study, extra=about)

    def _next(self) -> PendingNotification | None:
        with self._changed:
            self._idle += 1
            try:
                while not self._stopping:
                    due = self._waiting[0][0] if self._waiting else None
                    left = None if due is None else due - time.monotonic()
                    if left is not None and left <= 0:
                        return heapq.heappop(self._waiting)[2]
                    self._changed.wait(left)
                return None
            finally:
                self._idle -= 1
