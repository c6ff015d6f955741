"""Records read from the database: one trial with everything stored of it, or a study's history."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from orchestrator.model.changeset import AttemptRow, DecisionRow
from orchestrator.model.lifecycle import WAITING
from orchestrator.model.ranking import ranked
from orchestrator.model.trial_length import length
from orchestrator.pruning import Decision, Direction
from orchestrator.pruning.expectations import Expectation


@dataclass(frozen=True)
class StudyFacts:
    """A study as a whole.

    Attributes:
        spec: The stored form; None for a study of Optuna's that this program never ran.
        trials: How many trials there are, in whatever state.
        completed: Final value by trial, of those that are COMPLETE; empty where there are several objectives.
        constraints: By trial, of those that have any.
        objectives: How many values a trial has; ``direction`` is that of the first one.
        attended: Whether a control plane looks after it, where it needs one.
    """

    name: str
    direction: Direction
    spec: Mapping[str, Any] | None
    state: str
    reason: str
    trials: int
    completed: Mapping[int, float]
    objectives: int = 1
    constraints: Mapping[int, Sequence[float]] = field(default_factory=dict)
    attended: bool = True

    @cached_property
    def ranking(self) -> list[int]:
        """The completed trials that satisfy their constraints, the best one first."""
        return ranked(self.completed, self.constraints, maximize=self.direction == "maximize")[0]

    @property
    def max_steps(self) -> int | None:
        """Epochs of a full trial, where the spec says so."""
        return None if self.spec is None else self.spec.get("max_steps")


@dataclass(frozen=True)
class TrialFacts:
    """One trial. ``state`` is Optuna's; ``values`` are one for each objective, or none; ``steps`` in the order of
    recording; ``attempts`` by their number.

    ``standing`` is where a trial that is paused at a rung stands there now. ``failure`` is how it failed, as the engine
    keeps it. ``redone`` counts epochs that were trained again after a loss. ``source`` is the digest of its objective's
    source; ``first_source`` is the number of the study's first trial that has one, and that digest. ``retry_of`` is the
    trial whose parameters it was made with, ``retries`` are those that were made with its own. ``expectations`` are how
    the study's rule expected it to end. ``leads`` is whether it was asked for as the best, and only leads so far.
    """

    study: StudyFacts
    number: int
    state: str
    values: tuple[float, ...]
    params: Mapping[str, Any]
    steps: Mapping[int, float]
    failure: Mapping[str, Any] = field(default_factory=dict)
    decisions: Sequence[DecisionRow] = ()
    closest: DecisionRow | None = None
    attempts: Sequence[AttemptRow] = ()
    redone: int = 0
    standing: Decision | None = None
    source: str = ""
    first_source: tuple[int, str] | None = None
    retry_of: int | None = None
    retries: Sequence[int] = ()
    measured: Mapping[str, int] = field(default_factory=dict)
    expectations: Sequence[Expectation] = ()
    leads: bool = False

    @property
    def trained(self) -> int:
        """How many epochs, or steps, it was trained."""
        return length(len(self.steps), max(self.steps, default=None), self.study.max_steps)


@dataclass(frozen=True)
class TrialHead:
    """The part of a trial that decides whether and where it stands in a list.

    Attributes:
        id: Optuna's id of it in the database.
        state: Optuna's; ``live`` is that of its live attempt, empty where it has none.
        attempts: Those that were tries: not the ones that the end of the study took out of the queue.
        attended: Whether a control plane looks after its study, where that needs one.
        slot_seconds: For how long its ended attempts had a slot; ``slot_since`` is when the one that has one now began.
        started, ended: UTC; Optuna's, which has a trial start when it is asked for, until its first attempt does.
        feasible: Whether it violates none of its constraints.
    """

    id: int
    number: int
    state: str
    live: str
    values: tuple[float, ...]
    started: datetime | None
    ended: datetime | None
    epochs: int
    attempts: int
    feasible: bool
    attended: bool = True
    slot_seconds: float | None = None
    slot_since: datetime | None = None

    @property
    def began(self) -> datetime | None:
        """When it began; None while it waits in the queue for the first time, although it has been asked for."""
        return None if self.live in WAITING and self.attempts < 2 else self.started

    def on_slot(self, now: datetime) -> float | None:
        """Returns the seconds in which it had a slot, until ``now``; None where no attempt is known."""
        if self.slot_seconds is None and self.slot_since is None:
            return None
        running = 0.0 if self.slot_since is None else max(0.0, (now - self.slot_since).total_seconds())
        # The clock of the host that asks may be behind.
        return min((self.slot_seconds or 0.0) + running, self.lasted(now) or math.inf)

    def lasted(self, now: datetime | None = None) -> float | None:
        """Returns the seconds from its beginning to its end, or until ``now``; None where either is not known."""
        began, until = self.began, self.ended or now
        return None if began is None or until is None else max(0.0, (until - began).total_seconds())


@dataclass(frozen=True)
class ListedTrial:
    """One trial of a list, with everything that a row shows.

    Attributes:
        user_attrs: Optuna's, the objective's own and ours.
        last_step, last_value: The highest step that was reported, and its value.
        last: The latest attempt.
        redone: Epochs that were trained again after a loss.
        measured: What its workers measured, by name; see ``measurements``.
    """

    head: TrialHead
    params: Mapping[str, Any]
    user_attrs: Mapping[str, Any]
    last_step: int | None
    last_value: float | None
    last: AttemptRow | None
    redone: int
    measured: Mapping[str, int]


@dataclass(frozen=True)
class EnqueuedTrial:
    """A trial that was enqueued while no control plane runs, and has no number yet.

    ``params`` are those that it is to have, ``retry_of`` the trial whose parameters it takes; neither is known of a
    command that cannot be read.
    """

    params: Mapping[str, Any] | None = None
    user_attrs: Mapping[str, Any] = field(default_factory=dict)
    retry_of: int | None = None


@dataclass(frozen=True)
class RecordedTrial:
    """How a trial ended; times in seconds since the epoch, None where there is none."""

    state: str
    value: float | None
    started: float | None
    ended: float | None


@dataclass(frozen=True)
class Recording:
    """A study's history.

    Attributes:
        trials: By number.
        reports: (trial, step, value) in the order in which they were recorded, over all trials.
        moments: When a report was recorded, by (trial, step), of the few for which that is known.
    """

    study: StudyFacts
    trials: Mapping[int, RecordedTrial]
    reports: Sequence[tuple[int, int, float]]
    moments: Mapping[tuple[int, int], float] = field(default_factory=dict)
