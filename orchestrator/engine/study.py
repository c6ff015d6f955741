"""One study as a fold: every event, command and loss changes it here, and nowhere else."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, assert_never

from optuna.trial import FrozenTrial

from orchestrator.changes import AttemptRow
from orchestrator.engine.attempts import Attempts
from orchestrator.engine.outputs import Answer, Batch, Revoke, Send
from orchestrator.engine.progress import progress
from orchestrator.engine.trials import Trials
from orchestrator.lifecycle import WAITING, AttemptEvent, AttemptState
from orchestrator.mirror import Mirror
from orchestrator.notices import Progress
from orchestrator.sampling import SamplerFailed
from orchestrator.spec import Spec
from tasks.contract import (
    Alive,
    Attribute,
    Epoch,
    Event,
    Failed,
    Finished,
    Job,
    Released,
    Reply,
    Revoked,
    Started,
    Stopped,
    StudyStop,
    Suggest,
)

StudyState = Literal["running", "paused", "ending", "finished", "failed", "stopped"]
ENDED: frozenset[StudyState] = frozenset({"finished", "failed", "stopped"})

FIRST_TRIALS = 3
"""When so many trials have ended and all of them failed alike, the objective is broken, not the trial."""

_NOT_SPOILED = ("released", "obeyed")
"""Ends of an attempt that do not count towards ``max_attempts``."""


@dataclass
class Snapshot:
    """A study as the database has it: what an engine starts from.

    ``uid`` is unique to this study for all time. ``trials`` are Optuna's, sorted by number.
    """

    spec: Spec
    uid: str
    seed: int
    state: StudyState = "running"
    reason: str = ""
    trials: list[FrozenTrial] = field(default_factory=list)
    attempts: list[AttemptRow] = field(default_factory=list)
    study_system_attrs: dict[str, Any] = field(default_factory=dict)


class StudyEngine:
    """Folds what happens to one study. The same inputs in the same order give the same outputs.

    Nothing is handed out before ``take``; the caller commits its changes and then does what it asks for. When the
    commit fails for good, the engine is thrown away and made again from the database.

    Args:
        snapshot: The study as it is stored.
        at: Now, in seconds since the epoch, as for every method here.

    Attributes:
        counts: Events that were not folded, by reason: stale, duplicate, gap, late, unexpected, unreadable.
    """

    def __init__(self, snapshot: Snapshot, at: float) -> None:
        self.spec = snapshot.spec
        self.name = snapshot.spec.name
        self.state: StudyState = snapshot.state
        self.reason = snapshot.reason
        self.counts: Counter[str] = Counter()
        self.attempts = Attempts(snapshot.uid, snapshot.attempts)
        self.trials = Trials(self.spec, snapshot.seed)
        self.mirror.now = at
        errors = self.trials.restore(snapshot.trials, snapshot.study_system_attrs)
        self._errors = [error for error in errors if error not in self.spec.catch]
        self._sends: list[Send] = []
        self._revokes: list[Revoke] = []
        self._answers: list[Answer] = []
        if self.state not in ENDED:
            self._adopt(at)
        self._go_on(at)

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
            if row.number == 1 and self._runs(row):
                self.mirror.start_trial(row.trial)
        elif event.runner != row.runner:
            self.counts["stale"] += 1
        elif event.seq <= row.acknowledged:
            self.counts["duplicate"] += 1
            if isinstance(body, Suggest) and not body.used:
                self._suggest(row, event.seq, body)
        elif row.state not in (AttemptState.RUNNING, AttemptState.STOPPING):
            # What a superseded runner still has to say is taken off its hands and dropped.
            row.acknowledged = event.seq
            self.counts["stale"] += 1
        elif event.seq > row.acknowledged + 1:
            self.counts["gap"] += 1
            return
        else:
            row.acknowledged = event.seq
            self._fold(row, event, at)
        self._go_on(at)

    def lose(self, token: str, cause: str, at: float) -> None:
        """The attempt's runner has gone silent, or is known to be dead: the trial is attempted again."""
        self.mirror.now = at
        row = self.attempts[token]
        if self.attempts.move(row, AttemptEvent.LOSE, at):
            row.cause = cause
            row.verdict = row.verdict or "lost"
            self._revokes.append(Revoke(token))
            self._again(row, at, Failed(cause="died", error="Lost", message=cause))
            self._go_on(at)

    def resend(self, token: str, at: float) -> None:
        """The attempt's task is nowhere to be found, and it never started: its task is sent again."""
        row = self.attempts[token]
        if row.state == AttemptState.SENT and self.state == "running":
            self._send(row, at)

    def command(self, operation: Literal["pause", "resume", "stop"], at: float) -> None:
        """Steers the study; a study that has ended is left as it is."""
        self.mirror.now = at
        if self.state in ENDED:
            return
        if operation == "stop":
            self._end("stopped", "stopped by a person", at)
        else:
            self._set_state("paused" if operation == "pause" else "running", "", at)
        self._go_on(at)

    def extend(self, spec: Spec, at: float) -> None:
        """Takes over what may change in a study that goes on: its budget, its queue, how it is trained."""
        self.mirror.now = at
        self.spec = spec
        more = spec.trials > self.trials.count
        if self.state == "paused" or (more and self.state != "running"):
            self._set_state("running", "", at)
        self._go_on(at)

    # -- outputs

    def take(self) -> Batch:
        """Returns what has come of the inputs since the last call."""
        touched = self.attempts.take_touched()
        changes = self.mirror.take_changes()
        changes.attempts = touched
        confirmations = {token: self.attempts.confirmation(token) for token in touched}
        notices = self.trials.take_notices()
        batch = Batch(changes, self._sends, self._revokes, self._answers, confirmations, notices)
        self._sends, self._revokes, self._answers = [], [], []
        return batch

    def progress(self) -> Progress:
        """Returns where the study stands."""
        return progress(self)

    @property
    def mirror(self) -> Mirror:
        """The study as the sampler sees it."""
        return self.trials.mirror

    # -- the fold

    def _fold(self, row: AttemptRow, event: Event, at: float) -> None:
        body = event.body
        match body:
            case Epoch():
                self._epoch(row, body, at)
            case Suggest():
                self._suggest(row, event.seq, body)
            case Attribute():
                if self._runs_or_counts_late(row) and not self.trials.annotate(row.trial, body):
                    self.counts["unreadable"] += 1
            case Finished():
                self._finished(row, body, at)
            case Failed():
                self._failed(row, body, at)
            case Stopped():
                row.latency, row.signal_latency = body.latency, body.signal_latency
                self._left(row, "obeyed", at)
            case Released():
                self._left(row, "released", at)
            case StudyStop():
                self._set_state("ending", "the objective stopped the study", at)
                for waiting in self.attempts.in_state(*WAITING):
                    self._withdraw(waiting, at)
            case Started() | Alive() | Revoked():
                self.counts["unexpected"] += 1
            case _:
                assert_never(body)

    def _epoch(self, row: AttemptRow, body: Epoch, at: float) -> None:
        if self._runs_or_counts_late(row):
            decision = self.trials.report(row.trial, body.step, body.value)
            if decision is not None and decision.prune:
                self.trials.prune(row.trial, decision, at)
                self._condemn(row, "pruned", decision.step, at)

    def _suggest(self, row: AttemptRow, seq: int, body: Suggest) -> None:
        if not self._runs_or_counts_late(row):
            return
        try:
            value = self.trials.asker.suggest(row.trial, body.name, body.distribution)
            reply = Reply(runner=row.runner, seq=seq, name=body.name, value=value)
        except SamplerFailed as error:
            reply = Reply(runner=row.runner, seq=seq, name=body.name, error=str(error))
        if not body.used:
            self._answers.append(Answer(reply))

    def _finished(self, row: AttemptRow, body: Finished, at: float) -> None:
        self._close(row, "finished", at)
        if not self.trials.is_open(row.trial):
            # Pruned at an earlier step while this was on its way; what was decided first stays.
            self.counts["late"] += 1
        elif body.pruned:
            self.trials.end_pruned(row.trial, "pruned by the objective itself", at)
        elif len(body.values) != 1 or math.isnan(body.values[0]):
            message = f"{list(body.values)} is not one number"
            self._fail(row.trial, Failed(cause="value", error="ValueError", message=message), at)
        else:
            self.trials.complete(row.trial, list(body.values), at)

    def _failed(self, row: AttemptRow, body: Failed, at: float) -> None:
        self._close(row, f"{body.cause}: {body.error}", at)
        if not self.trials.is_open(row.trial):
            return
        if body.cause == "died":
            self._again(row, at, body)
        else:
            self._fail(row.trial, body, at)
        if body.cause == "import":
            self._end("failed", body.message, at)

    def _left(self, row: AttemptRow, cause: str, at: float) -> None:
        """A runner has left without having finished: by verdict, or because its worker shuts down."""
        self._close(row, cause, at)
        self._again(row, at)

    def _revoked(self, row: AttemptRow, body: Revoked, at: float) -> None:
        if row.verdict or not self.trials.is_open(row.trial) or self.attempts.live(row.trial) is not row:
            return
        self._condemn(row, "revoked", None, at)
        if not body.running:
            self._close(row, "revoked before it started", at)
        message = "stopped by a person: its task was revoked"
        self.trials.fail(row.trial, Failed(cause="revoked", error="Revoked", message=message), at)

    # -- what follows

    def _go_on(self, at: float) -> None:
        """Asks, sends and ends, as far as the state now allows. Changes nothing when nothing is due."""
        if self.trials.trouble:
            self._end("failed", f"the sampler failed: {self.trials.trouble}", at)
        if self.state not in ("running", "ending"):
            return
        try:
            while self._may_ask():
                self.attempts.create(self.trials.asker.ask(), at)
        except SamplerFailed as error:
            self._end("failed", f"the sampler failed: {error}", at)
            return
        while self.attempts.held and self._may_send():
            self._send(min(self.attempts.held.values(), key=lambda row: (row.number == 1, row.trial)), at)
        nothing_left = self.state == "ending" or self._is_spent()
        if nothing_left and sum(self.trials.ended.values()) == self.trials.count:
            self._set_state("finished", self.reason, at)

    def _may_ask(self) -> bool:
        """Whether another trial is to be sampled now: that many wait to be started, and not one more."""
        if self.state == "ending" or self.attempts.count(*WAITING) >= self.spec.lookahead:
            return False
        return self.trials.has_enqueued() or not self._is_spent()

    def _is_spent(self) -> bool:
        return self.trials.count >= self.spec.trials or self.trials.asker.is_exhausted()

    def _may_send(self) -> bool:
        busy = self.attempts.count(AttemptState.SENT, AttemptState.RUNNING)
        return self.spec.parallel is None or busy < self.spec.parallel

    def _send(self, row: AttemptRow, at: float) -> None:
        self.attempts.move(row, AttemptEvent.SEND, at)
        asker = self.trials.asker
        job = Job(
            study=self.name,
            trial=row.trial,
            token=row.token,
            attempt=row.number,
            objective=self.spec.objective,
            directions=(self.spec.direction,),
            args=self.spec.args,
            params=asker.params(row.trial),
            ahead=asker.ahead(row.trial),
            user_attrs=self.mirror.get_trial(row.trial).user_attrs,
            max_steps=self.spec.max_steps,
            grace=self.spec.grace,
        )
        self._sends.append(Send(job, self.spec.queue, row.number > 1))

    def _again(self, row: AttemptRow, at: float, failure: Failed | None = None) -> None:
        """Makes the trial's next attempt. With a ``failure`` only if it has not used up those it may have."""
        if not self.trials.is_open(row.trial) or self.state in ENDED:
            return
        spoiled = sum(each.trial == row.trial and each.cause not in _NOT_SPOILED for each in self.attempts)
        if failure is None or spoiled < self.spec.retry.max_attempts:
            self.attempts.create(row.trial, at)
            return
        times = f"{spoiled} attempts, the last one: " if spoiled > 1 else ""
        last = Failed(
            cause=failure.cause,
            error=failure.error,
            message=times + failure.message,
            traceback=failure.traceback,
            exit_code=failure.exit_code,
        )
        self._fail(row.trial, last, at)

    def _fail(self, number: int, failure: Failed, at: float) -> None:
        self.trials.fail(number, failure, at)
        if failure.error in self.spec.catch:
            return
        self._errors.append(failure.error)
        needed = min(FIRST_TRIALS, self.spec.trials)
        alike = len(set(self._errors)) == 1 and set(self.trials.ended) == {"FAIL"}
        if self.state == "running" and alike and len(self._errors) == needed:
            many = f"the first {needed} trials all failed alike" if needed > 1 else "the only trial failed"
            message = (failure.message.splitlines() or [""])[0][:300]
            self._end("failed", f"{many}: {failure.error}: {message}", at)

    def _condemn(self, row: AttemptRow, cause: str, step: int | None, at: float) -> None:
        if self.attempts.condemn(row, cause, step, at):
            self._revokes.append(Revoke(row.token))

    def _close(self, row: AttemptRow, cause: str, at: float) -> None:
        if self.attempts.move(row, AttemptEvent.END, at):
            row.cause = cause

    def _withdraw(self, row: AttemptRow, at: float) -> None:
        """Takes back an attempt that nobody has started. A trial that never started ends with it."""
        self._condemn(row, "not started", None, at)
        self._close(row, "not started", at)
        self.trials.withdraw(row.trial, "not started", at)

    def _end(self, state: StudyState, reason: str, at: float) -> None:
        """Ends the study early: what runs is told to stop, what waits never starts."""
        if self.state in ENDED:
            return
        self._set_state(state, reason, at)
        for row in self.attempts.in_state(*WAITING):
            if self.trials.is_open(row.trial):
                self._withdraw(row, at)
        for row in self.attempts.in_state(AttemptState.RUNNING, AttemptState.STOPPING):
            if self.trials.is_open(row.trial):
                self._condemn(row, state, None, at)
        for number in self.trials.running():
            # Also one that the sampler left half made, and for which there is no attempt.
            self.trials.withdraw(number, f"study {state}", at)

    def _set_state(self, state: StudyState, reason: str, at: float) -> None:
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason = state, reason
            self.mirror.changes.study_state = (state, reason, at)

    def _runs(self, row: AttemptRow) -> bool:
        return row.state == AttemptState.RUNNING and self.trials.is_open(row.trial)

    def _runs_or_counts_late(self, row: AttemptRow) -> bool:
        runs = self._runs(row)
        self.counts["late"] += not runs
        return runs

    def _adopt(self, at: float) -> None:
        """Makes trials and attempts agree: a trial that runs without an attempt was asked for elsewhere and is given
        one, an attempt whose trial has ended was overtaken by somebody else's verdict and has to stop."""
        for row in self.attempts.in_state(*WAITING, AttemptState.RUNNING):
            if not self.trials.is_open(row.trial):
                self._condemn(row, "ended elsewhere", None, at)
                if not row.runner:
                    self._close(row, "ended elsewhere", at)
        for number in self.trials.running():
            if self.attempts.live(number) is None:
                self.attempts.create(number, at)
