"""One event of an attempt: whether it counts, and what it changes."""

from __future__ import annotations

import math
from typing import assert_never

from orchestrator.engine.annotations import annotate_study
from orchestrator.engine.outputs import Answer
from orchestrator.engine.state import Study
from orchestrator.engine.study_view import view
from orchestrator.model.changeset import AttemptRow
from orchestrator.model.lifecycle import AttemptEvent, AttemptState
from orchestrator.model.study_states import ENDED
from orchestrator.pruning import Decision
from orchestrator.sampling.trial_sampler import SamplerFailed
from tasks.codec import is_checkpoint_of
from tasks.contract import (
    Artifact,
    Attribute,
    Checkpoint,
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
    Reply,
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


def fold(study: Study, event: Event, at: float) -> bool:
    """Folds one event of an attempt of the study; returns whether anything may follow from it.

    In the order of their numbers, each once, and of the runner that is bound to the attempt: what is not so is counted
    and dropped.
    """
    row = study.attempts[event.token]
    study.attempts.touched.add(row.token)
    body = event.body
    if isinstance(body, Revoked):
        _revoked(study, row, body, at)
    elif isinstance(body, Heartbeat):
        return False
    elif isinstance(body, Started) and event.seq == 1 and study.attempts.bind(row, event.runner, body, at):
        row.acknowledged = 1
        if row.number == 1 and study.runs(row):
            study.trials.storage.start_trial(row.trial)
    elif event.runner != row.runner:
        study.counts["stale"] += 1
        # While nobody is bound, what this one says comes again behind its start.
        if isinstance(body, Artifact) and row.runner:
            study.artifacts.refuse(row, body.ref)
    elif event.seq <= row.acknowledged:
        study.counts["duplicate"] += 1
        if isinstance(body, Suggest) and not body.used:
            _suggest(study, row, event.seq, body)
        elif isinstance(body, ReadStudy):
            _look(study, row, event.seq)
    elif row.state not in (AttemptState.RUNNING, AttemptState.STOPPING):
        # What a superseded runner still has to say is taken off its hands and dropped.
        row.acknowledged = event.seq
        if isinstance(body, Checkpoint) and is_checkpoint_of(row.token, body.ref.location):
            study.checkpoints.refuse(row.trial, body.ref)
        elif isinstance(body, Artifact):
            study.artifacts.refuse(row, body.ref)
        study.counts["stale"] += 1
    elif event.seq > row.acknowledged + 1:
        study.counts["gap"] += 1
        return False
    else:
        row.acknowledged = event.seq
        _accept(study, row, event, at)
    return True


def _accept(study: Study, row: AttemptRow, event: Event, at: float) -> None:
    body = event.body
    match body:
        case Epoch():
            _epoch(study, row, body, at)
        case Suggest():
            _suggest(study, row, event.seq, body)
        case ReadStudy():
            _look(study, row, event.seq)
        case Imported():
            if _runs_or_counts_late(study, row):
                study.trials.note_source(row.trial, body.digest)
        case Artifact():
            # Also of a trial that has ended: what it had to show when it was stopped is still to come then.
            if not study.artifacts.add(row, body.ref, at):
                study.counts["unreadable"] += 1
        case Attribute():
            if _runs_or_counts_late(study, row) and not study.trials.annotate(row.trial, body):
                study.counts["unreadable"] += 1
        case StudyAttribute():
            if _runs_or_counts_late(study, row) and not annotate_study(study.trials.storage, body):
                study.counts["unreadable"] += 1
        case EnqueueTrial():
            if _runs_or_counts_late(study, row) and not study.trials.enqueue_within(body):
                study.counts["unreadable"] += 1
        case Checkpoint():
            _checkpoint(study, row, body, at)
        case Finished():
            _finished(study, row, body, at)
        case Failed():
            _failed(study, row, body, at)
        case Paused():
            _paused(study, row, at)
        case Stopped():
            study.attempts.record_stop(row, body)
            _left(study, row, "obeyed", at)
        case Released():
            _left(study, row, "released", at)
        case StudyStop():
            _stop_study(study, at)
        case Unreadable():
            study.counts["unreadable"] += 1
        case Started() | Heartbeat() | Revoked() | Lost():
            study.counts["unexpected"] += 1
        case _:
            assert_never(body)


def _epoch(study: Study, row: AttemptRow, body: Epoch, at: float) -> None:
    if _runs_or_counts_late(study, row):
        decision = study.trials.report(row.trial, body.step, body.value, at)
        if decision is not None:
            decide(study, row, decision, at)


def decide(study: Study, row: AttemptRow, decision: Decision, at: float) -> None:
    """Does what a rule decided about the trial of a live attempt."""
    if decision.prune:
        study.trials.prune(row.trial, decision, at)
        study.stop_attempt(row, "pruned", decision.step, at)


def _suggest(study: Study, row: AttemptRow, seq: int, body: Suggest) -> None:
    if not _runs_or_counts_late(study, row):
        return
    try:
        value = study.trials.sampler.suggest(row.trial, body.name, body.distribution)
        reply = Reply(runner=row.runner, seq=seq, name=body.name, value=value)
    except SamplerFailed as error:
        reply = Reply(runner=row.runner, seq=seq, name=body.name, error=str(error))
    if not body.used:
        study.answers.append(Answer(reply))


def _look(study: Study, row: AttemptRow, seq: int) -> None:
    """Shows the study as it is at this place in the order of events."""
    if _runs_or_counts_late(study, row):
        study.answers.append(Answer(view(study.trials.storage, row.runner, seq)))


def _checkpoint(study: Study, row: AttemptRow, body: Checkpoint, at: float) -> None:
    if not is_checkpoint_of(row.token, body.ref.location):
        study.counts["foreign"] += 1
    elif _runs_or_counts_late(study, row):
        study.checkpoints.add(row.trial, body.ref, at)
    elif not study.trials.is_open(row.trial):
        study.checkpoints.refuse(row.trial, body.ref)


def _stop_study(study: Study, at: float) -> None:
    """What runs may end; a study that has ended already stays as it did."""
    if study.state in ENDED:
        study.counts["late"] += 1
        return
    study.stop_starting_trials("the objective stopped the study", at)


def _finished(study: Study, row: AttemptRow, body: Finished, at: float) -> None:
    study.end_attempt(row, "finished", at)
    if not study.trials.is_open(row.trial):
        # Pruned at an earlier step while this was on its way; what was decided first stays.
        study.counts["late"] += 1
    elif body.pruned:
        study.trials.end_pruned(row.trial, "pruned by the objective itself", at)
    elif len(body.values) != len(study.spec.objectives) or any(map(math.isnan, body.values)):
        message = f"{list(body.values)} is not a number for each of {len(study.spec.objectives)} objectives"
        cause: FailureCause = "nan" if any(map(math.isnan, body.values)) else "value"
        study.retry_attempt(row, at, Failed(cause=cause, error="ValueError", message=message))
    else:
        study.trials.complete(row.trial, list(body.values), at)


def _failed(study: Study, row: AttemptRow, body: Failed, at: float) -> None:
    study.end_attempt(row, f"{body.cause}: {body.error}", at)
    if not study.trials.is_open(row.trial):
        return
    study.retry_attempt(row, at, body)
    if body.cause in _ENDS_THE_STUDY:
        study.end("failed", body.message, at)


def _paused(study: Study, row: AttemptRow, at: float) -> None:
    """The attempt's slice is over. Its trial is promoted later, or stays where it is."""
    if study.runs(row) and study.trials.slice(row.trial) is not None:
        study.attempts.move(row, AttemptEvent.PAUSE, at)
        study.trials.pause(row.trial)
    else:
        _left(study, row, "obeyed", at)


def _left(study: Study, row: AttemptRow, cause: str, at: float) -> None:
    """A runner has left without having finished: by verdict, or because its worker shuts down."""
    study.end_attempt(row, cause, at)
    study.retry_attempt(row, at)


def _revoked(study: Study, row: AttemptRow, body: Revoked, at: float) -> None:
    if row.verdict or not study.trials.is_open(row.trial) or study.attempts.live(row.trial) is not row:
        return
    # Of one that trains, only the worker that has it can tell whether it is to be stopped, too.
    if row.state == AttemptState.PAUSED or (row.state == AttemptState.RUNNING and not body.running):
        return
    study.stop_attempt(row, "revoked", None, at)
    if not body.running:
        study.end_attempt(row, "revoked before it started", at)
    message = "stopped by a person: its task was revoked"
    study.trials.fail(row.trial, Failed(cause="revoked", error="Revoked", message=message), at)


def _runs_or_counts_late(study: Study, row: AttemptRow) -> bool:
    runs = study.runs(row)
    study.counts["late"] += not runs
    return runs
