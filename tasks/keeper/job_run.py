"""One job from its start to its outcome: what the trainer says is passed on, what it must be told is told."""

from __future__ import annotations

import logging
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

PAUSES_KEPT = 50
"""Pauses between two reports that a trial's pace is the median of."""

MOST_REPORTED = 10_000
"""Reports whose moment is remembered, to say how long a stop took; a verdict is about one of the last."""


class _Question(NamedTuple):
    """One that the objective waits for the answer to, and when it was asked."""

    asked: Question
    since: float

    @property
    def name(self) -> str:
        """What the answer is called."""
        return "" if isinstance(self.asked.question, ReadStudy) else self.asked.question.name


class JobRun:
    """What the keeper knows of the job at hand, and does about it.

    Args:
        job: The job.
        trainers: Holds the trainer.
        publisher: Takes what is said.
        replies: Waits for the answers to what is asked.
        store: Takes checkpoints.
        artifacts: Takes models.
        herald: Tells the monitors.
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
        herald: MonitorEvents,
        *,
        ask_again: float,
    ) -> None:
        self.job = job
        # By this a control plane knows whether the trainer's process id means anything to it.
        self.runner = with_namespace(uuid.uuid4().hex)
        self.outcome: Outcome | None = None
        self.measured: dict[str, float] = {}
        self.killed = False
        self.announced = False
        self.rung: float | None = None
        self._trainers = trainers
        self._publisher = publisher
        self._replies = replies
        self._store = store
        self._artifacts = artifacts
        self._herald = herald
        self._ask_again = ask_again
        self._confirmations: deque[Confirmation] = deque()
        self._bound = threading.Event()
        self._reported: dict[int, float] = {}
        self._verdict: Verdict | None = None
        self._fenced = False
        self._stalled = False
        self._moved = time.monotonic()
        self._expected = False
        self._pauses: deque[float] = deque(maxlen=PAUSES_KEPT)
        self._epoch_at: float | None = None
        self._saved: float | None = None
        self._leaving_since: float | None = None
        self._stop_sent: float | None = None
        self._waiting: dict[int, _Question] = {}

    def confirmed(self, confirmation: Confirmation) -> bool:
        """Takes news from the publisher's thread; returns whether they are worth a ring."""
        self._confirmations.append(confirmation)
        if confirmation.runner or confirmation.verdict is not None:
            self._bound.set()
        return confirmation.verdict is not None or confirmation.runner != self.runner

    def await_binding(self, timeout: float) -> bool:
        """Waits until the control plane has bound a runner to the attempt; returns whether it has."""
        return self._bound.wait(timeout)

    @property
    def bound(self) -> bool:
        """Whether the control plane has said anything of a runner of the attempt, or decided about it."""
        return self._bound.is_set()

    @property
    def is_another_slots(self) -> bool:
        """Whether the task came twice: another runner is bound to the attempt, and nothing has run here."""
        return self._fenced and self.outcome is None

    def refuse(self, leaving: bool) -> Outcome | None:
        """Returns the outcome of a job whose trainer must not even begin."""
        self._take_confirmations()
        return self._stop_outcome(killed=False) if self._condemned or leaving else None

    def consider_stopping(self, leaving: bool) -> None:
        """Acts on what is known of the attempt: a verdict, another runner bound to it, a worker that shuts down."""
        self._take_confirmations()
        for reply in self._replies.take():
            self._answer(reply)
        if leaving and self._leaving_since is None:
            self._leaving_since = time.monotonic()
        if self._stop_sent is None and (self._condemned or (leaving and not self._about_to_save)):
            self._stop()

    def silence(self) -> tuple[float | None, float | None]:
        """Returns for how long nothing has come that should, and the pace of the reports; called in any thread."""
        pauses = list(self._pauses)
        expected = self._expected and not self._waiting and self._stop_sent is None and self.outcome is None
        return (
            time.monotonic() - self._moved if expected else None,
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

    def patience(self) -> float | None:
        """Returns the seconds until ``look_at_the_clock`` is due, ``None`` where it is not."""
        due = self._due()
        return max(0.0, min(due) - time.monotonic()) if due else None

    def look_at_the_clock(self) -> None:
        """Ends a trainer whose grace period is over, which is ``killed`` then; asks again for a value that is late;
        stops an objective that has stalled."""
        if self.outcome is not None:
            return
        now = time.monotonic()
        if self._stop_sent is None:
            if self._waiting:
                for seq, waiting in list(self._waiting.items()):
                    if now >= waiting.since + self._ask_again:
                        # The answer may have been lost with the server; asking again gives the same value.
                        del self._waiting[seq]
                        self._ask(waiting.asked)
            elif self.job.stall is not None and now >= self._moved + self.job.stall:
                self._stalled = True
                self._stop()
            return
        if now < self._kill_at(self._stop_sent):
            return
        self._kill(f"did not leave in {self.job.grace:.3g} s")

    def hurry(self) -> None:
        """Ends the trainer at once, without a grace period: the worker was told to stop a second time."""
        if self.outcome is None:
            self._kill("gets no grace period, for the worker was told to stop twice")

    def _kill(self, why: str) -> None:
        code = self._trainers.current.kill()
        about = {"action": "trainer_killed"}
        log.warning("trial %d %s, ended (%s)", self.job.trial, why, describe_exit(code), extra=about)
        self.outcome = self._stop_outcome(killed=True)
        self.killed = True

    def hear(self, frame: FromTrainer) -> None:
        """Passes on what the trainer says."""
        if isinstance(frame, Epoch | CheckpointSaved | Imported):
            self._moved = time.monotonic()
            # Before its objective is imported nothing is expected: that may take long.
            self._expected = True
        match frame:
            case Epoch(step=step):
                if self._epoch_at is not None:
                    self._pauses.append(self._moved - self._epoch_at)
                self._epoch_at = self._moved
                self._reported.setdefault(step, time.monotonic())
                if len(self._reported) > MOST_REPORTED:
                    del self._reported[next(iter(self._reported))]
                self._publisher.publish(self.runner, frame)
                self._herald.epoch(frame)
            case Question():
                self._ask(frame)
            case Suggest() | Attribute() | StudyAttribute() | EnqueueTrial() | StudyStop() | Imported():
                self._publisher.publish(self.runner, frame)
            case CheckpointSaved():
                self._saved = time.monotonic()
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

    def hand_over(self) -> None:
        """Another trainer is to run the job, of which nothing has been run; one that was told to stop has ended."""
        if self.stopping:
            self.outcome = self._stop_outcome(killed=False)

    def trainer_died(self, code: int) -> None:
        """The trainer has ended. Doing so after its last word changes nothing about the trial."""
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
        """Whether the worker shuts down and a checkpoint is worth waiting for: the objective has saved some before, and
        may save the next one in the first half of its grace period."""
        since, saved = self._leaving_since, self._saved
        if since is None or saved is None:
            return False
        return saved < since and time.monotonic() < since + self.job.grace / 2

    def _due(self) -> list[float]:
        """Returns the moments at which something is to be done."""
        if self._stop_sent is not None:
            return [self._kill_at(self._stop_sent)]
        due = [] if self._leaving_since is None else [self._leaving_since + self.job.grace / 2]
        if self._waiting:
            due.append(min(waiting.since for waiting in self._waiting.values()) + self._ask_again)
        elif self.job.stall is not None:
            due.append(self._moved + self.job.stall)
        return due

    def _kill_at(self, stop_sent: float) -> float:
        """The grace period of a worker that shuts down has begun before its trainer was told."""
        since = stop_sent if self._leaving_since is None else min(stop_sent, self._leaving_since)
        return since + self.job.grace

    @property
    def _condemned(self) -> bool:
        return self._verdict is not None or self._fenced

    def _take_confirmations(self) -> None:
        while self._confirmations:
            confirmation = self._confirmations.popleft()
            self._verdict = self._verdict or confirmation.verdict
            self._fenced = self._fenced or confirmation.runner not in ("", self.runner)

    def _ask(self, asked: Question) -> None:
        seq = self._publisher.publish(self.runner, asked.question)
        self._waiting[seq] = _Question(asked, time.monotonic())
        self._replies.wait(self.runner)

    def _answer(self, reply: Reply) -> None:
        waiting = self._waiting.get(reply.seq) if reply.runner == self.runner else None
        if waiting is not None and waiting.name == reply.name:
            del self._waiting[reply.seq]
            self._moved = time.monotonic()
            self._pass_on(reply, waiting.asked)
        if self._waiting:
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
                # From a control plane of before, which did not look at that.
                self._trainers.current.send(StudyReply(id=asked.id, error=str(error)))
            return
        self._trainers.current.send(SuggestReply(id=asked.id, name=question.name, value=reply.value, error=reply.error))
        if not reply.error:
            parameter = Parameter(value=reply.value, distribution=question.distribution)
            self._herald.parameter(question.name, parameter)

    def _stop(self) -> None:
        self._stop_sent = time.monotonic()
        self._trainers.current.send(Stop(token=self.job.token))

    def _stop_outcome(self, *, killed: bool) -> Outcome:
        if not self._condemned:
            if self._stalled:
                return Failed(cause="stalled", error="Stalled", message=f"no report for {self.job.stall:g} s")
            return Released()
        now = time.monotonic()
        step = self._verdict.step if self._verdict else None
        reported = None if step is None else self._reported.get(step)
        return Stopped(
            latency=None if reported is None else now - reported,
            signal_latency=None if self.rung is None else now - self.rung,
            killed=killed,
        )
