"""Peak memory of a trial: what its training process and all that it started held at once."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tasks.contract import PEAK_MEMORY
from tasks.process_identity import children_of

SAMPLE_SECONDS: Final = 1.0
"""Time between two samples. Peaks of the training process itself that fall between are not missed: the kernel keeps
them."""

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


class PeakMemory(threading.Thread):
    """Samples the resident memory of a process and its descendants, in bytes, from ``begin`` to ``end``.

    Memory that forked processes share, such as the workers of a DataLoader, counts once: a process tree is measured by
    its proportional set sizes (``Pss`` in ``proc_pid_smaps_rollup(5)``), a single process by its resident set size.
    """

    def __init__(self) -> None:
        super().__init__(name="memory", daemon=True)
        self._lock = threading.Lock()
        self._wanted = threading.Event()
        self._over = threading.Event()
        self._pid = 0
        self._peak = 0

    def begin(self, pid: int) -> None:
        """Begins to measure process ``pid``."""
        with self._lock:
            self._pid, self._peak = pid, 0
            # Sets the kernel's high-water mark to the present size; see proc_pid_clear_refs(5).
            with contextlib.suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")
        self._over.clear()
        self._wanted.set()

    def end(self) -> dict[str, float]:
        """Ends the measurement and returns it; nothing where nothing was measured."""
        self._wanted.clear()
        self._over.set()
        with self._lock:
            # Not the whole tree: that takes milliseconds for each process, and the slot waits.
            peak = max(self._peak, _high_water(self._pid)) if self._pid else 0
            self._pid = 0
        return {PEAK_MEMORY: peak} if peak else {}

    def run(self) -> None:
        while True:
            self._wanted.wait()
            with self._lock:
                self._sample()
            self._over.wait(SAMPLE_SECONDS)

    def _sample(self) -> None:
        if self._pid:
            tree = [self._pid, *_descendants(self._pid)]
            held = _resident(self._pid) if len(tree) == 1 else sum(map(_proportional, tree))
            self._peak = max(self._peak, held, _high_water(self._pid))


def _descendants(pid: int) -> Iterator[int]:
    for child in children_of(pid):
        yield child
        yield from _descendants(child)


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return 0


def _proportional(pid: int) -> int:
    return _kilobytes(pid, "smaps_rollup", "Pss:") or _resident(pid)


def _high_water(pid: int) -> int:
    return _kilobytes(pid, "status", "VmHWM:")


def _kilobytes(pid: int, file: str, field: str) -> int:
    """Returns a field of a file in ``/proc/PID`` in bytes; 0 where there is none."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) << 10
    return 0
