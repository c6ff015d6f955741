"""What the processes of one worker know of each other: shared memory, made before the pool forks."""

from __future__ import annotations

import mmap
from typing import NamedTuple

_RUNNER_BYTES = 128
_TROUBLE_BYTES = 512
_NOT_DRAINING, _DRAINING, _HURRYING = range(3)


class Runner(NamedTuple):
    """The attempt that a keeper trains, and this start of it."""

    token: str
    runner: str


class Slots:
    """One record a slot (is its keeper busy, and with what?) and one for all (shutting down? no room?).

    Celery counts a slot as free from the moment its task is revoked, which is before the training has really been
    left; these bytes are the truth that consuming is gated on. A record outlives its keeper, so that the main process
    can tell what a keeper that was killed had in hand.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._memory = mmap.mmap(-1, 1 + count + count * _RUNNER_BYTES + _TROUBLE_BYTES)

    def set_busy(self, index: int, busy: bool) -> None:
        self._memory[1 + index] = busy

    def busy(self) -> int:
        """Returns how many keepers are at work."""
        return sum(self._memory[1 : self.count + 1])

    def set_runner(self, index: int, runner: Runner | None) -> None:
        """Says what a keeper trains; ``None`` once its outcome is published."""
        self._write(self._place(index), _RUNNER_BYTES, " ".join(runner or ()))

    def runner(self, index: int) -> Runner | None:
        """Returns what the keeper of a slot trains, or trained when it was killed."""
        text = self._read(self._place(index), _RUNNER_BYTES)
        return Runner(*text.split(" ")) if text else None

    @property
    def draining(self) -> bool:
        """Whether the worker is shutting down and trials are to be handed back."""
        return self._memory[0] != _NOT_DRAINING

    @property
    def hurrying(self) -> bool:
        """Whether it was told to a second time, and no trial gets a grace period any more."""
        return self._memory[0] == _HURRYING

    def drain(self) -> None:
        """Begins to shut down; called again, hurries."""
        self._memory[0] = _HURRYING if self.draining else _DRAINING

    @property
    def trouble(self) -> str:
        """Why this host can train nothing for now; empty where it can. While it is set, no task is taken."""
        return self._read(len(self._memory) - _TROUBLE_BYTES, _TROUBLE_BYTES)

    @trouble.setter
    def trouble(self, text: str) -> None:
        self._write(len(self._memory) - _TROUBLE_BYTES, _TROUBLE_BYTES, text)

    def _place(self, index: int) -> int:
        return 1 + self.count + index * _RUNNER_BYTES

    def _write(self, place: int, size: int, text: str) -> None:
        self._memory[place : place + size] = text.encode(errors="replace")[:size].ljust(size, b"\0")

    def _read(self, place: int, size: int) -> str:
        return self._memory[place : place + size].rstrip(b"\0").decode(errors="ignore")
