"""The keeper of one slot: hands job after job to its warm trainer, and replaces a trainer that is not fit."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Collection
from types import FrameType

import msgspec
import redis

from tasks import log_lines
from tasks.contract import (
    Confirmation,
    Epoch,
    Failed,
    Finished,
    Heartbeat,
    Job,
    Outcome,
    Paused,
    Released,
)
from tasks.flower_row import TaskResult
from tasks.framed_socket import FramedSocket
from tasks.keeper.artifact_collector import ArtifactCollector
from tasks.keeper.binding import Binding
from tasks.keeper.checkpoint_stores import open_store
from tasks.keeper.handback import HandbackPolicy
from tasks.keeper.job_code import JobCode
from tasks.keeper.job_run import JobRun
from tasks.keeper.monitor_events import MonitorEvents, Send
from tasks.keeper.next_task import NextTask, NoNextTask
from tasks.keeper.peak_memory import PeakMemory
from tasks.keeper.publisher import FULL_SECONDS, Publisher
from tasks.keeper.replies import ReplyWaiter
from tasks.keeper.slot import OUTCOMES, Counter, Runner, Slot, SlotTable, Wakeup
from tasks.keeper.trainer_supervisor import TrainerSupervisor
from tasks.keeper.upload_queue import publish_end
from tasks.keeper.waiting import wait
from tasks.signing import UNSIGNED, Keyring
from tasks.trainer_messages import FromTrainer, Preloaded, Ready, Stale, TrainJob
from tasks.trial_files import make_trial_log

log = logging.getLogger(__name__)

MOST_IN_MEMORY = 50_000
"""Events in memory, where the disk takes no more, above which the objective waits in ``report``."""

DECLINE_SECONDS = 0.05
"""Seconds between two looks for a next task that is to be given back, while a trainer ends."""

DRAIN_SECONDS = 5.0
"""Seconds for which a keeper that ends waits for its last uploads and confirmations."""

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
"""Signals at which a keeper hands its trial back and ends."""


class Keeper:
    """Supervises one slot; lives in a Celery pool process, its ``run`` in that process's main thread.

    Args:
        slot: The slot.
        connect: Makes a Redis client; called once for each thread that needs one.
        send: Sends an event to Celery's monitors.
        heartbeat: Seconds between two heartbeats.
        slots: Memory that the worker's processes share.
        on_preload: Called with the result of importing the objective named at start.
        keyring: Signs events, and verifies the messages of the control plane.

    Attributes:
        next_task: Brings the next task while the one before ends.
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
        self.next_task: NextTask = NoNextTask()
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
        self._monitors = MonitorEvents(send)
        self._job_run: JobRun | None = None
        self._idle_since: float | None = None
        self._leaving = False
        self._hurried = False
        self._closing = False
        self._code = JobCode(slot, connect(), self._publisher, keyring)
        self._trainers = TrainerSupervisor(slot, self._counts, on_preload, *self._code.of_preload(on_preload))
        self._memory = PeakMemory()
        self._handback = HandbackPolicy(slot, slots, lambda: self._handing_back, self._wakeup.wait)

    def take_signals(self, *, ignore: Collection[signal.Signals] = ()) -> None:
        """Sets the signal handlers. Call it in the main thread, once Celery's pool has set its own.

        Args:
            ignore: Signals that the worker was started to ignore.
        """
        signal.signal(signal.SIGUSR2, self._on_signal)
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN if number in ignore else self._on_terminate)
        self._wakeup.take_signals()

    def start(self) -> None:
        """Starts the threads; heartbeats begin."""
        self._publisher.start()
        self._monitors.start()
        self._memory.start()
        self._trainers.watch_preload()

    def close(self) -> None:
        """Ends the trainer, and waits ``DRAIN_SECONDS`` for the last files and events."""
        self._closing = True
        deadline = time.monotonic() + DRAIN_SECONDS
        self._trainers.dismiss()
        # In this order: the outcome of a runner passes through all three.
        self._artifacts.close(DRAIN_SECONDS)
        self._store.close(max(0.5, deadline - time.monotonic()))
        self._publisher.close(max(0.5, deadline - time.monotonic()))
        self._monitors.close(0.5)
        self._trainers.await_ended()
        self._code.close()

    def run(self, job: Job) -> tuple[Outcome, TaskResult]:
        """Trains ``job`` to its end; returns the outcome and the result of its task.

        On return the slot is free for the next job. Whatever is raised on the way, an outcome is published and the
        heartbeats of the job end; a keeper that cannot publish one ends, and its worker reports that.
        """
        job_run = self._job_run = JobRun(
            job,
            self._trainers,
            self._publisher,
            self._replies,
            self._store,
            self._artifacts,
            self._monitors,
            ask_again=2 * self._heartbeat,
        )
        self._slots.set_runner(self._slot.index, Runner(job.token, job_run.runner))
        self._slots.set_busy(self._slot.index, True)
        try:
            self._publisher.begin(job.token, job_run.runner)
            with log_lines.job_context(job):
                outcome = self._outcome_of(job_run)
                self._publish(job_run, outcome)
                return outcome, self._conclude(job_run, outcome)
        except BaseException:
            self._leaving = True
            raise
        finally:
            self._job_run = None
            self._slots.set_busy(self._slot.index, False)
            if self._leaving:
                self._leave(drain=True)

    @property
    def _handing_back(self) -> bool:
        return self._slots.draining or self._leaving

    def _outcome_of(self, job_run: JobRun) -> Outcome:
        try:
            outcome = self._train(job_run)
        except Exception as error:  # from the disk, the system, or a bug
            outcome = job_run.outcome or self._handback.judge_error(job_run.job, error)
            # Its open files may be what has run out; the next keeper of this slot begins with none.
            self._leaving |= getattr(error, "errno", None) == errno.EMFILE
            if not self._trainers.missing and not self._trainers.current.ready:
                self._trainers.replace("its keeper could not go on with the trial")
            if not job_run.started_published:
                with contextlib.suppress(Exception):
                    self._publish_started(job_run)
        outcome = self._handback.judge(job_run.job, outcome)
        return msgspec.structs.replace(outcome, measured=job_run.measured)

    def _publish(self, job_run: JobRun, outcome: Outcome) -> None:
        """Publishes a runner's outcome, behind its files."""
        if self._artifacts.has_files:
            # To store them may take long.
            self.next_task.decline()
        try:
            self._artifacts.finish(job_run.runner, outcome)
        except Exception:  # the files of a trial may be anything
            log.exception("the end of trial %d is published without its files", job_run.job.trial)
            publish_end(self._publisher, job_run.runner, outcome)
        self._slots.set_runner(self._slot.index, None)

    def _conclude(self, job_run: JobRun, outcome: Outcome) -> TaskResult:
        """Reports a published outcome to the monitors, and makes the slot ready for the next job."""
        ending = TaskResult(type(outcome).__name__.lower(), revoked=not isinstance(outcome, Finished | Failed | Paused))
        try:
            self._counts[OUTCOMES[type(outcome)]] += 1
            if job_run.bound_elsewhere:
                # Monitors know a task by its id alone; the slot that runs this one reports it.
                self._monitors.forget()
                return ending
            # A worker that shuts down signals its keepers, too; that revokes no task.
            revoked = job_run.signalled_at is not None and not self._handing_back
            ending = self._monitors.end(outcome, job_run.cause, revoked=revoked)
            self._settle(job_run.job.grace)
        except Exception:  # the outcome is published already
            log.exception("trial %d is over, and its slot starts anew", job_run.job.trial)
            self._trainers.replace("its keeper could not go on")
        return ending

    def _train(self, job_run: JobRun) -> Outcome:
        """Runs the job, unless it must not be run."""
        self._trainers.await_preload()
        self._trainers.refresh()
        self._monitors.begin(job_run.job)
        binding = Binding(job_run, self._publisher, signed=self._signed, leaves=lambda: self._handing_back)
        binding.await_another()
        self._publish_started(job_run)
        # A task may be delivered twice. No user code runs until the control plane has said which runner is bound.
        if not binding.is_confirmed():
            return Released()
        if refusal := job_run.refusal(self._handing_back or not self._handback.may_train()):
            return refusal
        code = self._code.of(job_run, lambda: self._handing_back)
        if not isinstance(code, tuple):
            return code
        scratch = self._store.begin(job_run.job, job_run.runner)
        checkpoints = self._store.fetch(job_run.job, job_run.runner)
        # Fetching may have taken long.
        if refusal := job_run.refusal(self._handing_back):
            return refusal
        log_file = make_trial_log(self._slot.data, job_run.job.study, job_run.job.trial)
        artifacts = self._artifacts.begin(job_run.job, job_run.runner, log_file)
        order = TrainJob(
            job=job_run.job,
            log=str(log_file),
            scratch=str(scratch),
            checkpoints=checkpoints,
            artifacts=str(artifacts),
            code=code,
        )
        self._hand_out(order)
        return self._follow(job_run, order)

    def _hand_out(self, order: TrainJob) -> None:
        self._trainers.hand_out(order)
        self._memory.begin(self._trainers.current.pid)

    def _publish_started(self, job_run: JobRun) -> None:
        gap = None if self._idle_since is None else time.monotonic() - self._idle_since
        job_run.publish_started(self._host, self._slot.name, self._slot.device, gap)

    def _follow(self, job_run: JobRun, order: TrainJob) -> Outcome:
        while job_run.outcome is None:
            job_run.process_news(self._handing_back)
            if self._hurried or self._slots.hurrying:
                job_run.kill_now()
                break
            if job_run.stopping and not self._handing_back:
                self.next_task.expect()
            for frame in self._wait(job_run.seconds_until_due()):
                self._handle(job_run, order, frame)
            job_run.check_deadlines()
        job_run.measured |= self._memory.end()
        if job_run.killed:
            self._trainers.renew()
        self._idle_since = time.monotonic()
        assert job_run.outcome is not None, "hurrying makes one, too"
        return job_run.outcome

    def _handle(self, job_run: JobRun, order: TrainJob, frame: FromTrainer | None) -> None:
        if frame is None:
            job_run.trainer_died(self._trainers.current.wait())
            self._trainers.renew()
        elif isinstance(frame, Ready | Preloaded):
            self._trainers.handle(frame)
        elif isinstance(frame, Stale):
            self._trainers.replace(frame.why, idle=True)
            job_run.trainer_replaced()
            if job_run.outcome is None:
                self._hand_out(order)
        else:
            if isinstance(frame, Epoch):
                self._counts[Counter.EPOCHS] += 1
            job_run.handle(frame)

    def _wait(self, timeout: float | None) -> list[FromTrainer | None]:
        """Waits for the trainer, a wake-up or the timeout; returns messages, ``None`` for the trainer's end."""
        wire: FramedSocket | None = self._trainers.current.wire
        if self._full:
            wire, timeout = None, FULL_SECONDS if timeout is None else min(timeout, FULL_SECONDS)
        # The publisher is not asked in the signal handler, which may run while this thread holds its lock.
        return wait(wire, self._wakeup, self.next_task, timeout, self._publisher.ask)

    @property
    def _full(self) -> bool:
        """Whether the trainer must wait; one that was told to stop need not, it may be in the middle of a report."""
        job_run = self._job_run
        return job_run is not None and not job_run.stopping and self._publisher.in_memory() >= MOST_IN_MEMORY

    def _settle(self, grace: float) -> None:
        """Waits until the trainer is fit for the next job; replaces it where it is not, or does not answer."""
        self._replies.stop()
        began = time.monotonic()
        if self._trainers.keeps_its_process and not self._handing_back:
            self.next_task.expect()
        while seconds := self._trainers.seconds_to_wait(grace, leaving=self._handing_back):
            if not self._trainers.keeps_its_process:
                self.next_task.decline()
            left = began + seconds - time.monotonic()
            if left <= 0 or self._hurried or self._slots.hurrying:
                self._trainers.give_up(leaving=self._handing_back)
                return
            for frame in self._wait(left):
                self._trainers.handle(frame)
        if not self._trainers.keeps_its_process:
            self.next_task.decline()
        while not self._trainers.have_ended(DECLINE_SECONDS):
            self.next_task.decline()

    def _alive(self) -> Heartbeat:
        self._counts[Counter.UNCONFIRMED] = self._publisher.unconfirmed()
        self._counts[Counter.SPILLED_BYTES] = self._publisher.spilled()
        self._counts[Counter.CUT_OFF] = int(self._publisher.away)
        job_run = self._job_run
        quiet, pace = (None, None) if job_run is None else job_run.liveness()
        return Heartbeat(
            host=self._host,
            slot=self._slot.name,
            device=self._slot.device,
            busy=job_run is not None,
            queues=self._slot.queues,
            trouble=self._slots.trouble,
            quiet=quiet,
            pace=pace,
        )

    def _confirmed(self, runner: str, confirmation: Confirmation) -> None:
        job_run = self._job_run
        if job_run is not None and runner == job_run.runner and job_run.take_confirmation(confirmation):
            self._wakeup.set()

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        """Only wakes the keeper: the confirmation has the verdict, the signal alone stops nothing."""
        del signum, frame
        if self._job_run is not None and self._job_run.signalled_at is None:
            self._job_run.signalled_at = time.monotonic()
        if self._slots.hurrying:
            self._trainers.kill_ending()

    def _on_terminate(self, signum: int, frame: FrameType | None) -> None:
        """Hands the trial back, then exits; at once where there is none. A second signal ends the grace period."""
        del signum, frame
        self._hurried, self._leaving = self._leaving, True
        if self._job_run is None and not self._closing:
            self._leave(drain=self._artifacts.pending or self._store.pending)
        if self._hurried:
            self._trainers.kill_ending()
        self._wakeup.set()

    def _leave(self, *, drain: bool) -> None:
        if drain:
            self.close()
        else:
            self._trainers.dismiss(wait=True)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
