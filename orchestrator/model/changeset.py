"""The changes of one batch in the database, gathered by the engine and written by ``storage`` in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple


class TrialEnd(NamedTuple):
    """A trial's terminal state, by Optuna's name, with its values."""

    state: str
    values: tuple[float, ...] | None
    at: float


DecisionAction = Literal["prune", "audit", "promote", "end", "shadow", "keep"]
"""Effect of a decision: it ended the trial; condemned it, but let it run on to be audited; let it go on from its rung;
ended it where it was paused; nothing, because the rule is only a shadow; let it go on (only in ``closest``)."""


class DecisionRow(NamedTuple):
    """A decision as it is kept: what it did, which rule made it, on what grounds."""

    trial: int
    action: DecisionAction
    rule: str
    step: int
    value: float
    threshold: float | None
    peers: int
    at: float


class CheckpointRow(NamedTuple):
    """A checkpoint of a trial; ``location`` relative to the checkpoint URL."""

    trial: int
    step: int
    location: str
    digest: str
    size: int
    at: float


@dataclass(slots=True)
class AttemptRow:
    """One try of one trial, as it stands in the table of attempts. Times are seconds since the epoch, in UTC.

    ``ended`` is when it had its slot no longer: of one that paused at a rung that is when it paused, whatever became of
    it there. ``created`` of the trial's next attempt says when it was promoted.
    """

    token: str
    trial: int
    number: int
    state: str
    created: float
    runner: str = ""
    acknowledged: int = 0
    cause: str = ""
    verdict: str = ""
    verdict_step: int | None = None
    host: str = ""
    pid: int | None = None
    slot: str = ""
    device: str = ""
    sent: float | None = None
    started: float | None = None
    ended: float | None = None
    gap: float | None = None
    latency: float | None = None
    signal_latency: float | None = None


class NoteRow(NamedTuple):
    """A notification: ``body`` is JSON, ``kind`` the way it is delivered, ``key`` unique for all time."""

    key: str
    event: str
    kind: Literal["post", "command"]
    body: str
    at: float


@dataclass
class Changes:
    """Rows to write for one study; trials go by their number, times are seconds since the epoch.

    The core changes it through its methods alone; the writer reads its fields.

    ``enqueued`` are those of ``new_trials`` that wait to be asked for; ``returned`` were asked for, never began, and
    wait to be asked for again. ``values`` holds (trial, step, value) in the order of recording. ``acknowledged`` holds
    the attempts whose only change is that number: most of them.
    Attributes are values still to be made JSON. ``records`` are system attributes, too: of files, set or, where
    ``None``, removed, whether or not the trial has ended; ``late_user_attrs`` are user attributes of trials that have.
    ``closest`` holds, by trial, the decision that came closest to ending a trial that went on. ``discarded`` holds
    (trial, location) of checkpoints that are no longer needed. ``notes`` are the notifications that the spec asks for.
    """

    new_trials: dict[int, float] = field(default_factory=dict)
    enqueued: set[int] = field(default_factory=set)
    starts: dict[int, float] = field(default_factory=dict)
    returned: set[int] = field(default_factory=set)
    ends: dict[int, TrialEnd] = field(default_factory=dict)
    params: list[tuple[int, str, float, str]] = field(default_factory=list)
    values: list[tuple[int, int, float]] = field(default_factory=list)
    user_attrs: dict[tuple[int, str], Any] = field(default_factory=dict)
    system_attrs: dict[tuple[int, str], Any] = field(default_factory=dict)
    records: dict[tuple[int, str], Any] = field(default_factory=dict)
    late_user_attrs: dict[tuple[int, str], Any] = field(default_factory=dict)
    study_user_attrs: dict[str, Any] = field(default_factory=dict)
    study_system_attrs: dict[str, Any] = field(default_factory=dict)
    attempts: dict[str, AttemptRow] = field(default_factory=dict)
    acknowledged: dict[str, AttemptRow] = field(default_factory=dict)
    decisions: list[DecisionRow] = field(default_factory=list)
    closest: dict[int, DecisionRow] = field(default_factory=dict)
    redone: list[tuple[int, int, float]] = field(default_factory=list)
    checkpoints: list[CheckpointRow] = field(default_factory=list)
    discarded: list[tuple[int, str]] = field(default_factory=list)
    notes: list[NoteRow] = field(default_factory=list)
    study_state: tuple[str, str, float] | None = None

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def add_trial(self, trial: int, at: float, *, waits: bool) -> None:
        """Adds a trial; one that ``waits`` is enqueued."""
        self.new_trials[trial] = at
        if waits:
            self.enqueued.add(trial)

    def start_trial(self, trial: int, at: float) -> None:
        self.starts[trial] = at
        self.returned.discard(trial)

    def return_trial(self, trial: int) -> None:
        """Lets a trial that was asked for and never began wait again."""
        self.starts.pop(trial, None)
        self.returned.add(trial)

    def end_trial(self, trial: int, state: str, values: Sequence[float] | None, at: float) -> None:
        """Ends the trial in a terminal ``state``, by Optuna's name."""
        self.ends[trial] = TrialEnd(state, None if values is None else tuple(map(float, values)), at)

    def add_param(self, trial: int, name: str, internal: float, distribution: str) -> None:
        """Adds a parameter: its internal value and its distribution as JSON."""
        self.params.append((trial, name, internal, distribution))

    def add_value(self, trial: int, step: int, value: float) -> None:
        self.values.append((trial, step, value))

    def add_redone(self, trial: int, step: int, value: float) -> None:
        """Adds a value of a step that was recorded before and is trained again."""
        self.redone.append((trial, step, value))

    def set_user_attr(self, trial: int, key: str, value: Any) -> None:
        self.user_attrs[trial, key] = value

    def set_system_attr(self, trial: int, key: str, value: Any) -> None:
        self.system_attrs[trial, key] = value
        self.records.pop((trial, key), None)

    def set_record(self, trial: int, key: str, value: Any | None) -> None:
        """Sets, or with ``None`` removes, the record of a file."""
        self.records[trial, key] = value

    def set_late_user_attr(self, trial: int, key: str, value: Any) -> None:
        """Sets a user attribute of a trial that has ended."""
        self.late_user_attrs[trial, key] = value

    def clear_mark(self, trial: int, key: str) -> None:
        """Removes a system attribute; one that was set since the last batch leaves no trace."""
        if self.system_attrs.pop((trial, key), None) is None or trial not in self.new_trials:
            self.records[trial, key] = None

    def set_study_user_attr(self, key: str, value: Any) -> None:
        self.study_user_attrs[key] = value

    def set_study_system_attr(self, key: str, value: Any) -> None:
        self.study_system_attrs[key] = value

    def set_study_state(self, state: str, reason: str, at: float) -> None:
        self.study_state = state, reason, at

    def set_attempts(self, rows: Mapping[str, AttemptRow], acknowledged: Mapping[str, AttemptRow]) -> None:
        """Sets the attempts that have changed, by their token, and those whose only change is ``acknowledged``."""
        self.attempts, self.acknowledged = dict(rows), dict(acknowledged)

    def add_decision(self, row: DecisionRow) -> None:
        """Adds a decision that did something."""
        self.decisions.append(row)

    def set_closest(self, row: DecisionRow) -> None:
        """Sets the decision that came closest to ending its trial."""
        self.closest[row.trial] = row

    def add_checkpoint(self, row: CheckpointRow) -> None:
        self.checkpoints.append(row)

    def discard_checkpoint(self, row: CheckpointRow) -> None:
        self.discarded.append((row.trial, row.location))

    def add_notes(self, rows: Iterable[NoteRow]) -> None:
        self.notes += rows
