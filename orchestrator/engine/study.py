"""One study as a fold: every event, command and loss changes it here, and nowhere else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, assert_never

from orchestrator.changes import AttemptRow
from orchestrator.engine import announcing, orders
from orchestrator.engine.adoption import adopt
from orchestrator.engine.attempts import Attempts
from orchestrator.engine.core import ENDED, Core, Snapshot, StudyState
from orchestrator.engine.orders import Steer
from orchestrator.engine.outputs import Answer, Batch, Revoke, Sweep
from orchestrator.engine.progress import progress
from orchestrator.engine.refill import go_on
from orchestrator.engine.trials import Trials
from orchestrator.engine.viewing import view
from orchestrator.lifecycle import LIVE, AttemptEvent, AttemptState
from orchestrator.mirror import Mirror
from orchestrator.notices import Progress
from orchestrator.sampling import SamplerFailed
from orchestrator.spec import Spec
from tasks.contract import (
    Alive,
    Artifact,
    Attribute,
    Checkpoint,
    Epoch,
    Event,
    Failed,
    FailureCause,
    Finished,
    Imported,
    Look,
    Paused,
    Released,
    Reply,
    Revoked,
    Started,
    Stopped,
    StudyStop,
    Suggest,
    Unreadable,
)

_ENDS_THE_STUDY = ("import", "checkpoint")
"""Failures that every other trial would share."""


class StudyEngine:
    """Folds what happens to one study. The same inputs in the same order give the same outputs.

    Nothing is handed out before ``take``; the caller commits its changes and then does what it asks for. When the
    commit fails for good, the engine is thrown away and made again from the database.

    Args:
        snapshot: The study as it is stored.
        at: Now, in seconds since the epoch, as for every method here.
    """

    def __init__(self, snapshot: Snapshot, at: float) -> None:
        self._core = Core(snapshot)
        self._swept = False
        self.mirror.now = at
        if not snapshot.trials:
            for params in snapshot.spec.enqueue:
                self.trials.enqueue(params)
        if self.state not in ENDED:
            adopt(self._core, at)
        go_on(self._core, at)

    # -- what it knows

    @property
    def spec(self) -> Spec:
        return self._core.spec

    @property
    def name(self) -> str:
        return self._core.name

    @property
    def uid(self) -> str:
        return self._core.uid

    @property
    def state(self) -> StudyState:
        return self._core.state

    @property
    def reason(self) -> str:
        return self._core.reason

    @property
    def attempts(self) -> Attempts:
        return self._core.attempts

    @property
    def trials(self) -> Trials:
        return self._core.trials

    @property
    def mirror(self) -> Mirror:
        """The study as the sampler sees it."""
        return self._core.trials.mirror

    @property
    def budget(self) -> int:
        """How many trials there are to be: those of the spec, and those that were enqueued beside them."""
        return self._core.budget

    @property
    def deadline(self) -> float | None:
        """When time alone ends it, in seconds since the epoch: somebody has to say then that it has come."""
        return self._core.deadline if self.state == "running" else None

    @property
    def slots(self) -> int:
        """How many slots it was last told of."""
        return self._core.slots

    @property
    def counts(self) -> Counter[str]:
        """Events that were not folded, by reason: stale, duplicate, gap, late, unexpected, unreadable."""
        return self._core.counts

    # -- inputs

    def apply(self, event: Event, at: float) -> None:
        """Folds one event of an attempt of this study."""
        self.mirror.now = at
        row = self.attempts[event.token]
        self.attempts.touched.add(row.token)
        body = event.body
        if isinstance(body, Revoked):
            self._revoked(row, body, at)
        elif isinstance(body, Alive):
            return
        elif isinstance(body, Started) and event.seq == 1 and self.attempts.bind(row, event.runner, body, at):
            row.acknowledged = 1
            if row.number == 1 and self._core.runs(row):
                self.mirror.start_trial(row.trial)
        elif event.runner != row.runner:
            self.counts["stale"] += 1
            # While nobody is bound, what this one says comes again behind its start.
            if isinstance(body, Artifact) and row.runner:
                self._core.artifacts.refuse(row, body.ref)
        elif event.seq <= row.acknowledged:
            self.counts["duplicate"] += 1
            if isinstance(body, Suggest) and not body.used:
                self._suggest(row, event.seq, body)
            elif isinstance(body, Look):
                self._look(row, event.seq)
        elif row.state not in (AttemptState.RUNNING, AttemptState.STOPPING):
            # What a superseded runner still has to say is taken off its hands and dropped.
            row.acknowledged = event.seq
            if isinstance(body, Checkpoint):
                self._core.checkpoints.refuse(row.trial, body.ref)
            elif isinstance(body, Artifact):
                self._core.artifacts.refuse(row, body.ref)
            self.counts["stale"] += 1
        elif event.seq > row.acknowledged + 1:
            self.counts["gap"] += 1
            return
        else:
            row.acknowledged = event.seq
            self._fold(row, event, at)
        go_on(self._core, at)

    def lose(self, token: str, cause: str, at: float) -> None:
        """The attempt's runner has gone silent, or is known to be dead: the trial is attempted again."""
        self.mirror.now = at
        row = self.attempts[token]
        if self.attempts.move(row, AttemptEvent.LOSE, at):
            row.cause = cause
            row.verdict = row.verdict or "lost"
            self._core.revokes.append(Revoke(token))
            self._core.again(row, at, Failed(cause="lost", error="Lost", message=cause))
            go_on(self._core, at)

    def resend(self, token: str, at: float) -> None:
        """The attempt's task is nowhere to be found, and it never started: its task is sent again."""
        row = self.attempts[token]
        staged = any(send.job.token == token for send in self._core.sends)
        if row.state == AttemptState.SENT and self.state in ("running", "ending") and not staged:
            self._core.send(row, at)

    def count_slots(self, slots: int, at: float) -> None:
        """Says how many slots there are for this study's tasks; where trials are promoted, that many are in use."""
        self.mirror.now = at
        self._core.slots = slots
        go_on(self._core, at)

    def tick(self, at: float) -> None:
        """Says what time it is, where nothing else is said."""
        self.mirror.now = at
        go_on(self._core, at)

    def command(self, operation: Steer, at: float, reason: str = "") -> None:
        """Steers the study; see ``orders.steer``."""
        self.mirror.now = at
        orders.steer(self._core, operation, at, reason)
        go_on(self._core, at)

    def extend(self, spec: Spec, at: float) -> None:
        """Goes on with what may have changed; see ``orders.extend``."""
        self.mirror.now = at
        orders.extend(self._core, spec, at)
        go_on(self._core, at)

    def enqueue(self, params: Mapping[str, Any], at: float) -> None:
        """Adds a trial with these parameters; see ``orders.enqueue``."""
        self.mirror.now = at
        orders.enqueue(self._core, params, at)
        go_on(self._core, at)

    def retry(self, number: int, at: float) -> None:
        """Adds a trial with the parameters of trial ``number``, which has ended; see ``orders.retry``."""
        self.mirror.now = at
        orders.retry(self._core, number, at)
        go_on(self._core, at)

    # -- outputs

    def take(self) -> Batch:
        """Returns what has come of the inputs since the last call."""
        core = self._core
        touched = self.attempts.take_touched()
        for number in self.trials.take_ended():
            core.checkpoints.forget(number)
            core.artifacts.unsettle()
        core.artifacts.settle(self.spec.keep_models, maximize=self.spec.direction == "maximize")
        changes = self.mirror.take_changes()
        changes.attempts = touched
        changes.notes = announcing.notes(core, changes)
        batch = Batch(
            changes,
            core.sends,
            core.revokes,
            core.answers,
            core.checkpoints.take_discarded(),
            core.artifacts.take_discarded(),
            self._sweep_once(),
            {token: self.attempts.confirmation(token) for token in touched},
            self.trials.take_notices(),
            core.take_figures(),
        )
        core.sends, core.revokes, core.answers = [], [], []
        return batch

    def sweep(self) -> Sweep:
        """Returns what may be deleted of the artifacts without having been recorded."""
        ended = frozenset(row.token for row in self.attempts if row.state not in LIVE)
        return Sweep(ended, self._core.artifacts.ids())

    def progress(self) -> Progress:
        """Returns where the study stands."""
        return progress(self)

    def _sweep_once(self) -> Sweep | None:
        """With the first batch: whoever held the study before may have died before it had deleted everything."""
        swept, self._swept = self._swept, True
        return None if swept else self.sweep()

    # -- the fold

    def _fold(self, row: AttemptRow, event: Event, at: float) -> None:
        body = event.body
        match body:
            case Epoch():
                self._epoch(row, body, at)
            case Suggest():
                self._suggest(row, event.seq, body)
            case Look():
                self._look(row, event.seq)
            case Imported():
                if self._runs_or_counts_late(row):
                    self.trials.note_source(row.trial, body.digest)
            case Artifact():
                # Also of a trial that has ended: what it had to show when it was stopped is still to come then.
                if not self._core.artifacts.add(row, body.ref, at):
                    self.counts["unreadable"] += 1
            case Attribute():
                if self._runs_or_counts_late(row) and not self.trials.annotate(row.trial, body):
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
                self.attempts.obey(row, body)
                self._left(row, "obeyed", at)
            case Released():
                self._left(row, "released", at)
            case StudyStop():
                self._stop_study(at)
            case Unreadable():
                self.counts["unreadable"] += 1
            case Started() | Alive() | Revoked():
                self.counts["unexpected"] += 1
            case _:
                assert_never(body)

    def _epoch(self, row: AttemptRow, body: Epoch, at: float) -> None:
        if self._runs_or_counts_late(row):
            decision = self.trials.report(row.trial, body.step, body.value, at)
            if decision is not None and decision.prune:
                self.trials.prune(row.trial, decision, at)
                self._core.condemn(row, "pruned", decision.step, at)

    def _suggest(self, row: AttemptRow, seq: int, body: Suggest) -> None:
        if not self._runs_or_counts_late(row):
            return
        try:
            value = self.trials.asker.suggest(row.trial, body.name, body.distribution)
            reply = Reply(runner=row.runner, seq=seq, name=body.name, value=value)
        except SamplerFailed as error:
            reply = Reply(runner=row.runner, seq=seq, name=body.name, error=str(error))
        if not body.used:
            self._core.answers.append(Answer(reply))

    def _look(self, row: AttemptRow, seq: int) -> None:
        """Shows the study as it is at this place in the order of events."""
        if self._runs_or_counts_late(row):
            self._core.answers.append(Answer(view(self.mirror, row.runner, seq)))

    def _checkpoint(self, row: AttemptRow, body: Checkpoint, at: float) -> None:
        if self._runs_or_counts_late(row):
            self._core.checkpoints.add(row.trial, body.ref, at)
        elif not self.trials.is_open(row.trial):
            self._core.checkpoints.refuse(row.trial, body.ref)

    def _stop_study(self, at: float) -> None:
        """What runs may end; a study that has ended already stays as it did."""
        if self.state in ENDED:
            self.counts["late"] += 1
            return
        self._core.wind_down("the objective stopped the study", at)

    def _finished(self, row: AttemptRow, body: Finished, at: float) -> None:
        self._core.close(row, "finished", at)
        if not self.trials.is_open(row.trial):
            # Pruned at an earlier step while this was on its way; what was decided first stays.
            self.counts["late"] += 1
        elif body.pruned:
            self.trials.end_pruned(row.trial, "pruned by the objective itself", at)
        elif len(body.values) != len(self.spec.objectives) or any(map(math.isnan, body.values)):
            message = f"{list(body.values)} is not a number for each of {len(self.spec.objectives)} objectives"
            cause: FailureCause = "nan" if any(map(math.isnan, body.values)) else "value"
            self._core.again(row, at, Failed(cause=cause, error="ValueError", message=message))
        else:
            self.trials.complete(row.trial, list(body.values), at)

    def _failed(self, row: AttemptRow, body: Failed, at: float) -> None:
        self._core.close(row, f"{body.cause}: {body.error}", at)
        if not self.trials.is_open(row.trial):
            return
        self._core.again(row, at, body)
        if body.cause in _ENDS_THE_STUDY:
            self._core.end("failed", body.message, at)

    def _paused(self, row: AttemptRow, at: float) -> None:
        """The attempt's slice is over. Its trial is promoted later, or stays where it is."""
        if self._core.runs(row) and self.trials.slice(row.trial) is not None:
            self.attempts.move(row, AttemptEvent.PAUSE, at)
            self.trials.pause(row.trial)
        else:
            self._left(row, "obeyed", at)

    def _left(self, row: AttemptRow, cause: str, at: float) -> None:
        """A runner has left without having finished: by verdict, or because its worker shuts down."""
        self._core.close(row, cause, at)
        self._core.again(row, at)

    def _revoked(self, row: AttemptRow, body: Revoked, at: float) -> None:
        if row.verdict or not self.trials.is_open(row.trial) or self.attempts.live(row.trial) is not row:
            return
        # Of one that trains, only the worker that has it can tell whether it is to be stopped, too.
        if row.state == AttemptState.PAUSED or (row.state == AttemptState.RUNNING and not body.running):
            return
        self._core.condemn(row, "revoked", None, at)
        if not body.running:
            self._core.close(row, "revoked before it started", at)
        message = "stopped by a person: its task was revoked"
        self.trials.fail(row.trial, Failed(cause="revoked", error="Revoked", message=message), at)

    def _runs_or_counts_late(self, row: AttemptRow) -> bool:
        runs = self._core.runs(row)
        self.counts["late"] += not runs
        return runs
