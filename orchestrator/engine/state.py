"""The state of a study while it runs, and the elementary changes to it; engine and scheduling are built on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial

from orchestrator.engine.artifacts import Artifacts
from orchestrator.engine.attempts import Attempts
from orchestrator.engine.checkpoints import Checkpoints
from orchestrator.engine.explanations import flag, is_compared
from orchestrator.engine.outputs import Figures, Revoke, Send, Sweep
from orchestrator.engine.study_view import told
from orchestrator.engine.trials import Trials
from orchestrator.model.attribute_keys import FIXED, FLAGGED, SILENT
from orchestrator.model.changeset import AttemptRow, CheckpointRow, DecisionRow
from orchestrator.model.lifecycle import LIVE, NOT_STARTED, WAITING, AttemptEvent, AttemptState
from orchestrator.model.progress_events import Progress, ProgressChange, SlotLine, change
from orchestrator.model.silence import Silence
from orchestrator.model.study_states import ENDED, StudyState
from orchestrator.pruning.expectations import newest
from orchestrator.sampling.rules import rung_lines
from orchestrator.spec import Spec
from tasks.contract import Failed, Job, Reply, Suggest

FIRST_TRIALS = 3
"""Number of ended trials after which the objective, not the trial, is to blame if all of them failed alike."""

SOONEST = 9
"""The priority of what has cost something already, or was asked for by a person, of whatever study."""

_NOT_SPOILED = ("released", "obeyed", "promoted", NOT_STARTED)
"""Ends of an attempt that do not count towards those that a trial may have."""


@dataclass
class Snapshot:
    """A study as the database has it: what an engine starts from.

    ``uid`` is unique to this study for all time. ``trials`` are Optuna's, sorted by number; ``checkpoints`` are oldest
    first.
    """

    spec: Spec
    uid: str
    seed: int
    state: StudyState = "running"
    reason: str = ""
    trials: list[FrozenTrial] = field(default_factory=list)
    attempts: list[AttemptRow] = field(default_factory=list)
    closest: list[DecisionRow] = field(default_factory=list)
    checkpoints: list[CheckpointRow] = field(default_factory=list)
    study_system_attrs: dict[str, Any] = field(default_factory=dict)
    study_user_attrs: dict[str, Any] = field(default_factory=dict)


class Study:
    """A study's state. Every method is one change and what follows from it at once.

    Attributes:
        slots: How many slots there are for this study's tasks, as far as is known.
        counts: Events that were not folded, by reason.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.spec = snapshot.spec
        self.name = snapshot.spec.name
        self.uid = snapshot.uid
        self.state: StudyState = snapshot.state
        self.reason = snapshot.reason
        self.slots = 0
        self._lookahead = 1
        self.counts: Counter[str] = Counter()
        self._counted: Counter[str] = Counter()
        self.attempts = Attempts(snapshot.uid, snapshot.attempts)
        self.trials = Trials(self.spec, snapshot.seed)
        self.storage = self.trials.storage
        with self.storage.loading():
            for key, value in snapshot.study_user_attrs.items():
                self.storage.set_study_user_attr(0, key, value)
        errors = self.trials.restore(snapshot.trials, snapshot.study_system_attrs, snapshot.closest)
        self.errors = [error for error in errors if error not in self.spec.catch]
        self.checkpoints = Checkpoints(self.storage, snapshot.checkpoints)
        self.artifacts = Artifacts(self.storage)
        self.sends: list[Send] = []
        self.revokes: list[Revoke] = []
        self.replies: list[Reply] = []
        # By trial and parameter that the sampler is asked for: the attempts that wait, with number and question.
        self.suggested: dict[tuple[int, str], dict[str, tuple[int, Suggest]]] = {}
        for row in self.attempts.in_state(AttemptState.PAUSED):
            if self.trials.is_open(row.trial):
                self.trials.pause(row.trial)
        for number in self.checkpoints.trials():
            if not self.trials.is_open(number):
                # Ended by another program, which knows nothing of checkpoints.
                self.checkpoints.forget(number)

    @property
    def budget(self) -> int:
        """Number of trials that the study is to have."""
        return self.spec.budget(self.trials.extra, self.trials.taken)

    @property
    def deadline(self) -> float | None:
        """End of the running study by the spec's timeout, in seconds since the epoch; ``None`` without a timeout, or
        before the first trial has begun."""
        began, timeout = self.attempts.began, self.spec.timeout
        return None if self.state != "running" or began is None or timeout is None else began + timeout

    @property
    def lookahead(self) -> int:
        """Number of sampled trials that are to wait for slots."""
        return self._lookahead if self.spec.lookahead == "auto" else self.spec.lookahead

    def set_lookahead(self, trials: int) -> None:
        """Sets how many trials wait where the spec leaves it to the control plane."""
        self._lookahead = trials

    @property
    def awaits_any(self) -> bool:
        """Whether any answer is still to come."""
        return self.trials.questions.awaits_kind()

    @property
    def awaits_verdict(self) -> bool:
        """Whether a class of the user's own judges a report. Until it has answered, no event may be put in: what is
        recorded and decided must not depend on how long that takes."""
        return self.trials.questions.awaits_verdict

    def silence(self, trial: int) -> Silence | None:
        """Returns since when a trial is silent, if it is shown as such."""
        return Silence.read(self.storage.get_trial(trial).system_attrs.get(SILENT))

    # -- attempts

    def stop_attempt(self, row: AttemptRow, cause: str, step: int | None, at: float) -> None:
        """Sets the verdict on the attempt, and revokes its task."""
        if self.attempts.set_verdict(row, cause, step, at):
            self.revokes.append(Revoke(row.token))

    def end_attempt(self, row: AttemptRow, cause: str, at: float) -> None:
        """The attempt is over."""
        if self.attempts.move(row, AttemptEvent.END, at):
            row.cause = cause

    def withdraw(self, row: AttemptRow, at: float) -> None:
        """Takes back an attempt that has no runner. A trial that never began waits again, for its study to go on."""
        if self.trials.sampler.awaits(row.trial):
            # Its row must not depend on how long the sampler takes: it waits again when the answer is there.
            return
        self._take_out(row, at)
        if not self.attempts.has_begun(row.trial):
            self.trials.put_back(row.trial)

    def fail_unsampled(self, row: AttemptRow, at: float) -> None:
        """Ends the trial for which the sampler has failed to give parameters."""
        self._take_out(row, at)
        self.trials.withdraw(row.trial, NOT_STARTED, at)

    def _take_out(self, row: AttemptRow, at: float) -> None:
        self.stop_attempt(row, NOT_STARTED, None, at)
        self.end_attempt(row, NOT_STARTED, at)

    def retry_attempt(self, row: AttemptRow, at: float, failure: Failed | None = None) -> None:
        """Makes the trial's next attempt. With a ``failure`` only if it has not used up those it may have for that."""
        if not self.trials.is_open(row.trial) or self.state in ENDED:
            return
        spoiled = sum(each.cause not in _NOT_SPOILED for each in self.attempts.of(row.trial))
        if failure is None or spoiled < self.spec.retry.attempts(failure.cause):
            self.attempts.create(row.trial, at, row.cause if failure is None else failure.cause)
            return
        times = f"{spoiled} attempts, the last one: " if spoiled > 1 else ""
        last = Failed(
            cause=failure.cause,
            error=failure.error,
            message=times + failure.message,
            traceback=failure.traceback,
            exit_code=failure.exit_code,
        )
        self.fail(row.trial, last, at)

    def send(self, row: AttemptRow, at: float) -> None:
        """Stages the attempt's task."""
        again = row.state == AttemptState.SENT
        self.attempts.move(row, AttemptEvent.SEND, at)
        sampler = self.trials.sampler
        trial = self.storage.get_trial(row.trial)
        job = Job(
            study=self.name,
            uid=self.uid,
            trial=row.trial,
            token=row.token,
            attempt=row.number,
            objective=self.spec.reference,
            directions=self.spec.objectives,
            args=self.spec.arguments,
            params=sampler.params(row.trial),
            ahead=sampler.ahead(row.trial),
            user_attrs=trial.user_attrs,
            study_attrs=self.storage.get_study_user_attrs(0),
            system_attrs=told(trial.system_attrs),
            study_system_attrs=told(self.storage.get_study_system_attrs(0)),
            # Before its first attempt a trial has the time of its sampling.
            started=_moment(trial.datetime_start) if self.attempts.has_begun(row.trial) else None,
            max_steps=self.spec.max_steps,
            grace=self.spec.grace,
            stall=self.spec.stall_timeout,
            limit=self._time_left(row.trial),
            checkpoints=self.checkpoints.of(row.trial),
            slice=self.trials.slice(row.trial),
            again=again,
            requirements=() if self.spec.code is None else self.spec.code.requirements,
        )
        soon = self.attempts.continues(row) or FIXED in trial.system_attrs
        priority, weight = (SOONEST, None) if soon else (self.spec.priority, self.spec.weight)
        self.sends.append(Send(job, self.spec.queue, priority, weight))

    def _time_left(self, trial: int) -> float | None:
        """Returns the seconds that the trial may still train, for its attempts together; ``None`` without a limit."""
        if self.spec.max_trial_time is None:
            return None
        spans = [(row.started, row.ended) for row in self.attempts.of(trial)]
        trained = sum(ended - started for started, ended in spans if started is not None and ended is not None)
        return max(0.0, self.spec.max_trial_time - trained)

    # -- trials and the study

    def fail(self, number: int, failure: Failed, at: float) -> None:
        """Ends a trial as failed, and the study with it where the first ones all fail alike."""
        self.trials.fail(number, failure, at)
        if failure.error in self.spec.catch:
            return
        self.errors.append(failure.error)
        # A study that is continued after such an end gets as many trials again to show that the fault is mended.
        needed = min(FIRST_TRIALS, self.spec.trials)
        alike = len(set(self.errors)) == 1 and set(self.trials.ended) == {"FAIL"} and not self.trials.paused
        if self.state == "running" and alike and len(self.errors) % needed == 0:
            many = (
                f"the first {len(self.errors)} trials all failed alike"
                if len(self.errors) > 1
                else "the only trial failed"
            )
            message = (failure.message.splitlines() or [""])[0][:300]
            self.end("failed", f"{many}: {failure.error}: {message}", at)

    def end(self, state: StudyState, reason: str, at: float) -> None:
        """Ends the study early: what runs is told to stop, what never began waits again, what stands on a rung ends
        there."""
        if self.state in ENDED:
            return
        self.set_state(state, reason, at)
        for row in self.attempts.in_state(*WAITING):
            if self.trials.is_open(row.trial):
                self.withdraw(row, at)
        for row in self.attempts.in_state(AttemptState.RUNNING, AttemptState.STOPPING):
            if self.trials.is_open(row.trial):
                self.stop_attempt(row, state, None, at)
        self.end_paused(at)
        for number in self.trials.running():
            if not self.trials.sampler.awaits(number):
                self.trials.withdraw(number, f"study {state}", at)

    def stop_starting_trials(self, reason: str, at: float) -> None:
        """Ends the study by letting what runs end: nothing new is started."""
        self.set_state("ending", reason, at)
        for row in self.attempts.in_state(*WAITING):
            if not self.attempts.has_begun(row.trial):
                self.withdraw(row, at)

    def end_paused(self, at: float) -> None:
        """Ends as pruned the trials that were not promoted any more."""
        for row in self.attempts.in_state(AttemptState.PAUSED):
            self.end_attempt(row, "not promoted", at)
            self.trials.end_paused(row.trial, at)

    def set_state(self, state: StudyState, reason: str, at: float) -> None:
        """Sets the study's state."""
        if (state, reason) != (self.state, self.reason):
            self.state, self.reason = state, reason
            self.storage.changes.set_study_state(state, reason, at)
            if is_compared(self.spec, state):
                flagged = flag(self.spec, state, self.trials.best.read()[0], self.trials.ended["COMPLETE"])
                self.storage.set_study_user_attr(0, FLAGGED, flagged)

    def take_figures(self) -> Figures:
        """Returns what was counted and measured since the last call."""
        figures = self.attempts.take_figures()
        if self.counts != self._counted:
            figures.dropped = self.counts - self._counted
            self._counted = self.counts.copy()
        return figures

    def runs(self, row: AttemptRow) -> bool:
        """Whether what this attempt says of its trial counts."""
        return row.state == AttemptState.RUNNING and self.trials.is_open(row.trial)

    def runs_or_counts_late(self, row: AttemptRow) -> bool:
        """Whether what this attempt says of its trial counts; if not, it is counted as late."""
        runs = self.runs(row)
        self.counts["late"] += not runs
        return runs

    def sweep(self) -> Sweep:
        """Returns what may be deleted of the artifacts without having been recorded."""
        ended = frozenset(row.token for row in self.attempts if row.state not in LIVE)
        return Sweep(ended, self.artifacts.ids())

    def progress(self, rows: Iterable[AttemptRow] | None = None) -> Progress:
        """Returns where the study stands, with a line for each of these attempts, which run; by default for all."""
        best, front = self.trials.best.read()
        rule = self.trials.decisions.promotion
        rows = self.attempts.in_state(AttemptState.RUNNING) if rows is None else rows
        return Progress(
            study=self.name,
            state=self.state,
            reason=self.reason,
            budget=self.budget,
            complete=self.trials.ended["COMPLETE"],
            pruned=self.trials.ended["PRUNED"],
            failed=self.trials.ended["FAIL"],
            running=self.attempts.count(AttemptState.RUNNING),
            waiting=self.attempts.count(*WAITING),
            paused=len(self.trials.paused),
            enqueued=len(self.trials.enqueued) + len(self.trials.within),
            epochs=self.trials.epochs,
            max_steps=self.spec.max_steps,
            epochs_saved=self.trials.epochs_saved,
            best=best,
            front=front,
            promotes=rule is not None,
            begun=self._begun(),
            leading=None if self.state in ENDED else self.trials.best.leading(),
            rungs=() if rule is None else rung_lines(rule),
            epoch_budget=self.spec.max_total_steps,
            rest=None if rule is None else rule.rest(self.budget),
            slots=tuple(map(self._line, rows)),
        )

    def progress_change(self, trials: Iterable[int]) -> ProgressChange:
        """Returns where the study stands, with lines for these trials alone; costs as much as there are of them."""
        rows = {trial: self.attempts.live(trial) for trial in sorted(trials)}
        runs = [row for row in rows.values() if row is not None and row.state == AttemptState.RUNNING]
        return change(self.progress(runs), rows.keys() - {row.trial for row in runs})

    def _begun(self) -> int:
        """Returns how many trials have had a slot."""
        unbegun = sum(not self.attempts.has_begun(row.trial) for row in self.attempts.in_state(*WAITING))
        return self.trials.count - len(self.trials.enqueued) - len(self.trials.within) - unbegun

    def _line(self, row: AttemptRow) -> SlotLine:
        trial, silence = self.storage.get_trial(row.trial), self.silence(row.trial)
        values, expected = trial.intermediate_values, newest(trial.system_attrs)
        step = next(reversed(values), None)
        return SlotLine(
            slot=row.slot,
            device=row.device,
            trial=row.trial,
            attempt=row.number,
            epochs=self.trials.lengths.of(row.trial),
            step=step,
            value=None if step is None else values[step],
            silent=None if silence is None else self.storage.now - silence.since,
            pace=None if silence is None else silence.pace,
            expected=None if expected is None else expected.end,
            spread=None if expected is None else expected.spread,
        )


def _moment(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()
