"""What the processes of one worker know of each other: a few bytes of shared memory, made before the pool forks."""

from __future__ import annotations

import mmap


class Slots:
    """One byte a slot (is its keeper busy?) and one for all (is the worker shutting down?).

    Celery counts a slot as free from the moment its task is revoked, which is before the training has really been
    left; these bytes are the truth that consuming is gated on.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._memory = mmap.mmap(-1, count + 1)

    def set_busy(self, index: int, busy: bool) -> None:
        self._memory[1 + index] = busy

    def busy(self) -> int:
        """Returns how many keepers are at work."""
        return sum(self._memory[1 : self.count + 1])

    @property
    def draining(self) -> bool:
        """Whether the worker is shutting down and trials are to be handed back."""
        return bool(self._memory[0])

    def drain(self) -> None:
        self._memory[0] = 1
