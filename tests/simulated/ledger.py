"""A database in memory: takes changes as the real one does, and refuses what must never be written."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.trial import FrozenTrial, TrialState

from orchestrator.engine.checkpoints import KEPT
from orchestrator.engine.state import Snapshot
from orchestrator.model.changeset import AttemptRow, Changes, CheckpointRow, DecisionRow
from orchestrator.model.lifecycle import LIVE
from orchestrator.spec import Spec


@dataclass
class TrialRow:
    """One trial; parameters are internal values with their distributions."""

    number: int
    start: float | None
    state: str = "RUNNING"
    end: float | None = None
    values: tuple[float, ...] | None = None
    params: dict[str, tuple[float, str]] = field(default_factory=dict)
    steps: dict[int, float] = field(default_factory=dict)
    user_attrs: dict[str, str] = field(default_factory=dict)
    system_attrs: dict[str, str] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.state not in ("RUNNING", "WAITING")


@dataclass
class Ledger:
    """The rows of one study."""

    spec: Spec
    seed: int
    uid: str = "study-uid"
    state: str = "running"
    reason: str = ""
    trials: dict[int, TrialRow] = field(default_factory=dict)
    attempts: dict[str, AttemptRow] = field(default_factory=dict)
    decisions: dict[tuple[int, str, int], DecisionRow] = field(default_factory=dict)
    closest: dict[int, DecisionRow] = field(default_factory=dict)
    checkpoints: dict[str, CheckpointRow] = field(default_factory=dict)
    redone: list[tuple[int, int, float]] = field(default_factory=list)
    study_user_attrs: dict[str, str] = field(default_factory=dict)
    study_system_attrs: dict[str, str] = field(default_factory=dict)

    def commit(self, changes: Changes, discards: Iterable[str] = ()) -> None:
        """Writes one batch, after which the files ``discards`` are deleted.

        Every assertion here is a rule that the core must keep.
        """
        ended_before = {number for number, row in self.trials.items() if row.ended}
        for number, at in sorted(changes.new_trials.items()):
            assert number == len(self.trials), "trial numbers leave a gap"
            waits = number in changes.enqueued
            self.trials[number] = TrialRow(number, None, "WAITING") if waits else TrialRow(number, at)
        for number, at in changes.starts.items():
            assert number not in ended_before, f"trial {number} starts after its end"
            self.trials[number].state, self.trials[number].start = "RUNNING", at
        for number in changes.returned:
            assert number not in ended_before, f"trial {number} waits after its end"
            assert not self.trials[number].steps, f"trial {number} waits although it has begun"
            self.trials[number].state, self.trials[number].start = "WAITING", None
        for number, name, value, distribution in changes.params:
            assert number not in ended_before, f"trial {number} is given '{name}' after its end"
            assert name not in self.trials[number].params, f"'{name}' of trial {number} is written again"
            self.trials[number].params[name] = (value, distribution)
        for number, step, value in changes.values:
            assert number not in ended_before, f"trial {number} reports after its end"
            assert step not in self.trials[number].steps, f"step {step} of trial {number} is written again"
            self.trials[number].steps[step] = value
        for (number, key), value in (changes.user_attrs | changes.late_user_attrs).items():
            self.trials[number].user_attrs[key] = json.dumps(value)
        for (number, key), value in changes.system_attrs.items():
            self.trials[number].system_attrs[key] = json.dumps(value)
        for (number, key), value in changes.records.items():
            self.trials[number].system_attrs.pop(key, None)
            if value is not None:
                self.trials[number].system_attrs[key] = json.dumps(value)
        self.study_user_attrs |= {key: json.dumps(value) for key, value in changes.study_user_attrs.items()}
        self.study_system_attrs |= {key: json.dumps(v) for key, v in changes.study_system_attrs.items()}
        for number, end in changes.ends.items():
            row = self.trials[number]
            assert not row.ended, f"trial {number} ends a second time"
            assert (end.state == "COMPLETE") <= (end.values is not None), f"trial {number} has no value"
            assert not any(math.isnan(value) for value in end.values or ()), f"trial {number} ends with NaN"
            row.state, row.values, row.end = end.state, end.values, end.at
        for decision in changes.decisions:
            self._decide(decision)
        for number, closest in changes.closest.items():
            assert (closest.trial, closest.action) == (number, "keep")
            self.closest[number] = closest
        self._keep_checkpoints(changes)
        self.redone += changes.redone
        for token, attempt in changes.attempts.items():
            before = self.attempts.get(token)
            assert before is None or before.state in LIVE or attempt.state == before.state
            self.attempts[token] = copy.copy(attempt)
        for token, attempt in changes.acknowledged.items():
            assert attempt == replace(self.attempts[token], acknowledged=attempt.acknowledged), "more has changed"
            self.attempts[token] = copy.copy(attempt)
        if changes.study_state:
            self.state, self.reason, _ = changes.study_state
        self.check_live()
        self.check_checkpoints(discards)

    def _decide(self, decision: DecisionRow) -> None:
        trial, action, step = key = decision.trial, decision.action, decision.step
        assert key not in self.decisions, f"'{action}' of trial {trial} at step {step} is decided twice"
        known = {each.action for each in self.of(trial)}
        # A shadow that is a class of the user's own answers when it can.
        assert action == "shadow" or not known & {"prune", "end"}, f"trial {trial}: {action} after its end"
        assert action == "promote" or action not in known, f"trial {trial}: {action} twice"
        self.decisions[key] = decision

    def _keep_checkpoints(self, changes: Changes) -> None:
        for row in changes.checkpoints:
            assert row.location not in self.checkpoints, f"{row.location} is written twice"
            self.checkpoints[row.location] = row
        for number, location in changes.discarded:
            assert self.checkpoints.pop(location).trial == number

    def check_checkpoints(self, discards: Iterable[str]) -> None:
        """Checkpoints are of trials that go on, two of each at the most, and no such file is deleted."""
        trials = [row.trial for row in self.checkpoints.values()]
        ended = {number for number in trials if self.trials[number].ended}
        assert not ended, f"checkpoints of {sorted(ended)} are kept after their end"
        assert all(trials.count(number) <= KEPT for number in trials), f"too many checkpoints: {sorted(trials)}"
        needed = self.checkpoints.keys() & set(discards)
        assert not needed, f"{sorted(needed)} are deleted and still needed"

    def check_live(self) -> None:
        """Every trial has ended or has exactly one live attempt."""
        live = [row.trial for row in self.attempts.values() if row.state in LIVE]
        assert len(live) == len(set(live)), "two live attempts of one trial"
        open_trials = {n for n, row in self.trials.items() if row.state == "RUNNING"}
        assert open_trials <= set(live), f"no attempt works on {sorted(open_trials - set(live))}"

    def counts(self) -> dict[str, int]:
        """Number of trials by state."""
        states = [row.state for row in self.trials.values()]
        return {state: states.count(state) for state in sorted(set(states))}

    def of(self, trial: int) -> list[DecisionRow]:
        """The decisions about a trial, in order."""
        return [row for row in self.decisions.values() if row.trial == trial]

    def attempts_of(self, trial: int) -> list[AttemptRow]:
        return sorted((row for row in self.attempts.values() if row.trial == trial), key=lambda row: row.number)

    def snapshot(self) -> Snapshot:
        """What an engine would be given that starts now."""
        return Snapshot(
            spec=self.spec,
            uid=self.uid,
            seed=self.seed,
            state=self.state,  # type: ignore[arg-type]
            reason=self.reason,
            trials=[_frozen(row) for row in self.trials.values()],
            attempts=[copy.copy(row) for row in self.attempts.values()],
            closest=list(self.closest.values()),
            checkpoints=list(self.checkpoints.values()),
            study_system_attrs={key: json.loads(text) for key, text in self.study_system_attrs.items()},
            study_user_attrs={key: json.loads(text) for key, text in self.study_user_attrs.items()},
        )

    def rows(self, *, times: bool = True) -> str:
        """Everything, as text: two equal texts are two equal databases, NaN included.

        Without ``times`` also without what depends on them: how much was said behind a decision.
        """
        found = asdict(self)
        found.pop("spec")
        found["attempts"] = sorted(found["attempts"].values(), key=lambda row: (row["trial"], row["number"]))
        for row in found["attempts"]:
            row["state"] = str(row["state"])
        return repr(found if times else _without_times(found))


def _frozen(row: TrialRow) -> FrozenTrial:
    distributions = {name: json_to_distribution(text) for name, (_, text) in row.params.items()}
    return FrozenTrial(
        number=row.number,
        state=TrialState[row.state],
        value=None,
        values=None if row.values is None else list(row.values),
        datetime_start=_local(row.start),
        datetime_complete=_local(row.end),
        params={name: distributions[name].to_external_repr(value) for name, (value, _) in row.params.items()},
        distributions=distributions,
        user_attrs={key: json.loads(text) for key, text in row.user_attrs.items()},
        system_attrs={key: json.loads(text) for key, text in row.system_attrs.items()},
        intermediate_values=dict(row.steps),
        trial_id=row.number,
    )


def _local(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).astimezone().replace(tzinfo=None)


_TIMES = {"start", "end", "at", "created", "sent", "started", "ended", "gap", "acknowledged"}


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_times(each) for key, each in value.items() if key not in _TIMES}
    if isinstance(value, DecisionRow | CheckpointRow):
        return value._replace(at=0.0)
    if isinstance(value, list):
        return [_without_times(each) for each in value]
    return value
