"""The clock of the control plane: wall time, monotonic time, and a way to let time pass."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Clock:
    """Time, in seconds: of the wall, of intervals, and a way to let it pass."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def steady(self) -> Clock:
        """Returns a clock whose wall goes on evenly from now, however this machine's clock is set meanwhile."""
        elapsed = _since_boot if self.monotonic is time.monotonic else self.monotonic
        begun = self.wall() - elapsed()
        return replace(self, wall=lambda: begun + elapsed())


# Unlike the monotonic clock this one goes on while the machine is suspended.
_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def _since_boot() -> float:
    return time.clock_gettime(_BOOT)
