"""One slot: hands a job to the warm trainer, passes on what it says, and makes it leave when the verdict says so."""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import socket
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import redis

from tasks.contract import (
    Alive,
    Attribute,
    Confirmation,
    Epoch,
    Failed,
    Finished,
    FromTrainer,
    Job,
    Left,
    Malformed,
    Preloaded,
    Ready,
    Released,
    Reply,
    Run,
    Started,
    Stop,
    Stopped,
    StudyStop,
    Suggest,
    Suggested,
    Verdict,
    decode_from_trainer,
)
from tasks.keeper.process import TrainerProcess, describe_exit
from tasks.keeper.publisher import Publisher
from tasks.keeper.replies import ReplyWaiter
from tasks.keeper.slots import Slots
from tasks.wire import Closed

log = logging.getLogger(__name__)

DRAIN_SECONDS = 5.0
"""How long a keeper that ends waits for its last events to be confirmed."""

_DOORBELL = int(signal.SIGUSR2)

Outcome = Finished | Failed | Stopped | Released


@dataclass
class Course:
    """What the keeper knows of the job at hand."""

    job: Job
    runner: str
    reported: dict[int, float] = field(default_factory=dict)
    verdict: Verdict | None = None
    fenced: bool = False
    stop_sent: float | None = None
    rung: float | None = None
    waiting: tuple[int, Suggest] | None = None
    asked: float = 0.0
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Slot:
    """Where a keeper works: its number, what its trainer's environment is, and where output goes."""

    index: int
    name: str
    device: str
    environment: dict[str, str]
    logs: Path
    preload: str = ""


class Keeper:
    """Supervises one slot; lives in a Celery pool process, its ``run`` in that process's main thread.

    Args:
        slot: The slot.
        connect: Makes a Redis client; called once a thread that needs one.
        heartbeat: Seconds between signs of life.
        slots: What the worker's processes share.
        on_preload: Called with the result of importing the objective named at start.
    """

    def __init__(
        self,
        slot: Slot,
        connect: Callable[[], redis.Redis],
        *,
        heartbeat: float,
        slots: Slots,
        on_preload: Callable[[Preloaded], None] = lambda _: None,
    ) -> None:
        self._slot = slot
        self._slots = slots
        self._heartbeat = heartbeat
        self._on_preload = on_preload
        self._host = socket.gethostname()
        # A non-blocking pair: a signal handler and the publisher's thread ring it, the loop below waits on it.
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)
        self._confirmations: deque[tuple[str, Confirmation]] = deque()
        self._replies = ReplyWaiter(connect, heartbeat, self._ring)
        self._publisher = Publisher(connect(), heartbeat=heartbeat, alive=self._alive, on_confirmation=self._confirmed)
        self._course: Course | None = None
        self._left_at: float | None = None
        self._leaving = False
        self._preloading: threading.Thread | None = None
        self._trainer = self._start_trainer()

    def start(self) -> None:
        """Takes over the signals and begins to send signs of life. Call it in the main thread."""
        signal.signal(signal.SIGUSR2, self._on_signal)
        signal.signal(signal.SIGTERM, self._on_terminate)
        # The interpreter itself then writes the signal's number, so that one which comes just before the loop begins
        # to wait still ends the wait.
        signal.set_wakeup_fd(self._ringer.fileno(), warn_on_full_buffer=False)
        self._publisher.start()
        if self._slot.preload:
            self._preloading = threading.Thread(target=self._watch_preload, name="preload", daemon=True)
            self._preloading.start()

    def close(self) -> None:
        """Ends the trainer and gives the last events a little time to be confirmed."""
        self._trainer.kill()
        self._publisher.close(DRAIN_SECONDS)

    def run(self, job: Job) -> tuple[Outcome, bool]:
        """Trains ``job`` to its end, whatever that is.

        Returns the outcome, and whether a signal had rung for it. On return the slot is free: the trainer waits for
        the next job, or a new one is on its way.
        """
        if self._preloading is not None:
            self._preloading.join()
            self._preloading = None
        course = self._course = Course(job, uuid.uuid4().hex)
        self._publisher.begin(job.token, course.runner)
        self._slots.set_busy(self._slot.index, True)
        try:
            self._begin(course)
            outcome = self._follow(course)
            self._publisher.publish(course.runner, outcome)
            self._publisher.end(course.runner)
            self._settle(job.grace)
            return outcome, course.rung is not None
        finally:
            self._course = None
            self._slots.set_busy(self._slot.index, False)
            if self._leaving:
                self.close()
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                os.kill(os.getpid(), signal.SIGTERM)

    def _begin(self, course: Course) -> None:
        gap = None if self._left_at is None else time.monotonic() - self._left_at
        self._trainer.ready = False
        self._trainer.send(Run(job=course.job, log=str(self._log_file(course.job))))
        self._publisher.publish(
            course.runner,
            Started(
                host=self._host,
                pid=self._trainer.pid,
                slot=self._slot.name,
                device=self._slot.device,
                gap=gap,
            ),
        )

    def _follow(self, course: Course) -> Outcome:
        while course.outcome is None:
            self._consider_stopping(course)
            for frame in self._wait(self._patience(course)):
                self._hear(course, frame)
        self._left_at = time.monotonic()
        return course.outcome

    def _patience(self, course: Course) -> float | None:
        """Returns the seconds until something is due: the end of the grace period, or asking again for a value."""
        if course.stop_sent is None:
            if course.waiting is None:
                return None
            left = course.asked + 2 * self._heartbeat - time.monotonic()
            if left <= 0:
                # The answer may have been lost with the server; asking again gives the same value.
                self._ask(course, course.waiting[1])
                left = 2 * self._heartbeat
            return left
        left = course.stop_sent + course.job.grace - time.monotonic()
        if left <= 0:
            code = self._trainer.kill()
            log.warning(
                "trial %d did not leave in %.3g s, ended (%s)",
                course.job.trial,
                course.job.grace,
                describe_exit(code),
                extra={"action": "trainer_killed"},
            )
            course.outcome = self._stop_outcome(course, killed=True)
            self._trainer = self._start_trainer()
        return max(left, 0.0)

    def _wait(self, timeout: float | None) -> list[FromTrainer | None]:
        """Waits for the trainer, the doorbell or the timeout; returns frames, ``None`` for its end."""
        frames: list[FromTrainer | None] = []
        with selectors.DefaultSelector() as selector:
            selector.register(self._trainer.wire, selectors.EVENT_READ)
            selector.register(self._bell, selectors.EVENT_READ)
            for key, _ in selector.select(timeout):
                if key.fileobj is self._bell:
                    self._answer_the_bell()
                    continue
                try:
                    frames.extend(decode_from_trainer(data) for data in self._trainer.wire.receive())
                except (Closed, Malformed):
                    frames.append(None)
        return frames

    def _hear(self, course: Course, frame: FromTrainer | None) -> None:
        match frame:
            case Epoch(step=step):
                course.reported.setdefault(step, time.monotonic())
                self._publisher.publish(course.runner, frame)
            case Suggest():
                self._ask(course, frame)
            case Attribute() | StudyStop():
                self._publisher.publish(course.runner, frame)
            case Finished() | Failed():
                course.outcome = frame
            case Left():
                course.outcome = self._stop_outcome(course, killed=False)
            case Ready() | Preloaded():
                self._note(frame)
            case None:
                # Dying after the last word changes nothing about the trial; the next one needs a trainer, though.
                outcome = self._died(course)
                course.outcome = course.outcome or outcome

    def _ask(self, course: Course, suggest: Suggest) -> None:
        seq = self._publisher.publish(course.runner, suggest)
        if not suggest.used:
            course.waiting = (seq, suggest)
            course.asked = time.monotonic()
            self._replies.wait(course.runner)

    def _died(self, course: Course) -> Outcome:
        code = self._trainer.wait()
        self._trainer = self._start_trainer()
        if course.stop_sent is not None:
            return self._stop_outcome(course, killed=True)
        return Failed(
            cause="died",
            error="TrainingProcessDied",
            message=f"the training process ended with {describe_exit(code)}",
            exit_code=code,
        )

    def _consider_stopping(self, course: Course) -> None:
        """Acts on what is known of the attempt: a verdict, another runner bound to it, a worker that shuts down."""
        while self._confirmations:
            runner, confirmation = self._confirmations.popleft()
            if runner != course.runner:
                continue
            course.verdict = course.verdict or confirmation.verdict
            course.fenced = course.fenced or confirmation.runner not in ("", course.runner)
        for reply in self._replies.take():
            self._answer(course, reply)
        wanted = course.verdict is not None or course.fenced or self._slots.draining or self._leaving
        if wanted and course.stop_sent is None:
            course.stop_sent = time.monotonic()
            self._trainer.send(Stop(token=course.job.token))

    def _answer(self, course: Course, reply: Reply) -> None:
        if course.waiting is None:
            return
        seq, asked = course.waiting
        if reply.runner != course.runner or reply.seq != seq or reply.name != asked.name:
            self._replies.wait(course.runner)
            return
        course.waiting = None
        self._replies.stop()
        self._trainer.send(Suggested(name=reply.name, value=reply.value, error=reply.error))

    def _stop_outcome(self, course: Course, *, killed: bool) -> Outcome:
        if course.verdict is None and not course.fenced:
            return Released()
        now = time.monotonic()
        step = course.verdict.step if course.verdict else None
        reported = None if step is None else course.reported.get(step)
        return Stopped(
            latency=None if reported is None else now - reported,
            signal_latency=None if course.rung is None else now - course.rung,
            killed=killed,
        )

    def _settle(self, grace: float) -> None:
        """Waits for the trainer to say that it is fit for the next job; replaces it where it is not, or is silent."""
        deadline = time.monotonic() + grace
        self._replies.stop()
        while not self._trainer.ready and not self._leaving:
            left = deadline - time.monotonic()
            if left <= 0:
                self._replace("it did not come back from the last trial")
                return
            for frame in self._wait(left):
                if frame is None:
                    self._trainer.wait()
                    self._trainer = self._start_trainer()
                    return
                if isinstance(frame, Ready | Preloaded):
                    self._note(frame)

    def _note(self, frame: Ready | Preloaded) -> None:
        if isinstance(frame, Preloaded):
            self._on_preload(frame)
        elif frame.healthy:
            self._trainer.ready = True
        else:
            self._replace(frame.why)

    def _watch_preload(self) -> None:
        """Passes on how the first import went, while no job is there whose loop would read it."""
        with contextlib.suppress(Closed, Malformed):
            for frame in map(decode_from_trainer, self._trainer.wire.receive()):
                if isinstance(frame, Preloaded):
                    self._note(frame)
            return
        self._on_preload(Preloaded(objective=self._slot.preload, error="the training process died while importing it"))

    def _replace(self, why: str) -> None:
        log.info("the trainer is replaced: %s", why, extra={"action": "trainer_replaced"})
        self._trainer.kill()
        self._trainer = self._start_trainer()

    def _start_trainer(self) -> TrainerProcess:
        self._slot.logs.mkdir(parents=True, exist_ok=True)
        trainer = TrainerProcess(
            self._slot.environment, self._slot.logs / f"slot-{self._slot.index}.log", self._slot.preload
        )
        # A new one takes its first job when it has started; there is nothing to wait for before that.
        trainer.ready = True
        return trainer

    def _log_file(self, job: Job) -> Path:
        folder = self._slot.logs / job.study
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"trial-{job.trial:05d}.log"

    def _alive(self) -> Alive:
        return Alive(
            host=self._host,
            slot=self._slot.name,
            device=self._slot.device,
            busy=self._course is not None,
        )

    def _confirmed(self, runner: str, confirmation: Confirmation) -> None:
        course = self._course
        if course is not None and runner == course.runner:
            self._confirmations.append((runner, confirmation))
            if confirmation.verdict is not None or confirmation.runner != runner:
                self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._ringer.send(b"!")

    def _answer_the_bell(self) -> None:
        with contextlib.suppress(BlockingIOError):
            if _DOORBELL in self._bell.recv(4096):
                # Here and not in the handler: that may run while this very thread holds the publisher's lock.
                self._publisher.ask()

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        """The doorbell. Whatever it rings for, the confirmation says; the signal alone stops nothing."""
        del signum, frame
        if self._course is not None and self._course.rung is None:
            self._course.rung = time.monotonic()

    def _on_terminate(self, signum: int, frame: FrameType | None) -> None:
        """Stops the trial, hands it back, then exits; at once where there is none."""
        del frame
        self._leaving = True
        if self._course is None:
            self._trainer.kill()
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
        self._ring()
