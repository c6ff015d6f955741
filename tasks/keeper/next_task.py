"""The next task of a slot, which its worker takes from the queue while the trial before it ends.

Only a slot that is about to come free asks for it, so that no idle slot elsewhere goes without. Where the slot does not
come free after all, the task goes back to the queue.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any, Final

EXPECTED: Final = 101
DECLINED: Final = 102
RETURNED: Final = 103
"""Messages of a pool process to the worker's main process, beside those of billiard: its next task may be sent; it
must not; the job with this number, which it has been sent, is given back."""

AHEAD_SECONDS: Final = 0.1
"""Longest time for which a task is kept from other slots. A trial that is told to stop has left, and its trainer is fit
for the next one, within some milliseconds, or else for reasons that may last."""

Request = tuple[int, tuple[Any, ...]]
"""A task as billiard sends it: the kind of the message, then the job's number and more."""


class NextTask:
    """Asks for the next task of a pool process, and gives it back.

    Args:
        fileno: Descriptor of the pipe that brings tasks.
        read: Reads a task from it; ``None`` tells the process to end.
        tell: Sends a message to the main process; its arguments follow the kind of the message.
    """

    def __init__(self, fileno: int, read: Callable[[], Request | None], tell: Callable[..., None]) -> None:
        self._fileno = fileno
        self._read = read
        self._tell = tell
        self._expected_at: float | None = None
        self._declined = False
        self._ends = False

    def fileno(self) -> int:
        return self._fileno

    def take(self) -> Request | None:
        """Waits for the next task and returns it. The one before is over."""
        self._expected_at, self._declined = None, False
        return None if self._ends else self._read()

    def expect(self) -> None:
        """Asks for the next task: the slot is about to come free."""
        if self._expected_at is None:
            self._expected_at, self._declined = time.monotonic(), False
            self._tell(EXPECTED)

    def decline(self) -> None:
        """The slot does not come free: gives the task back, now or when it comes."""
        if self._expected_at is not None and not self._declined:
            self._declined = True
            self._tell(DECLINED)
        self._give_back()

    def seconds_left(self) -> float | None:
        """Returns the seconds after which ``decline_overdue`` is due; ``None`` where it is not."""
        if self._expected_at is None or self._declined:
            return None
        return max(0.0, self._expected_at + AHEAD_SECONDS - time.monotonic())

    def decline_overdue(self) -> None:
        """Declines a task that the slot has asked for too early; gives back one that has come since."""
        if self._declined or self.seconds_left() == 0.0:
            self.decline()

    @property
    def declined(self) -> bool:
        """Whether a task that comes now is to be given back at once."""
        return self._declined

    def _give_back(self) -> None:
        while self._declined and not self._ends and select.select([self._fileno], [], [], 0)[0]:
            request = self._read()
            if request is None:
                self._ends = True
            else:
                self._tell(RETURNED, request[1][0])


class NoNextTask(NextTask):
    """No task is ever taken ahead: the keeper of no pool."""

    def __init__(self) -> None:
        super().__init__(-1, lambda: None, lambda *_: None)

    def expect(self) -> None:
        """Does nothing."""
