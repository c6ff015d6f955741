"""The trainer of a slot: warm from job to job, and replaced where it is not fit for the next one."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

from tasks.codec import Malformed, decode_from_trainer
from tasks.frames import Preloaded, Ready, Run
from tasks.keeper.leftovers import end_marked
from tasks.keeper.meters import Figure, Meter
from tasks.keeper.process import TrainerProcess
from tasks.keeper.slot import Slot
from tasks.wire import Closed

log = logging.getLogger(__name__)


class Trainers:
    """Holds the one trainer that a slot has at a time, or none where the host cannot start one.

    Args:
        slot: The slot.
        meter: Takes how often one was replaced.
        on_preload: Called with the result of importing the objective that the slot names.
    """

    def __init__(self, slot: Slot, meter: Meter, on_preload: Callable[[Preloaded], None]) -> None:
        self._slot = slot
        self._meter = meter
        self._on_preload = on_preload
        self._preloading: threading.Thread | None = None
        # A keeper that was killed here before has ended nothing.
        end_marked(slot.mark)
        self._current: TrainerProcess | None = None
        self._try_to_start()

    @property
    def current(self) -> TrainerProcess:
        """The trainer; where there is none, one is started now.

        Raises:
            OSError: none can be started.
        """
        if self._current is None:
            self._current = self._start()
        return self._current

    @property
    def missing(self) -> bool:
        """Whether there is none."""
        return self._current is None

    def refresh(self) -> None:
        """Replaces a trainer that has ended while it waited for a job."""
        if self._current is not None and self._current.has_ended:
            self.replace("it ended while it waited")

    def kill(self) -> None:
        """Ends the trainer."""
        if self._current is not None:
            self._current.kill()

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

    def hand_out(self, run: Run) -> None:
        """Has the trainer begin with a run."""
        self.current.ready = False
        self.current.send(run)

    def note(self, frame: Ready | Preloaded) -> None:
        """Takes what the trainer says of itself; one that is not healthy is replaced."""
        if isinstance(frame, Preloaded):
            self._on_preload(frame)
        elif frame.healthy:
            self.current.ready = True
        else:
            self.replace(frame.why)

    def replace(self, why: str) -> None:
        """Ends the trainer, and has another one take its place."""
        log.info("the trainer is replaced: %s", why, extra={"action": "trainer_replaced"})
        self.kill()
        self.renew()

    def renew(self) -> None:
        """Has another one take the place of a trainer that has ended."""
        self._meter.count(Figure.REPLACEMENTS)
        self._try_to_start()

    def _try_to_start(self) -> None:
        """Starts a trainer; where that fails the next job asks for one again, and is handed back if it fails then."""
        self._current = None
        try:
            self._current = self._start()
        except Exception as error:  # whatever it is, the slot lives on
            log.error("no training process can be started: %s", error, extra={"action": "trainer_missing"})

    def _start(self) -> TrainerProcess:
        self._slot.logs.mkdir(parents=True, exist_ok=True)
        trainer = TrainerProcess(
            self._slot.environment,
            self._slot.mark,
            self._slot.logs / f"slot-{self._slot.index}.log",
            self._slot.preload,
        )
        # A new one takes its first job when it has started; there is nothing to wait for before that.
        trainer.ready = True
        return trainer

    def _hear_preload(self) -> None:
        with contextlib.suppress(Closed, Malformed, OSError):
            for frame in map(decode_from_trainer, self.current.wire.receive()):
                if isinstance(frame, Preloaded):
                    self._on_preload(frame)
            return
        self._on_preload(Preloaded(objective=self._slot.preload, error="the training process died while importing it"))
