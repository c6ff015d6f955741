"""Tuning of Python's garbage collector: rare collections during imports, one between trials where it is worthwhile."""

from __future__ import annotations

import gc
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

RARELY = 20_000
"""New objects between two collections during imports; 700 without this. Imports make a great many objects, and all of
them stay: visiting them again and again is an eighth of the time that importing torch takes."""

WORTH_BYTES: Final = 1 << 20
"""Growth of a process above its smallest size for which a collection between trials is worth its time: the slot idles
meanwhile, over 100 ms where a trial has imported torch."""

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def rare_collections() -> Iterator[None]:
    """Collects garbage rarely; a threshold that is set meanwhile stays."""
    before = gc.get_threshold()
    raised = (RARELY, *before[1:])
    gc.set_threshold(*raised)
    try:
        yield
    finally:
        if gc.get_threshold() == raised:
            gc.set_threshold(*before)


class GarbageCollector:
    """Collects between trials, where one may have left garbage: reference cycles keep whole models alive.

    The first call of ``collect`` always collects.
    """

    def __init__(self) -> None:
        self._least = -math.inf
        self._modules = 0

    def collect(self) -> None:
        """Collects, unless the process is about as small as it has ever been after a collection.

        What a trial has imported stays, and is no growth: a process that has imported torch after its first trial would
        collect after each one.
        """
        modules = len(sys.modules)
        if modules > self._modules:
            self._least = -math.inf
        self._modules = modules
        if resident_bytes() > self._least + WORTH_BYTES:
            gc.collect()
        # The minimum: memory that was freed is not always given back, and would hide what comes to lie in it.
        found = resident_bytes()
        self._least = found if self._least < 0 else min(self._least, found)


def resident_bytes() -> int:
    """Returns the resident memory of this process, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
