"""One slot: hands job after job to its warm trainer, and sees to it that the next one finds a trainer that is fit."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import FrameType

import msgspec
import redis

from tasks import log_lines
from tasks.codec import Malformed, decode_from_trainer
from tasks.contract import Confirmation, Epoch, Failed, Finished, Heartbeat, Job, Outcome, Paused, Released, Started
from tasks.flower_row import TaskResult
from tasks.framed_socket import SocketClosed
from tasks.keeper.artifact_collector import ArtifactCollector
from tasks.keeper.binding import Binding
from tasks.keeper.checkpoint_stores import open_store
from tasks.keeper.handback import HandbackPolicy
from tasks.keeper.job_run import JobRun
from tasks.keeper.monitor_events import MonitorEvents, Send
from tasks.keeper.peak_memory import PeakMemory
from tasks.keeper.publisher import FULL_SECONDS, Publisher
from tasks.keeper.replies import ReplyWaiter
from tasks.keeper.slot import OUTCOMES, Counter, Runner, Slot, SlotTable, Wakeup
from tasks.keeper.trainer_supervisor import TrainerSupervisor
from tasks.keeper.upload_queue import publish_end
from tasks.signing import UNSIGNED, Keyring
from tasks.trainer_messages import FromTrainer, Preloaded, Ready, Stale, TrainJob
from tasks.trial_files import open_log, trial_log

log = logging.getLogger(__name__)

MOST_IN_MEMORY = 50_000
"""Events that are kept in memory where the disk takes no more; then the objective waits in ``report``."""

DRAIN_SECONDS = 5.0
"""How long a keeper that ends waits for its last uploads and confirmations."""

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""Signals at which a keeper hands its trial back and ends."""


class Keeper:
    """Supervises one slot; lives in a Celery pool process, its ``run`` in that process's main thread.

    Args:
        slot: The slot.
        connect: Makes a Redis client; called once a thread that needs one.
        send: Sends an event to Celery's monitors.
        heartbeat: Seconds between signs of life.
        slots: What the worker's processes share.
        on_preload: Called with the result of importing the objective named at start.
        keyring: Signs what is said to the control plane, and verifies what it says.
    """

    def __init__(
        self,
        slot: Slot,
        connect: Callable[[], redis.Redis],
        send: Send,
        *,
        heartbeat: float,
        slots: SlotTable,
        on_preload: Callable[[Preloaded], None] = lambda _: None,
        keyring: Keyring = UNSIGNED,
    ) -> None:
        self._slot = slot
        self._slots = slots
        self._counts = slots.counts(slot.index)
        self._heartbeat = heartbeat
        self._signed = bool(keyring)
        self._host = socket.gethostname()
        self._wakeup = Wakeup()
        self._replies = ReplyWaiter(connect, heartbeat, self._wakeup.set, keyring)
        self._publisher = Publisher(
            connect(),
            slot.scratch,
            heartbeat=heartbeat,
            alive=self._alive,
            on_confirmation=self._confirmed,
            keyring=keyring,
        )
        self._store = open_store(slot.checkpoints, slot.scratch, self._publisher)
        self._artifacts = ArtifactCollector(slot.artifacts, slot.scratch, self._publisher, self._store.finish)
        self._herald = MonitorEvents(send)
        self._course: JobRun | None = None
        self._left_at: float | None = None
        self._leaving = False
        self._hurried = False
        self._closing = False
        self._trainers = TrainerSupervisor(slot, self._counts, on_preload)
        self._memory = PeakMemory()
        self._excuses = HandbackPolicy(slot, slots, lambda: self._handing_back, self._wakeup.wait)

    def take_signals(self, *, ignore: Collection[signal.Signals] = ()) -> None:
        """Takes over the signals. Call it in the main thread, once Celery's pool has set its own handlers.

        Args:
            ignore: Those that would end it, and that the worker was started to ignore.
        """
        signal.signal(signal.SIGUSR2, self._on_signal)
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN if number in ignore else self._on_terminate)
        self._wakeup.take_signals()

    def start(self) -> None:
        """Begins to send signs of life."""
        self._publisher.start()
        self._herald.start()
        self._memory.start()
        self._trainers.watch_preload()

    def close(self) -> None:
        """Ends the trainer and gives the last files and events a little time to arrive."""
        self._closing = True
        deadline = time.monotonic() + DRAIN_SECONDS
        self._trainers.dismiss()
        # In this order: what a runner says last goes through all three.
        self._artifacts.close(DRAIN_SECONDS)
        self._store.close(max(0.5, deadline - time.monotonic()))
        self._publisher.close(max(0.5, deadline - time.monotonic()))
        self._herald.close(0.5)
        self._trainers.await_the_leaving()

    def run(self, job: Job) -> tuple[Outcome, TaskResult]:
        """Trains ``job`` to its end; returns the outcome, and how the task ended by it.

        On return the slot is free for the next job. Whatever is raised on the way, an outcome is published and the
        signs of life end; a keeper that cannot even publish one leaves, and its worker says so.
        """
        course = self._course = JobRun(
            job,
            self._trainers,
            self._publisher,
            self._replies,
            self._store,
            self._artifacts,
            self._herald,
            ask_again=2 * self._heartbeat,
        )
        self._slots.set_runner(self._slot.index, Runner(job.token, course.runner))
        self._slots.set_busy(self._slot.index, True)
        try:
            self._publisher.begin(job.token, course.runner)
            with log_lines.job_context(job):
                outcome = self._outcome_of(course)
                self._publish(course, outcome)
                return outcome, self._conclude(course, outcome)
        except BaseException:
            self._leaving = True
            raise
        finally:
            self._course = None
            self._slots.set_busy(self._slot.index, False)
            if self._leaving:
                self._leave(drain=True)

    @property
    def _handing_back(self) -> bool:
        return self._slots.draining or self._leaving

    def _outcome_of(self, course: JobRun) -> Outcome:
        try:
            outcome = self._train(course)
        except Exception as error:  # from the disk, the system, or a mistake of ours
            outcome = course.outcome or self._excuses.judge_error(course.job, error)
            # Its open files may be what has run out; the next keeper of this slot begins with none.
            self._leaving |= getattr(error, "errno", None) == errno.EMFILE
            if not self._trainers.missing and not self._trainers.current.ready:
                self._trainers.replace("its keeper could not go on with the trial")
            if not course.announced:
                with contextlib.suppress(Exception):
                    self._announce(course)
        outcome = self._excuses.judge(course.job, outcome)
        return msgspec.structs.replace(outcome, measured=course.measured | self._memory.end())

    def _publish(self, course: JobRun, outcome: Outcome) -> None:
        """Publishes a runner's last word, behind its files."""
        try:
            self._artifacts.finish(course.runner, outcome)
        except Exception:  # what a trial has left may be anything
            log.exception("the end of trial %d is published without its files", course.job.trial)
            publish_end(self._publisher, course.runner, outcome)
        self._slots.set_runner(self._slot.index, None)

    def _conclude(self, course: JobRun, outcome: Outcome) -> TaskResult:
        """Tells the monitors of an outcome that is published, and has the slot be ready for the next job."""
        ending = TaskResult(type(outcome).__name__.lower(), revoked=not isinstance(outcome, Finished | Failed | Paused))
        try:
            self._counts[OUTCOMES[type(outcome)]] += 1
            if course.is_another_slots:
                # Monitors know the task by its id alone: of the one row, the slot that runs it tells.
                self._herald.forget()
                return ending
            # A worker that shuts down rings its keepers, too; of that Celery has said nothing.
            announced = course.rung is not None and not self._handing_back
            ending = self._herald.end(outcome, course.cause, announced=announced)
            self._settle(course.job.grace)
        except Exception:  # the trial is over, and nothing of this changes how
            log.exception("trial %d is over, and its slot starts anew", course.job.trial)
            self._trainers.replace("its keeper could not go on")
        return ending

    def _train(self, course: JobRun) -> Outcome:
        """Runs the job, unless it turns out that it must not be run."""
        self._trainers.await_preload()
        self._trainers.refresh()
        self._herald.begin(course.job)
        binding = Binding(course, self._publisher, signed=self._signed, leaves=lambda: self._handing_back)
        binding.await_another()
        self._announce(course)
        # A task may come twice. The answer says which runner is bound; until it comes nothing of the user's runs.
        if not binding.is_confirmed():
            return Released()
        if refusal := course.refuse(self._handing_back or not self._excuses.may_train()):
            return refusal
        if why := self._slot.allowlist.refuse(course.job.objective):
            return Failed(cause="import", error="NotAdmitted", message=why)
        scratch = self._store.begin(course.job, course.runner)
        checkpoints = self._store.fetch(course.job, course.runner)
        # Fetching may have taken long.
        if refusal := course.refuse(self._handing_back):
            return refusal
        log_file = self._log_file(course.job)
        artifacts = self._artifacts.begin(course.job, course.runner, log_file)
        run = TrainJob(
            job=course.job,
            log=str(log_file),
            scratch=str(scratch),
            checkpoints=checkpoints,
            artifacts=str(artifacts),
        )
        self._hand_out(run)
        return self._follow(course, run)

    def _hand_out(self, run: TrainJob) -> None:
        self._trainers.hand_out(run)
        self._memory.begin(self._trainers.current.pid)

    def _announce(self, course: JobRun) -> None:
        given = course.job.checkpoints
        self._publisher.publish(
            course.runner,
            Started(
                host=self._host,
                # Without a training process the job is about to be handed back.
                pid=os.getpid() if self._trainers.missing else self._trainers.current.pid,
                slot=self._slot.name,
                device=self._slot.device,
                gap=None if self._left_at is None else time.monotonic() - self._left_at,
                resume_step=given[0].step if given else None,
            ),
        )
        course.announced = True

    def _follow(self, course: JobRun, run: TrainJob) -> Outcome:
        while course.outcome is None:
            course.consider_stopping(self._handing_back)
            if self._hurried or self._slots.hurrying:
                course.hurry()
                break
            for frame in self._wait(course.patience()):
                self._hear(course, run, frame)
            course.look_at_the_clock()
        if course.killed:
            self._trainers.renew()
        self._left_at = time.monotonic()
        assert course.outcome is not None, "hurrying makes one, too"
        return course.outcome

    def _hear(self, course: JobRun, run: TrainJob, frame: FromTrainer | None) -> None:
        if frame is None:
            course.trainer_died(self._trainers.current.wait())
            self._trainers.renew()
        elif isinstance(frame, Ready | Preloaded):
            self._trainers.note(frame)
        elif isinstance(frame, Stale):
            self._trainers.replace(frame.why, idle=True)
            course.hand_over()
            if course.outcome is None:
                self._hand_out(run)
        else:
            if isinstance(frame, Epoch):
                self._counts[Counter.EPOCHS] += 1
            course.hear(frame)

    def _wait(self, timeout: float | None) -> list[FromTrainer | None]:
        """Waits for the trainer, the doorbell or the timeout; returns frames, ``None`` for its end."""
        frames: list[FromTrainer | None] = []
        with selectors.DefaultSelector() as selector:
            if self._full:
                timeout = FULL_SECONDS if timeout is None else min(timeout, FULL_SECONDS)
            else:
                selector.register(self._trainers.current.wire, selectors.EVENT_READ)
            selector.register(self._wakeup, selectors.EVENT_READ)
            for key, _ in selector.select(timeout):
                if key.fileobj is self._wakeup:
                    if self._wakeup.clear():
                        # Here and not in the handler: that may run while this very thread holds the publisher's lock.
                        self._publisher.ask()
                    continue
                try:
                    frames.extend(decode_from_trainer(data) for data in self._trainers.current.wire.receive())
                except (SocketClosed, Malformed):
                    frames.append(None)
        return frames

    @property
    def _full(self) -> bool:
        """Whether the trainer is to wait; not one that was told to stop, which may be in the middle of a report."""
        course = self._course
        return course is not None and not course.stopping and self._publisher.in_memory() >= MOST_IN_MEMORY

    def _settle(self, grace: float) -> None:
        """Waits for the trainer to say that it is fit for the next job; replaces it where it is not, or is silent."""
        self._replies.stop()
        began = time.monotonic()
        while seconds := self._trainers.patience(grace, leaving=self._handing_back):
            left = began + seconds - time.monotonic()
            if left <= 0 or self._hurried or self._slots.hurrying:
                self._trainers.give_up(leaving=self._handing_back)
                return
            for frame in self._wait(left):
                self._trainers.note(frame)
        self._trainers.await_the_leaving()

    def _log_file(self, job: Job) -> Path:
        path = trial_log(self._slot.data, job.study, job.trial)
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made here, so that a disk without room is the host's trouble and not the end of the training process.
        os.close(open_log(path))
        return path

    def _alive(self) -> Heartbeat:
        self._counts[Counter.UNCONFIRMED] = self._publisher.unconfirmed()
        self._counts[Counter.SPILLED_BYTES] = self._publisher.spilled()
        self._counts[Counter.CUT_OFF] = int(self._publisher.away)
        course = self._course
        quiet, pace = (None, None) if course is None else course.silence()
        return Heartbeat(
            host=self._host,
            slot=self._slot.name,
            device=self._slot.device,
            busy=course is not None,
            queues=self._slot.queues,
            trouble=self._slots.trouble,
            quiet=quiet,
            pace=pace,
        )

    def _confirmed(self, runner: str, confirmation: Confirmation) -> None:
        course = self._course
        if course is not None and runner == course.runner and course.confirmed(confirmation):
            self._wakeup.set()

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        """The doorbell. Whatever it rings for, the confirmation says; the signal alone stops nothing."""
        del signum, frame
        if self._course is not None and self._course.rung is None:
            self._course.rung = time.monotonic()
        if self._slots.hurrying:
            self._trainers.hurry()

    def _on_terminate(self, signum: int, frame: FrameType | None) -> None:
        """Stops the trial, hands it back, then exits; at once where there is none. A second one hurries."""
        del signum, frame
        self._hurried, self._leaving = self._leaving, True
        if self._course is None and not self._closing:
            self._leave(drain=self._artifacts.pending or self._store.pending)
        if self._hurried:
            self._trainers.hurry()
        self._wakeup.set()

    def _leave(self, *, drain: bool) -> None:
        if drain:
            self.close()
        else:
            self._trainers.dismiss(wait=True)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
