"""One slot of a worker: where its keeper works, what wakes it, and what the worker's processes share about it."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import selectors
import signal
import socket
from dataclasses import dataclass
from enum import IntEnum, auto
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple

from tasks.contract import Failed, Finished, Outcome, Paused, Released, Stopped
from tasks.keeper.file_store import local_folder
from tasks.objective_allowlist import Allowlist


@dataclass(frozen=True)
class Slot:
    """A place for one trial, and the environment of its trainer.

    ``mark`` identifies its trainers and all that they start, and nothing else on this host; ``queues`` are those that
    it serves; ``checkpoints`` and ``artifacts`` are the URLs of the stores; ``allowlist`` says what may be run.
    """

    index: int
    name: str
    mark: str
    device: str
    environment: dict[str, str]
    data: Path
    checkpoints: str
    artifacts: str
    allowlist: Allowlist
    queues: tuple[str, ...] = ()
    preload: str = ""

    @property
    def logs(self) -> Path:
        return self.data / "logs"

    @property
    def folders(self) -> list[Path]:
        """Folders of this host that a trial's files are written to."""
        stores = map(local_folder, (self.checkpoints, self.artifacts))
        return [self.logs, self.scratch, *(folder for folder in stores if folder is not None)]

    @property
    def scratch(self) -> Path:
        """Folder for files on their way to or from a store elsewhere, shared with other keepers."""
        return self.data / "scratch"


class Wakeup:
    """A socket pair that ends a keeper's wait: a signal or another thread of the keeper writes to it."""

    def __init__(self) -> None:
        # Non-blocking: a signal handler and the publisher's thread write to it.
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def fileno(self) -> int:
        return self._reader.fileno()

    def take_signals(self) -> None:
        """Makes the interpreter itself write the number of each signal, from its lowest handler.

        So one that comes just before a wait begins still ends that wait.
        """
        signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def set(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._writer.send(b"!")

    def wait(self, timeout: float) -> None:
        """Waits until it is set; ``timeout`` seconds at most."""
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            if selector.select(timeout):
                self.clear()

    def clear(self) -> bool:
        """Reads what was written; returns whether the stop signal was among it."""
        with contextlib.suppress(BlockingIOError):
            return int(signal.SIGUSR2) in self._reader.recv(4096)
        return False


class Runner(NamedTuple):
    """The attempt that a keeper trains, and this start of it."""

    token: str
    runner: str


class Counter(IntEnum):
    """Counters and gauges of each slot, for the worker's metrics."""

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


OUTCOMES: Final[dict[type[Outcome], Counter]] = {
    Finished: Counter.FINISHED,
    Failed: Counter.FAILED,
    Stopped: Counter.STOPPED,
    Paused: Counter.PAUSED,
    Released: Counter.RELEASED,
}
"""Counter of the attempts that ended with an outcome."""

_RUNNING, _DRAINING, _HURRYING = range(3)


class _WorkerRecord(ctypes.Structure):
    _fields_: ClassVar = [("state", ctypes.c_uint8), ("trouble", ctypes.c_char * 512)]


class _SlotRecord(ctypes.Structure):
    _fields_: ClassVar = [
        ("counts", ctypes.c_uint64 * len(Counter)),
        ("busy", ctypes.c_bool),
        ("runner", ctypes.c_char * 128),
    ]


class SlotTable:
    """Shared memory of a worker's processes, made before the pool forks: one record for each slot, one for all.

    Celery counts a slot as free from the moment its task is revoked, which is before the training has really been
    left; this table is the truth that consuming is gated on. A record outlives its keeper: the main process reads in
    it what a killed keeper was training, and the next keeper of the slot goes on with its counters. Each counter has
    one writer.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._worker = _WorkerRecord.from_buffer(mmap.mmap(-1, ctypes.sizeof(_WorkerRecord)))
        records = _SlotRecord * count
        self._slots = records.from_buffer(mmap.mmap(-1, ctypes.sizeof(records)))

    def set_busy(self, index: int, busy: bool) -> None:
        self._slots[index].busy = busy

    def busy(self) -> int:
        """Returns how many keepers train."""
        return sum(slot.busy for slot in self._slots)

    def set_runner(self, index: int, runner: Runner | None) -> None:
        """Sets what a keeper trains; ``None`` once its outcome is published."""
        self._slots[index].runner = _encoded(" ".join(runner or ()), 128)

    def runner(self, index: int) -> Runner | None:
        """Returns what the keeper of a slot trains, or trained when it was killed."""
        text = self._slots[index].runner.decode(errors="ignore")
        return Runner(*text.split(" ")) if text else None

    def counts(self, index: int) -> Any:
        """Returns the counters of one slot: a mutable array of integers, indexed by ``Counter``."""
        return self._slots[index].counts

    def total(self, counter: Counter) -> int:
        """Returns the sum of a counter over the slots."""
        return sum(slot.counts[counter] for slot in self._slots)

    @property
    def draining(self) -> bool:
        """Whether the worker is shutting down and trials are handed back."""
        return bool(self._worker.state != _RUNNING)

    @property
    def hurrying(self) -> bool:
        """Whether the worker was told to stop a second time: no trial gets a grace period any more."""
        return bool(self._worker.state == _HURRYING)

    def drain(self) -> None:
        """Begins the shutdown; called again, hurries it."""
        self._worker.state = _HURRYING if self.draining else _DRAINING

    @property
    def trouble(self) -> str:
        """The reason why this host cannot train now; empty where it can. While it is set, no task is taken."""
        return str(self._worker.trouble.decode(errors="ignore"))

    @trouble.setter
    def trouble(self, text: str) -> None:
        self._worker.trouble = _encoded(text, 512)


def _encoded(text: str, size: int) -> bytes:
    return text.encode(errors="replace")[: size - 1]
