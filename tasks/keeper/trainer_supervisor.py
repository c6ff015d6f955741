"""The trainer of a slot: warm from job to job, and replaced where it is not fit for the next one."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Any

from tasks.codec import Malformed, decode_from_trainer
from tasks.framed_socket import SocketClosed
from tasks.keeper.process_cleanup import end_marked
from tasks.keeper.slot import Counter, Slot
from tasks.keeper.trainer_process import TrainerProcess
from tasks.trainer_messages import FromTrainer, Preloaded, Ready, TrainJob

log = logging.getLogger(__name__)

LEAVE_SECONDS = 10.0
"""How long a trainer that is not needed any more has to end as a program does: to write what it has buffered, to wait
for its threads, to run what was registered with ``atexit``."""

IMPORT_SECONDS = 120.0
"""How long a slot whose trainer was replaced keeps from taking the next job, at the most, until the new one has
imported the objective."""


class TrainerSupervisor:
    """Holds the one trainer that a slot has at a time, or none where the host cannot start one.

    Args:
        slot: The slot.
        counts: The counters of the slot.
        on_preload: Called with the result of importing the objective that the slot names.
    """

    def __init__(self, slot: Slot, counts: Any, on_preload: Callable[[Preloaded], None]) -> None:
        self._slot = slot
        self._counts = counts
        self._on_preload = on_preload
        self._preloading: threading.Thread | None = None
        self._objective = ""
        self._started = 0
        self._leaving: list[tuple[threading.Thread, TrainerProcess]] = []
        # A keeper that was killed here before has ended nothing.
        end_marked(slot.mark)
        self._current: TrainerProcess | None = None
        self._try_to_start(slot.preload)

    @property
    def current(self) -> TrainerProcess:
        """The trainer; where there is none, one is started now.

        Raises:
            OSError: none can be started.
        """
        if self._current is None:
            self._current = self._start("")
        return self._current

    @property
    def missing(self) -> bool:
        """Whether there is none."""
        return self._current is None

    def refresh(self) -> None:
        """Replaces a trainer that has ended while it waited for a job."""
        if self._current is not None and self._current.has_ended:
            self.replace("it ended while it waited")

    def watch_preload(self) -> None:
        """Passes on how the first import went, while no job is there whose loop would read it."""
        if self._slot.preload:
            self._preloading = threading.Thread(target=self._hear_preload, name="preload", daemon=True)
            self._preloading.start()

    def await_preload(self) -> None:
        """Waits until that import has ended, if it is still going on."""
        if self._preloading is not None:
            self._preloading.join()
            self._preloading = None

    def hand_out(self, run: TrainJob) -> None:
        """Has the trainer begin with a run, once the one before it has ended."""
        self.await_the_leaving()
        self._objective = run.job.objective
        self.current.ready = self.current.preparing = False
        self.current.imported = True
        self.current.send(run)

    def note(self, frame: FromTrainer | None) -> None:
        """Takes what the trainer says of itself, ``None`` for its end; one that is not healthy is replaced."""
        if isinstance(frame, Preloaded):
            self.current.ready |= self.current.preparing
            self.current.preparing, self.current.imported = False, True
        elif isinstance(frame, Ready) and frame.healthy:
            self.current.ready = True
        elif isinstance(frame, Ready):
            self.replace(frame.why, idle=True)
        elif frame is None:
            self.current.wait()
            # One that cannot even import the objective says so with the next job.
            self.renew(prepare=not self.current.preparing)

    def patience(self, grace: float, *, leaving: bool) -> float:
        """Returns for how many seconds a slot is to wait for its trainer before it is free; 0 where it need not.

        Args:
            grace: What a trainer is given to come back from a trial.
            leaving: Whether the worker shuts down; then it is waited only for one that may still end as a program does.
        """
        if self._current is None or self._current.ready:
            return 0.0
        if self._current.preparing:
            return 0.0 if leaving else IMPORT_SECONDS
        return min(grace, LEAVE_SECONDS) if leaving else grace

    def give_up(self, *, leaving: bool) -> None:
        """The trainer has kept its slot waiting for too long; one that is still importing is let alone."""
        if not leaving and not self.current.preparing:
            self.replace("it did not come back from the last trial")

    def replace(self, why: str, *, idle: bool = False) -> None:
        """Has another one take the place of the trainer, which is ended: at once, or as a program ends if it is idle.

        The other one does not wait for that before it is given a job.
        """
        log.info("the trainer is replaced: %s", why, extra={"action": "trainer_replaced"})
        self._end(idle=idle)
        self.renew()

    def renew(self, *, prepare: bool = True) -> None:
        """Has another one take the place of a trainer that has ended.

        Args:
            prepare: Whether it imports the objective of the last job ahead of the next one.
        """
        self._counts[Counter.REPLACEMENTS] += 1
        self._try_to_start(self._objective if prepare else "")

    def dismiss(self, *, wait: bool = False) -> None:
        """Ends the trainer: as a program ends if it waits for a job, at once if it is of no use."""
        self._end(idle=self._current is not None and self._current.ready and self._current.imported)
        if wait:
            self.await_the_leaving()

    def await_the_leaving(self) -> None:
        """Waits until those that are to end have ended: they may hold memory, and files, that the next one needs."""
        while self._leaving:
            self._leaving[-1][0].join()
            self._leaving.pop()

    def hurry(self) -> None:
        """Ends those that are to end at once. A signal handler may call it."""
        for _, trainer in self._leaving:
            trainer.end_group()

    def _end(self, *, idle: bool) -> None:
        trainer = self._current
        if trainer is None:
            return
        if not idle:
            trainer.kill()
            return
        thread = threading.Thread(target=trainer.end, args=(LEAVE_SECONDS,), name="leaving", daemon=True)
        thread.start()
        self._leaving.append((thread, trainer))

    def _try_to_start(self, preload: str) -> None:
        """Starts a trainer; where that fails the next job asks for one again, and is handed back if it fails then."""
        self._current = None
        try:
            self._current = self._start(preload)
        except Exception as error:  # whatever it is, the slot lives on
            log.error("no training process can be started: %s", error, extra={"action": "trainer_missing"})

    def _start(self, preload: str) -> TrainerProcess:
        self._slot.logs.mkdir(parents=True, exist_ok=True)
        self._started += 1
        trainer = TrainerProcess(
            self._slot.environment,
            # Of its own, for the one before it may still be about to end.
            f"{self._slot.mark}/{self._started}",
            self._slot.logs / f"slot-{self._slot.index}.log",
            preload,
        )
        trainer.preparing = bool(preload) and preload == self._objective
        # One that need not import anything ahead takes its first job when it has started.
        trainer.ready = not trainer.preparing
        return trainer

    def _hear_preload(self) -> None:
        with contextlib.suppress(SocketClosed, Malformed, OSError):
            trainer = self.current
            for frame in map(decode_from_trainer, trainer.wire.receive()):
                if isinstance(frame, Preloaded):
                    trainer.imported = True
                    self._on_preload(frame)
            return
        self._on_preload(Preloaded(objective=self._slot.preload, error="the training process died while importing it"))
