"""What the keepers of one worker have counted: shared memory, made before the pool forks.

A figure of a slot has one writer, the keeper of that slot, and outlives it: a keeper that takes its place counts on.
"""

from __future__ import annotations

import mmap
from enum import IntEnum, auto
from typing import Final

from tasks.contract import Failed, Finished, Outcome, Paused, Released, Stopped

_BYTES: Final = 8


class Figure(IntEnum):
    """What is counted, or measured, of each slot."""

    FINISHED = 0
    FAILED = auto()
    STOPPED = auto()
    PAUSED = auto()
    RELEASED = auto()
    EPOCHS = auto()
    REPLACEMENTS = auto()
    UNCONFIRMED = auto()
    SPILLED_BYTES = auto()
    CUT_OFF = auto()


OUTCOMES: Final[dict[type[Outcome], Figure]] = {
    Finished: Figure.FINISHED,
    Failed: Figure.FAILED,
    Stopped: Figure.STOPPED,
    Paused: Figure.PAUSED,
    Released: Figure.RELEASED,
}
"""Under which figure an attempt's end is counted."""


class Meters:
    """The figures of all slots of a worker."""

    def __init__(self, slots: int) -> None:
        self._memory = memoryview(mmap.mmap(-1, slots * len(Figure) * _BYTES)).cast("Q")

    def of(self, slot: int) -> Meter:
        """Returns the figures of one slot, for its keeper."""
        first = slot * len(Figure)
        return Meter(self._memory[first : first + len(Figure)])

    def total(self, figure: Figure) -> int:
        """Returns a figure's sum over the slots."""
        return sum(self._memory[figure :: len(Figure)])


class Meter:
    """The figures of one slot. Each is written by one thread."""

    def __init__(self, memory: memoryview) -> None:
        self._memory = memory

    def count(self, figure: Figure) -> None:
        """Adds one."""
        self._memory[figure] += 1

    def count_outcome(self, outcome: Outcome) -> None:
        """Adds one to the attempts that ended so."""
        self.count(OUTCOMES[type(outcome)])

    def set(self, figure: Figure, value: int) -> None:
        """Says what it is now."""
        self._memory[figure] = value
