"""Supervisor of a slot's trainer: keeps it warm from job to job, and replaces one that is not fit for the next."""

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

END_SECONDS = 10.0
"""Seconds for a trainer to end as a program does: to flush buffers, join threads, run ``atexit`` handlers."""

IMPORT_SECONDS = 120.0
"""Longest wait of a slot before its next job for a new trainer to import the objective."""


class TrainerSupervisor:
    """Holds the trainer of a slot, or none where the host cannot start one.

    Args:
        slot: The slot.
        counts: The counters of the slot.
        on_preload: Called with the result of importing the objective that the slot names.
        preload: That objective, where it can be imported; empty where not.
        code: Import folders of its code bundle, where it has one.
    """

    def __init__(
        self,
        slot: Slot,
        counts: Any,
        on_preload: Callable[[Preloaded], None],
        preload: str = "",
        code: tuple[str, ...] = (),
    ) -> None:
        self._slot = slot
        self._counts = counts
        self._on_preload = on_preload
        self._preloading: threading.Thread | None = None
        self._preload = preload
        self._objective = ""
        self._code = code
        self._started = 0
        self._ending: list[tuple[threading.Thread, TrainerProcess]] = []
        # Left by a keeper of this slot that was killed.
        end_marked(slot.mark)
        self._current: TrainerProcess | None = None
        self._employed: TrainerProcess | None = None
        self._try_to_start(preload)

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
        """Reports the result of the preload from a thread, until the first job reads the trainer's messages."""
        if self._preload:
            self._preloading = threading.Thread(target=self._read_preload, name="preload", daemon=True)
            self._preloading.start()

    def await_preload(self) -> None:
        """Waits until the preload has ended."""
        if self._preloading is not None:
            self._preloading.join()
            self._preloading = None

    def hand_out(self, run: TrainJob) -> None:
        """Sends a job to the trainer, once its predecessor has ended."""
        self.await_ended()
        self._objective, self._code = run.job.objective, run.code
        self.current.ready = self.current.preparing = False
        self.current.imported = True
        self.current.send(run)
        self._employed = self.current

    def handle(self, frame: FromTrainer | None) -> None:
        """Handles a message of the trainer about itself, ``None`` for its end; replaces one that is not healthy."""
        if isinstance(frame, Preloaded):
            self.current.ready |= self.current.preparing
            self.current.preparing, self.current.imported = False, True
        elif isinstance(frame, Ready) and frame.healthy:
            self.current.ready = True
        elif isinstance(frame, Ready):
            self.replace(frame.why, idle=True)
        elif frame is None:
            self.current.wait()
            # One that dies at the import reports it with the next job.
            self.renew(prepare=not self.current.preparing)

    def seconds_to_wait(self, grace: float, *, leaving: bool) -> float:
        """Returns the seconds that a slot waits for its trainer before it is free; 0 where it need not.

        Args:
            grace: Seconds for a trainer to come back from a trial.
            leaving: Whether the worker shuts down; then only for a trainer to end as a program does.
        """
        if self._current is None or self._current.ready:
            return 0.0
        if self._current.preparing:
            return 0.0 if leaving else IMPORT_SECONDS
        return min(grace, END_SECONDS) if leaving else grace

    def give_up(self, *, leaving: bool) -> None:
        """Replaces a trainer that has kept its slot waiting for too long, unless it is still importing."""
        if not leaving and not self.current.preparing:
            self.replace("it did not come back from the last trial")

    def replace(self, why: str, *, idle: bool = False) -> None:
        """Ends the trainer, at once or, if it is idle, as a program ends, and starts another one.

        The other one may get a job before the first has ended.
        """
        log.info("the trainer is replaced: %s", why, extra={"action": "trainer_replaced"})
        self._end(idle=idle)
        self.renew()

    def renew(self, *, prepare: bool = True) -> None:
        """Starts another trainer in the place of one that has ended.

        Args:
            prepare: Whether it imports the objective of the last job ahead of the next one.
        """
        self._counts[Counter.REPLACEMENTS] += 1
        self._try_to_start(self._objective if prepare else "")

    def dismiss(self, *, wait: bool = False) -> None:
        """Ends the trainer: as a program ends if it waits for a job, else at once."""
        self._end(idle=self._current is not None and self._current.ready and self._current.imported)
        if wait:
            self.await_ended()

    @property
    def keeps_its_process(self) -> bool:
        """Whether the trainer that was given the last job is still in place: one that is fit says so at once."""
        return self._current is not None and self._current is self._employed

    def await_ended(self) -> None:
        """Waits until replaced trainers have ended: they may hold memory and files that the next one needs."""
        while not self.have_ended(None):
            pass

    def have_ended(self, timeout: float | None) -> bool:
        """Waits at most ``timeout`` seconds for a replaced trainer to end; returns whether all of them have."""
        if self._ending:
            self._ending[-1][0].join(timeout)
            if not self._ending[-1][0].is_alive():
                self._ending.pop()
        return not self._ending

    def kill_ending(self) -> None:
        """Kills the trainers that are still ending. A signal handler may call it."""
        for _, trainer in self._ending:
            trainer.end_group()

    def _end(self, *, idle: bool) -> None:
        trainer = self._current
        if trainer is None:
            return
        if not idle:
            trainer.kill()
            return
        thread = threading.Thread(target=trainer.end, args=(END_SECONDS,), name="leaving", daemon=True)
        thread.start()
        self._ending.append((thread, trainer))

    def _try_to_start(self, preload: str) -> None:
        """Starts a trainer; where that fails, the next job tries again, and is handed back if that fails, too."""
        self._current = None
        try:
            self._current = self._start(preload)
        except Exception as error:  # the slot lives on, whatever it is
            log.error("no training process can be started: %s", error, extra={"action": "trainer_missing"})

    def _start(self, preload: str) -> TrainerProcess:
        self._slot.logs.mkdir(parents=True, exist_ok=True)
        self._started += 1
        trainer = TrainerProcess(
            self._slot.environment,
            # A mark of its own: its predecessor may still be ending.
            f"{self._slot.mark}/{self._started}",
            self._slot.logs / f"slot-{self._slot.index}.log",
            preload,
            self._code,
        )
        trainer.preparing = bool(preload) and preload == self._objective
        # A trainer without a preload takes its first job as soon as it has started.
        trainer.ready = not trainer.preparing
        return trainer

    def _read_preload(self) -> None:
        with contextlib.suppress(SocketClosed, Malformed, OSError):
            trainer = self.current
            for frame in map(decode_from_trainer, trainer.wire.receive()):
                if isinstance(frame, Preloaded):
                    trainer.imported = True
                    self._on_preload(frame)
            return
        self._on_preload(Preloaded(objective=self._preload, error="the training process died while importing it"))
