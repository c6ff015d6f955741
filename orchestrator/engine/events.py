"""One event of an attempt: whether it counts, and what it changes."""

from __future__ import annotations

import math
from typing import assert_never

from orchestrator.engine.annotations import annotate_study
from orchestrator.engine.outputs import Answer
from orchestrator.engine.state import Core
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


def fold(core: Core, event: Event, at: float) -> bool:
    """Folds one event of an attempt of the study; returns whether anything may follow from it.

    In the order of their numbers, each once, and of the runner that is bound to the attempt: what is not so is counted
    and dropped.
    """
    row = core.attempts[event.token]
    core.attempts.touched.add(row.token)
    body = event.body
    if isinstance(body, Revoked):
        _revoked(core, row, body, at)
    elif isinstance(body, Heartbeat):
        return False
    elif isinstance(body, Started) and event.seq == 1 and core.attempts.bind(row, event.runner, body, at):
        row.acknowledged = 1
        if row.number == 1 and core.runs(row):
            core.trials.storage.start_trial(row.trial)
    elif event.runner != row.runner:
        core.counts["stale"] += 1
        # While nobody is bound, what this one says comes again behind its start.
        if isinstance(body, Artifact) and row.runner:
            core.artifacts.refuse(row, body.ref)
    elif event.seq <= row.acknowledged:
        core.counts["duplicate"] += 1
        if isinstance(body, Suggest) and not body.used:
            _suggest(core, row, event.seq, body)
        elif isinstance(body, ReadStudy):
            _look(core, row, event.seq)
    elif row.state not in (AttemptState.RUNNING, AttemptState.STOPPING):
        # What a superseded runner still has to say is taken off its hands and dropped.
        row.acknowledged = event.seq
        if isinstance(body, Checkpoint) and is_checkpoint_of(row.token, body.ref.location):
            core.checkpoints.refuse(row.trial, body.ref)
        elif isinstance(body, Artifact):
            core.artifacts.refuse(row, body.ref)
        core.counts["stale"] += 1
    elif event.seq > row.acknowledged + 1:
        core.counts["gap"] += 1
        return False
    else:
        row.acknowledged = event.seq
        _accept(core, row, event, at)
    return True


def _accept(core: Core, row: AttemptRow, event: Event, at: float) -> None:
    body = event.body
    match body:
        case Epoch():
            _epoch(core, row, body, at)
        case Suggest():
            _suggest(core, row, event.seq, body)
        case ReadStudy():
            _look(core, row, event.seq)
        case Imported():
            if _runs_or_counts_late(core, row):
                core.trials.note_source(row.trial, body.digest)
        case Artifact():
            # Also of a trial that has ended: what it had to show when it was stopped is still to come then.
            if not core.artifacts.add(row, body.ref, at):
                core.counts["unreadable"] += 1
        case Attribute():
            if _runs_or_counts_late(core, row) and not core.trials.annotate(row.trial, body):
                core.counts["unreadable"] += 1
        case StudyAttribute():
            if _runs_or_counts_late(core, row) and not annotate_study(core.trials.storage, body):
                core.counts["unreadable"] += 1
        case EnqueueTrial():
            if _runs_or_counts_late(core, row) and not core.trials.enqueue_within(body):
                core.counts["unreadable"] += 1
        case Checkpoint():
            _checkpoint(core, row, body, at)
        case Finished():
            _finished(core, row, body, at)
        case Failed():
            _failed(core, row, body, at)
        case Paused():
            _paused(core, row, at)
        case Stopped():
            core.attempts.record_stop(row, body)
            _left(core, row, "obeyed", at)
        case Released():
            _left(core, row, "released", at)
        case StudyStop():
            _stop_study(core, at)
        case Unreadable():
            core.counts["unreadable"] += 1
        case Started() | Heartbeat() | Revoked() | Lost():
            core.counts["unexpected"] += 1
        case _:
            assert_never(body)


def _epoch(core: Core, row: AttemptRow, body: Epoch, at: float) -> None:
    if _runs_or_counts_late(core, row):
        decision = core.trials.report(row.trial, body.step, body.value, at)
        if decision is not None:
            decide(core, row, decision, at)


def decide(core: Core, row: AttemptRow, decision: Decision, at: float) -> None:
    """Does what a rule decided about the trial of a live attempt."""
    if decision.prune:
        core.trials.prune(row.trial, decision, at)
        core.stop_attempt(row, "pruned", decision.step, at)


def _suggest(core: Core, row: AttemptRow, seq: int, body: Suggest) -> None:
    if not _runs_or_counts_late(core, row):
        return
    try:
        value = core.trials.sampler.suggest(row.trial, body.name, body.distribution)
        reply = Reply(runner=row.runner, seq=seq, name=body.name, value=value)
    except SamplerFailed as error:
        reply = Reply(runner=row.runner, seq=seq, name=body.name, error=str(error))
    if not body.used:
        core.answers.append(Answer(reply))


def _look(core: Core, row: AttemptRow, seq: int) -> None:
    """Shows the study as it is at this place in the order of events."""
    if _runs_or_counts_late(core, row):
        core.answers.append(Answer(view(core.trials.storage, row.runner, seq)))


def _checkpoint(core: Core, row: AttemptRow, body: Checkpoint, at: float) -> None:
    if not is_checkpoint_of(row.token, body.ref.location):
        core.counts["foreign"] += 1
    elif _runs_or_counts_late(core, row):
        core.checkpoints.add(row.trial, body.ref, at)
    elif not core.trials.is_open(row.trial):
        core.checkpoints.refuse(row.trial, body.ref)


def _stop_study(core: Core, at: float) -> None:
    """What runs may end; a study that has ended already stays as it did."""
    if core.state in ENDED:
        core.counts["late"] += 1
        return
    core.stop_starting_trials("the objective stopped the study", at)


def _finished(core: Core, row: AttemptRow, body: Finished, at: float) -> None:
    core.end_attempt(row, "finished", at)
    if not core.trials.is_open(row.trial):
        # Pruned at an earlier step while this was on its way; what was decided first stays.
        core.counts["late"] += 1
    elif body.pruned:
        core.trials.end_pruned(row.trial, "pruned by the objective itself", at)
    elif len(body.values) != len(core.spec.objectives) or any(map(math.isnan, body.values)):
        message = f"{list(body.values)} is not a number for each of {len(core.spec.objectives)} objectives"
        cause: FailureCause = "nan" if any(map(math.isnan, body.values)) else "value"
        core.retry_attempt(row, at, Failed(cause=cause, error="ValueError", message=message))
    else:
        core.trials.complete(row.trial, list(body.values), at)


def _failed(core: Core, row: AttemptRow, body: Failed, at: float) -> None:
    core.end_attempt(row, f"{body.cause}: {body.error}", at)
    if not core.trials.is_open(row.trial):
        return
    core.retry_attempt(row, at, body)
    if body.cause in _ENDS_THE_STUDY:
        core.end("failed", body.message, at)


def _paused(core: Core, row: AttemptRow, at: float) -> None:
    """The attempt's slice is over. Its trial is promoted later, or stays where it is."""
    if core.runs(row) and core.trials.slice(row.trial) is not None:
        core.attempts.move(row, AttemptEvent.PAUSE, at)
        core.trials.pause(row.trial)
    else:
        _left(core, row, "obeyed", at)


def _left(core: Core, row: AttemptRow, cause: str, at: float) -> None:
    """A runner has left without having finished: by verdict, or because its worker shuts down."""
    core.end_attempt(row, cause, at)
    core.retry_attempt(row, at)


def _revoked(core: Core, row: AttemptRow, body: Revoked, at: float) -> None:
    if row.verdict or not core.trials.is_open(row.trial) or core.attempts.live(row.trial) is not row:
        return
    # Of one that trains, only the worker that has it can tell whether it is to be stopped, too.
    if row.state == AttemptState.PAUSED or (row.state == AttemptState.RUNNING and not body.running):
        return
    core.stop_attempt(row, "revoked", None, at)
    if not body.running:
        core.end_attempt(row, "revoked before it started", at)
    message = "stopped by a person: its task was revoked"
    core.trials.fail(row.trial, Failed(cause="revoked", error="Revoked", message=message), at)


def _runs_or_counts_late(core: Core, row: AttemptRow) -> bool:
    runs = core.runs(row)
    core.counts["late"] += not runs
    return runs
