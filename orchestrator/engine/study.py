"""The engine of one study: inputs in, rows to write and things to do out."""

from __future__ import annotations

import math
from typing import assert_never

import msgspec

from orchestrator.engine import inputs, notifications, sampled, user_commands
from orchestrator.engine.annotations import annotate, annotate_study, note_measured
from orchestrator.engine.inputs import EventReceived, Input
from orchestrator.engine.outputs import Batch, Revoke
from orchestrator.engine.scheduling import advance
from orchestrator.engine.state import Snapshot, Study
from orchestrator.engine.study_view import view
from orchestrator.model.attribute_keys import SILENT
from orchestrator.model.changeset import AttemptRow
from orchestrator.model.lifecycle import AttemptEvent, AttemptState
from orchestrator.model.progress_events import OtherSource, TakenUp, TrialEnded
from orchestrator.model.study_states import ENDED
from orchestrator.pruning import Decision
from orchestrator.sampling.questions import Answer
from orchestrator.spec import Spec
from tasks.codec import is_checkpoint_of
from tasks.contract import (
    TERMINAL,
    Artifact,
    Attribute,
    Checkpoint,
    CodeWanted,
    EnqueueTrial,
    Epoch,
    Event,
    Failed,
    FailureCause,
    Finished,
    Heartbeat,
    Imported,
    Lost,
    Paused,
    ReadStudy,
    Released,
    Revoked,
    Started,
    Stopped,
    StudyAttribute,
    StudyStop,
    Suggest,
    Unreadable,
)

_ENDS_THE_STUDY = ("import", "checkpoint")
"""Failures that every other trial would share."""


class StudyEngine(Study):
    """Folds what happens to one study. The same inputs in the same order give the same outputs.

    Nothing is handed out before ``take``; the caller commits its changes and then does what it asks for. When the
    commit fails for good, the engine is thrown away and made again from the database.

    Args:
        snapshot: The study as it is stored.
        at: Now, in seconds since the epoch.
    """

    def __init__(self, snapshot: Snapshot, at: float) -> None:
        super().__init__(snapshot)
        self._swept = False
        self.storage.now = at
        if not snapshot.trials:
            for params in snapshot.spec.enqueue:
                self.trials.enqueue(params)
        if self.state not in ENDED:
            user_commands.adopt(self, at)
        advance(self, at)

    # -- inputs

    def apply(self, input: Input, at: float) -> None:
        """Takes an input in, and does what follows from it.

        Args:
            input: What has happened. An event while a verdict is awaited comes later; see ``awaits_verdict``.
            at: Now, in seconds since the epoch.
        """
        self.storage.now = at
        if self._take_in(input, at):
            advance(self, at)

    def _take_in(self, input: Input, at: float) -> bool:
        """Returns whether anything may follow from the input."""
        match input:
            case EventReceived():
                return self._fold(input.event, at)
            case inputs.SamplerAnswered():
                self._take_answer(input.answer, at)
            case inputs.LookaheadChanged():
                self.set_lookahead(input.trials)
            case inputs.AttemptLost():
                return self._lose(input.token, input.cause, at)
            case inputs.SilenceChanged():
                row, silence = self.attempts[input.token], input.silence
                if self.runs(row):
                    self.storage.set_trial_system_attr(
                        row.trial, SILENT, None if silence is None else silence._asdict()
                    )
                return False
            case inputs.TaskMissing():
                self._resend(input.token, at)
                return False
            case inputs.SlotsCounted():
                self.slots = input.slots
            case inputs.TimePassed():
                pass
            case inputs.SpecChanged():
                user_commands.change_spec(self, Spec.from_json(input.spec), at)
            case inputs.TrialEnqueued():
                user_commands.enqueue(self, input.params, at)
            case inputs.TrialRetried():
                user_commands.retry(self, input.trial, at)
            case inputs.StudyPaused():
                user_commands.steer(self, "paused", "", at)
            case inputs.StudyInterrupted():
                user_commands.interrupt(self, at)
            case inputs.StudyResumed():
                user_commands.steer(self, "running", "", at)
            case inputs.StudyStopped():
                user_commands.steer(self, "stopped", input.reason, at)
            case _:
                assert_never(input)
        return True

    def _take_answer(self, answer: Answer, at: float) -> None:
        """Takes in an answer; one that is not waited for is dropped."""
        if self.trials.questions.take_answer(answer) is None:
            return
        self.trials.sampler.take_answer(answer)
        if answer.kind != "report":
            sampled.take(self, answer, at)
            return
        decision = self.trials.decisions.take_answer(answer, at)
        row = self.attempts.live(answer.trial)
        if row is not None and decision is not None:
            self._decide(row, decision, at)

    def _lose(self, token: str, cause: str, at: float) -> bool:
        row = self.attempts[token]
        if not self.attempts.move(row, AttemptEvent.LOSE, at):
            return False
        row.cause = cause
        row.verdict = row.verdict or "lost"
        self.revokes.append(Revoke(token))
        self.retry_attempt(row, at, Failed(cause="lost", error="Lost", message=cause))
        return True

    def _resend(self, token: str, at: float) -> None:
        row = self.attempts[token]
        staged = any(send.job.token == token for send in self.sends)
        if row.state == AttemptState.SENT and self.state in ("running", "ending") and not staged:
            self.send(row, at)

    # -- events of attempts

    def _fold(self, event: Event, at: float) -> bool:
        """Folds one event of an attempt of the study; returns whether anything may follow from it.

        Events count in the order of their numbers, each once, and of the runner that is bound to the attempt; all
        others are counted as dropped.
        """
        row = self.attempts[event.token]
        self.attempts.touched.add(row.token)
        body = event.body
        if isinstance(body, Revoked):
            self._revoked(row, body, at)
        elif isinstance(body, Heartbeat):
            return False
        elif isinstance(body, Started) and event.seq == 1 and self.attempts.bind(row, event.runner, body, at):
            row.acknowledged = 1
            if self.runs(row) and not self.attempts.continues(row):
                self.storage.start_trial(row.trial)
        elif event.runner != row.runner:
            self.counts["stale"] += 1
            # While no runner is bound, the keeper sends this again behind its start.
            if isinstance(body, Artifact) and row.runner:
                self.artifacts.refuse(row, body.ref)
        elif event.seq <= row.acknowledged:
            self.counts["duplicate"] += 1
            if isinstance(body, Suggest) and not body.used:
                sampled.suggest(self, row, event.seq, body)
            elif isinstance(body, ReadStudy):
                self._look(row, event.seq)
        elif row.state not in (AttemptState.RUNNING, AttemptState.STOPPING):
            # What a superseded runner still has to say is taken off its hands and dropped.
            row.acknowledged = event.seq
            if isinstance(body, Checkpoint) and is_checkpoint_of(row.token, body.ref.location):
                self.checkpoints.refuse(row.trial, body.ref)
            elif isinstance(body, Artifact):
                self.artifacts.refuse(row, body.ref)
            self.counts["stale"] += 1
        elif event.seq > row.acknowledged + 1:
            self.counts["gap"] += 1
            return False
        else:
            row.acknowledged = event.seq
            self._accept(row, event, at)
            return not isinstance(body, Epoch) or self._ends_more_than_an_epoch(row)
        return True

    def _ends_more_than_an_epoch(self, row: AttemptRow) -> bool:
        """Whether anything may follow from an epoch that was just recorded. Most are of trials that go on, and nothing
        is due that was not due before."""
        limited = self.spec.max_total_steps is not None or self.deadline is not None
        return limited or self.trials.promotes or bool(self.trials.trouble) or not self.runs(row)

    def _accept(self, row: AttemptRow, event: Event, at: float) -> None:
        body = event.body
        if isinstance(body, Epoch):
            # Most events are.
            self._epoch(row, body, at)
            return
        if isinstance(body, TERMINAL) and body.measured:
            note_measured(self.storage, row.trial, body.measured)
        match body:
            case Suggest():
                sampled.suggest(self, row, event.seq, body)
            case ReadStudy():
                self._look(row, event.seq)
            case Imported():
                if self.runs_or_counts_late(row):
                    self.trials.note_source(row.trial, body.digest)
            case Artifact():
                # Also of a trial that has ended: what it had to show when it was stopped is still to come then.
                if not self.artifacts.add(row, body.ref, at):
                    self.counts["unreadable"] += 1
            case Attribute():
                if self.runs_or_counts_late(row) and not annotate(self.storage, row.trial, body):
                    self.counts["unreadable"] += 1
            case StudyAttribute():
                if self.runs_or_counts_late(row) and not annotate_study(self.storage, body):
                    self.counts["unreadable"] += 1
            case EnqueueTrial():
                if self.runs_or_counts_late(row) and not self.trials.enqueue_within(body):
                    self.counts["unreadable"] += 1
            case Checkpoint():
                self._checkpoint(row, body, at)
            case Finished():
                self._finished(row, body, at)
            case Failed():
                self._failed(row, body, at)
            case Paused():
                self._paused(row, at)
            case Stopped():
                self.attempts.record_stop(row, body)
                self._left(row, "obeyed", at)
            case Released():
                self._left(row, "released", at)
            case StudyStop():
                self._stop_study(at)
            case Unreadable():
                self.counts["unreadable"] += 1
            case CodeWanted():
                # Answered beside the fold; here only its number counts.
                pass
            case Started() | Heartbeat() | Revoked() | Lost():
                self.counts["unexpected"] += 1
            case _:
                assert_never(body)

    def _epoch(self, row: AttemptRow, body: Epoch, at: float) -> None:
        if self.runs_or_counts_late(row):
            decision = self.trials.report(row.trial, body.step, body.value, at)
            if decision is not None:
                self._decide(row, decision, at)

    def _decide(self, row: AttemptRow, decision: Decision, at: float) -> None:
        """Does what a rule decided about the trial of a live attempt."""
        if decision.prune:
            self.trials.prune(row.trial, decision, at)
            self.stop_attempt(row, "pruned", decision.step, at)

    def _look(self, row: AttemptRow, seq: int) -> None:
        """Shows the study as it is at this place in the order of events."""
        if self.runs_or_counts_late(row):
            self.replies.append(view(self.storage, row.runner, seq))

    def _checkpoint(self, row: AttemptRow, body: Checkpoint, at: float) -> None:
        if not is_checkpoint_of(row.token, body.ref.location):
            self.counts["foreign"] += 1
        elif self.runs_or_counts_late(row):
            self.checkpoints.add(row.trial, body.ref, at)
        elif not self.trials.is_open(row.trial):
            self.checkpoints.refuse(row.trial, body.ref)

    def _stop_study(self, at: float) -> None:
        """Starts no more trials, and lets those end that run; a study that has ended stays as it is."""
        if self.state in ENDED:
            self.counts["late"] += 1
            return
        self.stop_starting_trials("the objective stopped the study", at)

    def _finished(self, row: AttemptRow, body: Finished, at: float) -> None:
        self.end_attempt(row, "finished", at)
        if not self.trials.is_open(row.trial):
            # Pruned at an earlier step while this was on its way; what was decided first stays.
            self.counts["late"] += 1
        elif body.pruned:
            self.trials.end_pruned(row.trial, "pruned by the objective itself", at)
        elif len(body.values) != len(self.spec.objectives) or any(map(math.isnan, body.values)):
            message = f"{list(body.values)} is not a number for each of {len(self.spec.objectives)} objectives"
            cause: FailureCause = "nan" if any(map(math.isnan, body.values)) else "value"
            self.retry_attempt(row, at, Failed(cause=cause, error="ValueError", message=message))
        else:
            self.trials.complete(row.trial, list(body.values), at)

    def _failed(self, row: AttemptRow, body: Failed, at: float) -> None:
        self.end_attempt(row, f"{body.cause}: {body.error}", at)
        if not self.trials.is_open(row.trial):
            return
        if body.cause == "time" and self.spec.timed_out == "pruned":
            reported = self.storage.get_trial(row.trial).intermediate_values.values()
            if values := [value for value in reported if not math.isnan(value)]:
                best = max(values) if self.spec.direction == "maximize" else min(values)
                self.trials.end_pruned(row.trial, "it has trained for as long as a trial may", at, best)
                return
        self.retry_attempt(row, at, body)
        if body.cause in _ENDS_THE_STUDY:
            self.end("failed", body.message, at)

    def _paused(self, row: AttemptRow, at: float) -> None:
        """The attempt's slice is over. Its trial is promoted later, or stays where it is."""
        if self.runs(row) and self.trials.slice(row.trial) is not None:
            self.attempts.move(row, AttemptEvent.PAUSE, at)
            self.trials.pause(row.trial)
        else:
            self._left(row, "obeyed", at)

    def _left(self, row: AttemptRow, cause: str, at: float) -> None:
        """A runner has left without having finished: by verdict, or because its worker shuts down."""
        self.end_attempt(row, cause, at)
        self.retry_attempt(row, at)

    def _revoked(self, row: AttemptRow, body: Revoked, at: float) -> None:
        if row.verdict or not self.trials.is_open(row.trial) or self.attempts.live(row.trial) is not row:
            return
        # Of one that trains, only the worker that has it can tell whether it is to be stopped, too.
        if row.state == AttemptState.PAUSED or (row.state == AttemptState.RUNNING and not body.running):
            return
        self.stop_attempt(row, "revoked", None, at)
        if not body.running:
            self.end_attempt(row, "revoked before it started", at)
        message = "stopped by a person: its task was revoked"
        self.trials.fail(row.trial, Failed(cause="revoked", error="Revoked", message=message), at)

    # -- outputs

    def _timed(self, notice: TrialEnded | OtherSource | TakenUp) -> TrialEnded | OtherSource | TakenUp:
        if not isinstance(notice, TrialEnded):
            return notice
        return msgspec.structs.replace(notice, on_slot=self.attempts.seconds(notice.number, self.storage.now))

    def take(self) -> Batch:
        """Returns what has come of the inputs since the last call."""
        changed, acknowledged = self.attempts.take_touched()
        for number in self.trials.take_ended():
            self.checkpoints.forget(number)
            self.artifacts.unsettle()
        if not self.trials.sampler.awaits_end:
            self.artifacts.settle(self.spec.keep_models, maximize=self.spec.direction == "maximize")
        changes = self.storage.take_changes()
        changes.set_attempts(changed, acknowledged)
        changes.add_notes(notifications.notes(self, self.trials.take_judged(changes.ends), changes.study_state))
        # A control plane that held the study before may have died before it had deleted everything.
        sweep, self._swept = None if self._swept else self.sweep(), True
        batch = Batch(
            changes,
            self.sends,
            self.revokes,
            self.replies,
            self.checkpoints.take_discarded(),
            self.artifacts.take_discarded(),
            sweep,
            {token: self.attempts.confirmation(token) for token in (*changed, *acknowledged)},
            [self._timed(notice) for notice in self.trials.take_notices()],
            self.trials.questions.take_staged(),
            self.take_figures(),
        )
        self.sends, self.revokes, self.replies = [], [], []
        return batch
