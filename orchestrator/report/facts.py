"""The facts of a report as values, and what several plots derive from them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

from optuna.trial import FrozenTrial, TrialState

from orchestrator.model.changeset import AttemptRow, DecisionRow
from orchestrator.model.lifecycle import LIVE
from orchestrator.model.search_summary import Summary
from orchestrator.model.state_words import UNATTENDED, study_word, trial_word
from orchestrator.model.study_states import OPTUNAS
from orchestrator.model.trial_length import length
from orchestrator.sampling.best_trials import rank
from orchestrator.spec import Spec

LARGEST = 1e150
"""Beyond it the difference of two values, or its square, may overflow, and no axis can show them."""

_MOST_PACES = 300

RETRIED, PAUSED, RUNNING, RETURNED = "lost, tried again", "on a rung", "still running", "handed back"
_WITHOUT_END, _OVERDUE = (RETRIED, RUNNING), 3.0
_ENDS = {TrialState.COMPLETE: "completed", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


class SlotInterval(NamedTuple):
    """The time of an attempt on a slot: begin and end in seconds since the epoch, and how it ended."""

    slot: str
    trial: int
    attempt: int
    begin: float
    end: float
    kind: str


@dataclass(frozen=True)
class Facts:
    """A study as ``load`` has read it.

    Attributes:
        trials: All of them, by number.
        redone: Number of epochs that were trained again after a loss.
        artifacts: Location of the artifact store, without passwords.
        made: Time of the report, in seconds since the epoch.
        metric_names: Names of the objectives, where the study has any.
        state: State of the study for programs, which may be that no control plane looks after it; empty where it is the
            one in the summary.
        versions: Versions of programs and libraries, by name.
    """

    summary: Summary
    spec: Spec
    trials: Sequence[FrozenTrial]
    attempts: Sequence[AttemptRow] = ()
    decisions: Sequence[DecisionRow] = ()
    redone: int = 0
    artifacts: str = ""
    made: float = 0.0
    versions: Mapping[str, str] = field(default_factory=dict)
    metric_names: Sequence[str] = ()
    state: str = ""

    def of(self, *states: TrialState) -> list[FrozenTrial]:
        """Returns the trials in these states."""
        return [trial for trial in self.trials if trial.state in states]

    @property
    def optunas(self) -> bool:
        """Whether only Optuna has run the study: its spec holds nothing but the directions."""
        return self.summary.state == OPTUNAS

    @property
    def word(self) -> str:
        """The word for the state of the study."""
        return study_word(self.state or self.summary.state)

    def state_of(self, trial: FrozenTrial) -> str:
        """Returns the word for the state of a trial."""
        live = self._live.get(trial.number, "")
        return trial_word(trial.state.name, live, attended=self.state != UNATTENDED)

    @cached_property
    def _live(self) -> dict[int, str]:
        return {row.trial: row.state for row in self.attempts if row.state in LIVE}

    @property
    def single(self) -> bool:
        """Whether the study has one objective."""
        return len(self.spec.objectives) == 1

    @property
    def maximize(self) -> bool:
        return self.spec.objectives[0] == "maximize"

    @property
    def good(self) -> int:
        """1 where larger values are better, -1 where smaller ones are."""
        return 1 if self.maximize else -1

    def objective(self, index: int) -> str:
        """Returns the name of an objective."""
        if index < len(self.metric_names):
            return self.metric_names[index]
        return "value" if self.single else f"objective {index}"

    @cached_property
    def completed(self) -> list[FrozenTrial]:
        """The trials that completed with values that an axis can show."""
        return [
            trial
            for trial in self.of(TrialState.COMPLETE)
            if all(abs(value) <= LARGEST for value in trial.values or [math.nan])
        ]

    @cached_property
    def ranked(self) -> list[FrozenTrial]:
        """``completed``, best first: those that satisfy their constraints before the others, by the first value."""
        good, others = self._by_constraints
        return [*good, *others]

    @cached_property
    def infeasible(self) -> frozenset[int]:
        """The numbers of the completed trials that violate a constraint."""
        return frozenset(trial.number for trial in self._by_constraints[1])

    @cached_property
    def _by_constraints(self) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
        return rank(self.completed, maximize=self.maximize)

    @cached_property
    def intervals(self) -> list[SlotInterval]:
        """The intervals of all attempts, by slot and time; one without an end ends when the report was made."""
        last: dict[int, int] = {}
        for row in self.attempts:
            last[row.trial] = max(row.number, last.get(row.trial, 0))
        states = {trial.number: trial.state for trial in self.trials}
        left = {row.trial for row in self.decisions if row.action == "end"}
        found = [
            SlotInterval(
                slot=(row.slot if row.host in row.slot else f"{row.host} {row.slot}") or "slot",
                trial=row.trial,
                attempt=row.number,
                begin=row.started,
                end=max(row.started, self.made if row.ended is None else row.ended),
                kind=_kind(row, row.number == last[row.trial], states.get(row.trial), row.trial in left),
            )
            for row in self.attempts
            if row.started is not None
        ]
        return sorted(found, key=lambda each: (each.slot, each.begin))

    def worked(self, interval: SlotInterval) -> float:
        """Returns the seconds that an attempt is known to have been at work.

        A search that was killed and goes on the next day notices only then which attempts it has lost. So an attempt
        that was lost, or has no end, counts for at most three times the longest other one.
        """
        length = interval.end - interval.begin
        return min(length, self._longest) if interval.kind in _WITHOUT_END else length

    @cached_property
    def _longest(self) -> float:
        known = [each.end - each.begin for each in self.intervals if each.kind not in _WITHOUT_END]
        return _OVERDUE * max(known) if known else math.inf

    def trained(self, trial: FrozenTrial) -> int:
        """Returns how many epochs, or steps, a trial was trained."""
        return length(len(trial.intermediate_values), trial.last_step, self.spec.max_steps)

    @cached_property
    def seconds_saved(self) -> float | None:
        """Seconds of slot time that pruned trials did not take, at the pace of each; ``None`` where it is not known.

        Time before the first epoch and after the last one (imports, data) is no part of the pace: a trial spends it
        however long it trains.
        """
        full, spent = self.spec.max_steps, self._spent
        if full is None or not spent:
            return None
        beside = _beside_training(list(spent.values()))
        paces = {number: (seconds - beside) / epochs for number, (epochs, seconds) in spent.items()}
        middle = statistics.median(paces.values())
        return sum(
            paces.get(each.number, middle) * max(0, full - self.trained(each)) for each in self.of(TrialState.PRUNED)
        )

    @cached_property
    def seconds(self) -> dict[int, float]:
        """Seconds of slot time by trial, over all of its attempts; of trials that began."""
        found: dict[int, float] = {}
        for interval in self.intervals:
            found[interval.trial] = found.get(interval.trial, 0.0) + self.worked(interval)
        return found

    @cached_property
    def passed(self) -> dict[int, float]:
        """Seconds from the start of a trial's first attempt to the end of its last one, pauses among them."""
        spans: dict[int, tuple[float, float]] = {}
        for each in self.intervals:
            end = each.begin + self.worked(each)
            begin, last = spans.get(each.trial, (each.begin, end))
            spans[each.trial] = min(begin, each.begin), max(last, end)
        return {number: end - begin for number, (begin, end) in spans.items()}

    @cached_property
    def _spent(self) -> dict[int, tuple[int, float]]:
        """Epochs and seconds of slot time by trial, of trials that reported. The first trial of a slot, which waited
        for all imports, counts only where there is no other."""
        first: dict[str, int] = {}
        for interval in self.intervals:
            first.setdefault(interval.slot, interval.trial)
        seconds = self.seconds
        found = {
            trial.number: (self.trained(trial), seconds[trial.number])
            for trial in self.trials
            if trial.number in seconds and self.trained(trial)
        }
        later = {number: each for number, each in found.items() if number not in first.values()}
        return later or found


def _beside_training(spent: list[tuple[int, float]]) -> float:
    """Returns the seconds of a trial's slot time that do not grow with its epochs.

    That is the intercept of the Theil-Sen line through (epochs, seconds); 0 where all trials have one length.
    """
    some = spent[:: -(-len(spent) // _MOST_PACES)]
    slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(some, 2) if a[0] != b[0]]
    if not slopes:
        return 0.0
    slope = max(0.0, statistics.median(slopes))
    beside = statistics.median(seconds - slope * epochs for epochs, seconds in some)
    return min(max(0.0, beside), min(seconds for _, seconds in spent))


def _kind(row: AttemptRow, is_last: bool, state: TrialState | None, left: bool) -> str:
    # A trial that was left at its rung ends with the study, long after its slot was free.
    if row.cause == "promoted" or row.state == "paused" or (is_last and left):
        return PAUSED
    if row.cause == "released":
        return RETURNED
    if row.state == "lost" or not is_last:
        return RETRIED
    return _ENDS.get(state, RUNNING) if state is not None else RUNNING
