"""What a look into the database finds, as values: one trial with all that was kept of it, or a study's history."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.changes import AttemptRow, DecisionRow
from orchestrator.pruning import Decision, Direction


@dataclass(frozen=True)
class StudyFacts:
    """A study as a whole.

    Attributes:
        spec: As it is stored; None for a study that Optuna made and this program never trained.
        trials: How many trials there are, in whatever state.
        completed: Final value by trial, of those that are COMPLETE; empty where there are several objectives.
        objectives: How many values a trial has; ``direction`` is that of the first one.
    """

    name: str
    direction: Direction
    spec: Mapping[str, Any] | None
    state: str
    reason: str
    trials: int
    completed: Mapping[int, float]
    objectives: int = 1

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
    source; ``first_source`` is the number of the study's first trial that has one, and that digest.
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


def ranking(completed: Mapping[int, float], direction: Direction) -> list[int]:
    """Returns the trials from best to worst, of equals the first one first; those with NaN are left out."""
    sign = -1.0 if direction == "maximize" else 1.0
    ranked = [number for number, value in completed.items() if not math.isnan(value)]
    return sorted(ranked, key=lambda number: (sign * completed[number], number))
