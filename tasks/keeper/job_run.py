"""One job from its start to its outcome: passes on the trainer's messages, and tells the trainer when to stop."""

from __future__ import annotations

import logging
import os
import statistics
import threading
import time
import uuid
from collections import deque
from typing import NamedTuple

from tasks.contract import (
    Artifact,
    Attribute,
    Confirmation,
    EnqueueTrial,
    Epoch,
    Failed,
    Finished,
    Imported,
    Job,
    Outcome,
    Parameter,
    Paused,
    ReadStudy,
    Released,
    Reply,
    Started,
    Stopped,
    StudyAttribute,
    StudyStop,
    StudyView,
    Suggest,
    Verdict,
)
from tasks.framed_socket import FrameTooLarge
from tasks.keeper.artifact_collector import ArtifactCollector
from tasks.keeper.checkpoint_stores import CheckpointStore
from tasks.keeper.monitor_events import MonitorEvents
from tasks.keeper.publisher import Publisher
from tasks.keeper.replies import ReplyWaiter
from tasks.keeper.trainer_process import describe_exit
from tasks.keeper.trainer_supervisor import TrainerSupervisor
from tasks.process_identity import with_namespace
from tasks.trainer_messages import (
    CheckpointSaved,
    FromTrainer,
    ModelSaved,
    Question,
    Stop,
    StudyReply,
    SuggestReply,
    TrialLeft,
)

log = logging.getLogger(__name__)

REPORT_GAPS_KEPT = 50
"""Latest gaps between two reports; their median is the pace of a trial."""

MOST_REPORTED = 10_000
"""Reports whose time is kept, for the latency of a stop; a verdict is about one of the latest."""


class _Question(NamedTuple):
    """A question that the objective waits for, and when it was published."""

    asked: Question
    since: float

    @property
    def name(self) -> str:
        """Name of the answer."""
        return "" if isinstance(self.asked.question, ReadStudy) else self.asked.question.name


class JobRun:
    """State of the job that a keeper trains, and the reactions to what happens to it.

    Args:
        job: The job.
        trainers: Holds the trainer.
        publisher: Publishes events.
        replies: Waits for the answers to questions.
        store: Stores checkpoints.
        artifacts: Stores models.
        monitors: Sends events to Celery's monitors.
        ask_again: Seconds after which an unanswered question is asked again.
    """

    def __init__(
        self,
        job: Job,
        trainers: TrainerSupervisor,
        publisher: Publisher,
        replies: ReplyWaiter,
        store: CheckpointStore,
        artifacts: ArtifactCollector,
        monitors: MonitorEvents,
        *,
        ask_again: float,
    ) -> None:
        self.job = job
        # By the namespace a control plane knows whether the trainer's process id means anything to it.
        self.runner = with_namespace(uuid.uuid4().hex)
        self.outcome: Outcome | None = None
        self.measured: dict[str, float] = {}
        self.killed = False
        self.started_published = False
        self.signalled_at: float | None = None
        self._trainers = trainers
        self._publisher = publisher
        self._replies = replies
        self._store = store
        self._artifacts = artifacts
        self._monitors = monitors
        self._ask_again = ask_again
        self._confirmations: deque[Confirmation] = deque()
        self._bound = threading.Event()
        self._reported: dict[int, float] = {}
        self._verdict: Verdict | None = None
        self._fenced = False
        self._stalled = self._out_of_time = False
        self._began = time.monotonic()
        self._active_at = time.monotonic()
        self._imported = False
        self._report_gaps: deque[float] = deque(maxlen=REPORT_GAPS_KEPT)
        self._reported_at: float | None = None
        self._saved_at: float | None = None
        self._leaving_since: float | None = None
        self._stop_sent: float | None = None
        self._questions: dict[int, _Question] = {}

    def publish_started(self, host: str, slot: str, device: str, gap: float | None) -> None:
        """Publishes the start of the job; ``gap`` is how long the slot had been idle, in seconds."""
        given = self.job.checkpoints
        self._publisher.publish_now(
            self.runner,
            Started(
                host=host,
                # Without a training process the job is about to be handed back.
                pid=os.getpid() if self._trainers.missing else self._trainers.current.pid,
                slot=slot,
                device=device,
                gap=gap,
                resume_step=given[0].step if given else None,
            ),
        )
        self.started_published = True

    def take_confirmation(self, confirmation: Confirmation) -> bool:
        """Takes a confirmation from the publisher's thread; returns whether the keeper must wake up for it."""
        self._confirmations.append(confirmation)
        if confirmation.runner or confirmation.verdict is not None:
            self._bound.set()
        return confirmation.verdict is not None or confirmation.runner != self.runner

    def await_binding(self, timeout: float) -> bool:
        """Waits until the control plane has bound a runner to the attempt; returns whether it has."""
        return self._bound.wait(timeout)

    @property
    def bound(self) -> bool:
        """Whether the control plane has bound a runner to the attempt, or decided about it."""
        return self._bound.is_set()

    @property
    def bound_elsewhere(self) -> bool:
        """Whether the task was delivered twice: another runner is bound to the attempt, and nothing has run here."""
        return self._fenced and self.outcome is None

    def refusal(self, leaving: bool) -> Outcome | None:
        """Returns the outcome of a job that must not begin, else ``None``."""
        self._take_confirmations()
        return self._stop_outcome(killed=False) if self._must_stop or leaving else None

    def process_news(self, leaving: bool) -> None:
        """Acts on confirmations, replies and a shutdown of the worker: passes replies on, stops the trainer."""
        self._take_confirmations()
        for reply in self._replies.take():
            self._answer(reply)
        if leaving and self._leaving_since is None:
            self._leaving_since = time.monotonic()
        if self._stop_sent is None and (self._must_stop or (leaving and not self._about_to_save)):
            self._stop()

    def liveness(self) -> tuple[float | None, float | None]:
        """Returns how long a report is overdue and the pace of the reports, in seconds. Any thread may call it."""
        pauses = list(self._report_gaps)
        expected = self._imported and not self._questions and self._stop_sent is None and self.outcome is None
        return (
            time.monotonic() - self._active_at if expected else None,
            statistics.median(pauses) if pauses else None,
        )

    @property
    def cause(self) -> str:
        """Cause of the verdict about the attempt; empty where there is none."""
        return self._verdict.cause if self._verdict else ""

    @property
    def stopping(self) -> bool:
        """Whether the trainer was told to stop."""
        return self._stop_sent is not None

    def seconds_until_due(self) -> float | None:
        """Returns the seconds until ``check_deadlines`` is due, ``None`` where it is not."""
        due = self._due()
        return max(0.0, min(due) - time.monotonic()) if due else None

    def check_deadlines(self) -> None:
        """Kills a trainer whose grace period is over, asks unanswered questions again, stops an objective that is
        stalled or has used up its time."""
        if self.outcome is not None:
            return
        now = time.monotonic()
        if self._stop_sent is None:
            if self.job.limit is not None and now >= self._began + self.job.limit:
                self._out_of_time = True
                self._stop()
            elif self._questions:
                for seq, waiting in list(self._questions.items()):
                    if now >= waiting.since + self._ask_again:
                        # The answer may be lost with the server; asking again gives the same value.
                        del self._questions[seq]
                        self._ask(waiting.asked)
            elif self.job.stall is not None and now >= self._active_at + self.job.stall:
                self._stalled = True
                self._stop()
            return
        if now < self._kill_at(self._stop_sent):
            return
        self._kill(f"did not leave in {self.job.grace:.3g} s")

    def kill_now(self) -> None:
        """Kills the trainer without a grace period: the worker was told to stop a second time."""
        if self.outcome is None:
            self._kill("gets no grace period, for the worker was told to stop twice")

    def _kill(self, why: str) -> None:
        code = self._trainers.current.kill()
        about = {"action": "trainer_killed"}
        log.warning("trial %d %s, ended (%s)", self.job.trial, why, describe_exit(code), extra=about)
        self.outcome = self._stop_outcome(killed=True)
        self.killed = True

    def handle(self, frame: FromTrainer) -> None:
        """Handles a message of the trainer."""
        if isinstance(frame, Epoch | CheckpointSaved | Imported):
            self._active_at = time.monotonic()
            # Before its objective is imported nothing is expected: that may take long.
            self._imported = True
        match frame:
            case Epoch(step=step):
                if self._reported_at is not None:
                    self._report_gaps.append(self._active_at - self._reported_at)
                self._reported_at = self._active_at
                self._reported.setdefault(step, time.monotonic())
                if len(self._reported) > MOST_REPORTED:
                    del self._reported[next(iter(self._reported))]
                self._publisher.publish(self.runner, frame)
                self._monitors.epoch(frame)
            case Question():
                self._ask(frame)
            case Suggest() | Attribute() | StudyAttribute() | EnqueueTrial() | StudyStop() | Imported():
                self._publisher.publish(self.runner, frame)
            case CheckpointSaved():
                self._saved_at = time.monotonic()
                self._store.keep(self.job, self.runner, frame)
            case ModelSaved():
                self._artifacts.keep(frame)
            case Artifact(ref=ref) if ref.kind == "elsewhere":
                self._publisher.publish(self.runner, frame)
            case Finished() | Failed() | Paused():
                self.outcome = frame
                self.measured = frame.measured
            case TrialLeft():
                self.measured = frame.measured
                self.outcome = self._stop_outcome(killed=False)

    def trainer_replaced(self) -> None:
        """The trainer was replaced before it ran anything of the job; ends a job that was told to stop."""
        if self.stopping:
            self.outcome = self._stop_outcome(killed=False)

    def trainer_died(self, code: int) -> None:
        """The trainer has ended; after its outcome this changes nothing about the trial."""
        if self.outcome is not None:
            return
        if self._stop_sent is not None:
            self.outcome = self._stop_outcome(killed=True)
            return
        self.outcome = Failed(
            cause="died",
            error="TrainingProcessDied",
            message=f"the training process ended with {describe_exit(code)}",
            exit_code=code,
        )

    @property
    def _about_to_save(self) -> bool:
        """Whether a worker that shuts down waits for a checkpoint: the objective has saved one before, and has the
        first half of its grace period to save the next one."""
        since, saved = self._leaving_since, self._saved_at
        if since is None or saved is None:
            return False
        return saved < since and time.monotonic() < since + self.job.grace / 2

    def _due(self) -> list[float]:
        """Returns the times of the next deadlines, on the monotonic clock."""
        if self._stop_sent is not None:
            return [self._kill_at(self._stop_sent)]
        due = [] if self._leaving_since is None else [self._leaving_since + self.job.grace / 2]
        if self.job.limit is not None:
            due.append(self._began + self.job.limit)
        if self._questions:
            due.append(min(waiting.since for waiting in self._questions.values()) + self._ask_again)
        elif self.job.stall is not None:
            due.append(self._active_at + self.job.stall)
        return due

    def _kill_at(self, stop_sent: float) -> float:
        """Returns the end of the grace period, which in a shutdown begins before the trainer is told."""
        since = stop_sent if self._leaving_since is None else min(stop_sent, self._leaving_since)
        return since + self.job.grace

    @property
    def _must_stop(self) -> bool:
        return self._verdict is not None or self._fenced

    def _take_confirmations(self) -> None:
        while self._confirmations:
            confirmation = self._confirmations.popleft()
            self._verdict = self._verdict or confirmation.verdict
            self._fenced = self._fenced or confirmation.runner not in ("", self.runner)

    def _ask(self, asked: Question) -> None:
        seq = self._publisher.publish(self.runner, asked.question)
        self._questions[seq] = _Question(asked, time.monotonic())
        self._replies.wait(self.runner)

    def _answer(self, reply: Reply) -> None:
        waiting = self._questions.get(reply.seq) if reply.runner == self.runner else None
        if waiting is not None and waiting.name == reply.name:
            del self._questions[reply.seq]
            self._active_at = time.monotonic()
            self._pass_on(reply, waiting.asked)
        if self._questions:
            self._replies.wait(self.runner)
        else:
            self._replies.stop()

    def _pass_on(self, reply: Reply, asked: Question) -> None:
        question = asked.question
        if isinstance(question, ReadStudy):
            try:
                self._trainers.current.send(
                    StudyReply(id=asked.id, study=reply.study or StudyView(), error=reply.error)
                )
            except FrameTooLarge as error:
                # From an earlier control plane, which did not check the size.
                self._trainers.current.send(StudyReply(id=asked.id, error=str(error)))
            return
        self._trainers.current.send(SuggestReply(id=asked.id, name=question.name, value=reply.value, error=reply.error))
        if not reply.error:
            parameter = Parameter(value=reply.value, distribution=question.distribution)
            self._monitors.parameter(question.name, parameter)

    def _stop(self) -> None:
        self._stop_sent = time.monotonic()
        self._trainers.current.send(Stop(token=self.job.token))

    def _stop_outcome(self, *, killed: bool) -> Outcome:
        if not self._must_stop:
            if self._out_of_time:
                return Failed(cause="time", error="OutOfTime", message="it has trained for as long as a trial may")
            if self._stalled:
                return Failed(cause="stalled", error="Stalled", message=f"no report for {self.job.stall:g} s")
            return Released()
        now = time.monotonic()
        step = self._verdict.step if self._verdict else None
        reported = None if step is None else self._reported.get(step)
        return Stopped(
            latency=None if reported is None else now - reported,
            signal_latency=None if self.signalled_at is None else now - self.signalled_at,
            killed=killed,
        )
