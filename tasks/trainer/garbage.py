"""What refers to itself keeps whole models alive until it is collected: that is done between trials."""

from __future__ import annotations

import gc
import math
import os
from pathlib import Path
from typing import Final

WORTH_BYTES: Final = 1 << 20
"""What a process must hold beyond its least for a collection to be worth its time, for which the slot would idle: over
100 ms where a trial has imported torch."""

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class GarbageCollector:
    """Collects it where trials may have left some; its first call always does."""

    def __init__(self) -> None:
        self._least = -math.inf

    def collect(self) -> None:
        """Collects what the trial has left, unless the process is about as small as it has ever been after one."""
        if _resident() > self._least + WORTH_BYTES:
            gc.collect()
        # Never more: memory that was freed is not always given back, and would hide what comes to lie in it.
        found = _resident()
        self._least = found if self._least < 0 else min(self._least, found)


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
