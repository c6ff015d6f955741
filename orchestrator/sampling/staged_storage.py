"""The storage that the sampler works on: all in memory, with every write also staged for the database.

An ask costs the sampler's arithmetic and no query, and what it stages is committed with the events that led to it, in
one transaction. Two things an in-memory storage of Optuna's does not have are added: time comes from outside, and a
trial may have parameters that were sampled ahead. Those look like the trial's own to the sampler, but are written
only when the objective asks for them, and are forgotten when the trial ends without.

Leans on five private names of Optuna's ``InMemoryStorage``; ``tests/contract`` holds this class to Optuna's own
conformance suite and fails when they change.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import math
from collections.abc import Container, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, cast

from optuna.distributions import BaseDistribution
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from orchestrator.model.changeset import Changes
from orchestrator.sampling.distribution_text import to_text

# A study that is made in memory is no news to a user.
logging.getLogger(InMemoryStorage.__module__).setLevel(logging.WARNING)


_RUNNING, _WAITING = TrialState.RUNNING, TrialState.WAITING
"""Looked up once: each event asks several times whether its trial has ended."""


class _Copied:
    """A trial that Optuna's storage need not copy again, which takes longer than to read it from a database."""

    def __init__(self, trial: FrozenTrial) -> None:
        self._trial = trial

    def __deepcopy__(self, memo: object) -> FrozenTrial:
        return self._trial


class StagedStorage(InMemoryStorage):
    """One study in memory. A trial's id is its number.

    Attributes:
        now: Seconds since the epoch, set by the engine before each input.
        changes: What was staged since it was last taken.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.changes = Changes()
        self._recording = True
        self._ahead_only = False
        self._ahead: dict[int, dict[str, BaseDistribution]] = {}
        self._shown: dict[int, FrozenTrial] = {}

    def take_changes(self) -> Changes:
        """Returns what was staged, and begins anew."""
        changes, self.changes = self.changes, Changes()
        return changes

    @contextlib.contextmanager
    def loading(self) -> Iterator[None]:
        """Inside, nothing is staged: what is put in comes from the database."""
        self._recording = False
        try:
            yield
        finally:
            self._recording = True

    @contextlib.contextmanager
    def sampling_ahead(self) -> Iterator[None]:
        """Inside, parameters become the trial's only provisionally."""
        self._ahead_only = True
        try:
            yield
        finally:
            self._ahead_only = False

    def ahead(self, trial_id: int) -> dict[str, BaseDistribution]:
        """Returns the distributions of the parameters sampled ahead that the objective has not asked for."""
        return self._ahead.get(trial_id, {})

    def use_ahead(self, trial_id: int, name: str) -> float:
        """Makes a parameter that was sampled ahead the trial's own; returns its internal value."""
        distribution = self._ahead[trial_id].pop(name)
        internal = self.get_trial_param(trial_id, name)
        trial = copy.copy(self._get_trial(trial_id))
        # Last, as in the database: parameters stand in the order in which they are asked for.
        trial.params = {**{k: v for k, v in trial.params.items() if k != name}, name: trial.params[name]}
        self._set_trial(trial_id, trial)
        if self._recording:
            self.changes.add_param(trial_id, name, internal, to_text(distribution))
        return internal

    def drop_ahead(self, trial_id: int, names: Sequence[str] | None = None) -> None:
        """Forgets parameters sampled ahead: those named, or all that are left."""
        waiting = self._ahead.get(trial_id, {})
        dropped = list(waiting) if names is None else [name for name in names if name in waiting]
        if dropped:
            trial = copy.copy(self._get_trial(trial_id))
            trial.params = {k: v for k, v in trial.params.items() if k not in dropped}
            trial.distributions = {k: v for k, v in trial.distributions.items() if k not in dropped}
            self._set_trial(trial_id, trial)
            for name in dropped:
                del waiting[name]
        if not waiting:
            self._ahead.pop(trial_id, None)

    def show_pruned(self, trial_id: int, shown: bool) -> None:
        """Lets a trial that waits at a rung look pruned there to the sampler, which learns nothing of running ones.

        Only in ``get_all_trials``; the trial itself goes on running, and can be written to.
        """
        if not shown:
            self._shown.pop(trial_id, None)
            return
        trial = copy.copy(self._get_trial(trial_id))
        self._look_pruned(trial)
        drop_params(trial, self.ahead(trial_id))
        self._shown[trial_id] = trial

    def _look_pruned(self, trial: FrozenTrial) -> None:
        """Lets the copy of a trial look pruned at its last report."""
        last = math.nan if trial.last_step is None else trial.intermediate_values[trial.last_step]
        trial.state, trial.values = TrialState.PRUNED, None if math.isnan(last) else [last]
        trial.datetime_complete = trial.datetime_complete or self._datetime()

    def get_trial(self, trial_id: int) -> FrozenTrial:
        return self._get_trial(trial_id)

    def _get_trial(self, trial_id: int) -> FrozenTrial:
        # Without Optuna's lock and checks: an event looks at its trial some seven times, from one thread.
        try:
            study_id, number = self._trial_id_to_study_id_and_number[trial_id]
        except KeyError:
            raise KeyError(f"No trial with trial_id {trial_id} exists.") from None
        return self._studies[study_id].trials[number]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        if not self._shown:
            return super().get_all_trials(study_id, deepcopy, states)
        trials = [self._shown.get(trial._trial_id, trial) for trial in super().get_all_trials(study_id, deepcopy=False)]
        return in_states(trials, states, deepcopy)

    def get_n_trials(self, study_id: int, state: tuple[TrialState, ...] | TrialState | None = None) -> int:
        # Optuna's counts a copy of the list, and the engine asks at every event.
        return len(self._studies[study_id].trials) if state is None else super().get_n_trials(study_id, state)

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """Of equally good trials the first one, whichever ended first: a storage that is loaded anew must agree."""
        best = super().get_best_trial(study_id)
        for number in range(best._trial_id):
            trial = self._get_trial(number)
            if trial.state is TrialState.COMPLETE and trial.values == best.values:
                return copy.deepcopy(trial)
        return best

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        trial_id = super().create_new_trial(study_id, template_trial)
        if template_trial is None:
            self._get_trial(trial_id).datetime_start = self._datetime()
        if self._recording:
            waits = template_trial is not None and template_trial.state is TrialState.WAITING
            self.changes.add_trial(trial_id, self.now, waits=waits)
        return trial_id

    def load_trial(self, trial: FrozenTrial) -> None:
        """Takes in a stored trial, as the next one. Nothing is staged, and the trial given is not changed later."""
        taken = copy.copy(trial)
        taken.intermediate_values = dict(trial.intermediate_values)
        super().create_new_trial(0, cast(FrozenTrial, _Copied(taken)))

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        super().set_trial_param(trial_id, param_name, param_value_internal, distribution)
        if self._ahead_only:
            self._ahead.setdefault(trial_id, {})[param_name] = distribution
        elif self._recording:
            self.changes.add_param(trial_id, param_name, param_value_internal, to_text(distribution))

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        if state.is_finished():
            self.check_trial_is_updatable(trial_id, self._get_trial(trial_id).state)
            self.drop_ahead(trial_id)
        changed = super().set_trial_state_values(trial_id, state, values)
        trial = self._get_trial(trial_id)
        if changed and state is TrialState.RUNNING:
            trial.datetime_start = self._datetime()
            if self._recording:
                self.changes.start_trial(trial_id, self.now)
        elif changed and state is TrialState.WAITING:
            trial.datetime_start = None
            if self._recording:
                self.changes.return_trial(trial_id)
        elif changed and state.is_finished():
            trial.datetime_complete = self._datetime()
            if self._recording:
                self.changes.end_trial(trial_id, state.name, values, self.now)
        return changed

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        # In place: Optuna's copies the whole history of the trial for each epoch, for readers in other threads.
        trial = self._get_trial(trial_id)
        if trial.state is not _RUNNING:
            self.check_trial_is_updatable(trial_id, trial.state)
        trial.intermediate_values[step] = intermediate_value
        if self._recording:
            self.changes.add_value(trial_id, step, intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_user_attr(trial_id, key, value)
        if self._recording:
            self.changes.set_user_attr(trial_id, key, value)

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        super().set_trial_system_attr(trial_id, key, value)
        if self._recording:
            self.changes.set_system_attr(trial_id, key, value)

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_user_attr(study_id, key, value)
        if self._recording:
            self.changes.set_study_user_attr(key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        super().set_study_system_attr(study_id, key, value)
        if self._recording:
            self.changes.set_study_system_attr(key, value)

    def set_record(self, trial_id: int, key: str, value: Any | None) -> None:
        """Sets or, with ``None``, removes the record of a file: a system attribute that may change after the trial has
        ended, when its last files arrive, and when they are not needed any more."""
        trial = copy.copy(self._get_trial(trial_id))
        trial.system_attrs = {name: kept for name, kept in trial.system_attrs.items() if name != key}
        if value is not None:
            trial.system_attrs[key] = value
        self._set_trial(trial_id, trial)
        self.changes.set_record(trial_id, key, value)

    def has_ended(self, trial_id: int) -> bool:
        """Whether the trial is in a terminal state."""
        state = self._get_trial(trial_id).state
        return state is not _RUNNING and state is not _WAITING

    def set_late_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Sets a system attribute of a trial, whether or not it has ended."""
        if self.has_ended(trial_id):
            self.set_record(trial_id, key, value)
        else:
            self.set_trial_system_attr(trial_id, key, value)

    def set_late_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """Sets a user attribute of a trial, whether or not it has ended."""
        if not self.has_ended(trial_id):
            self.set_trial_user_attr(trial_id, key, value)
            return
        trial = copy.copy(self._get_trial(trial_id))
        trial.user_attrs = trial.user_attrs | {key: value}
        self._set_trial(trial_id, trial)
        self.changes.set_late_user_attr(trial_id, key, value)

    def clear_mark(self, trial_id: int, key: str) -> None:
        """Removes a system attribute that stood there for a while, whether or not the trial has ended."""
        trial = copy.copy(self._get_trial(trial_id))
        trial.system_attrs = {name: kept for name, kept in trial.system_attrs.items() if name != key}
        self._set_trial(trial_id, trial)
        self.changes.clear_mark(trial_id, key)

    def stored_trials(self) -> list[FrozenTrial]:
        """Returns all trials as they are stored, those that wait at a rung too."""
        return super().get_all_trials(0, deepcopy=False)

    def start_trial(self, trial_id: int) -> None:
        """Notes that the trial's first attempt has begun."""
        self._get_trial(trial_id).datetime_start = self._datetime()
        self.changes.start_trial(trial_id, self.now)

    def create_study(self, name: str, directions: Sequence[str]) -> int:
        """Creates the study this is the storage of; nothing is staged, the database has it."""
        return self.create_new_study([StudyDirection[direction.upper()] for direction in directions], name)

    def _datetime(self) -> datetime:
        # Naive local time, as every other FrozenTrial has it.
        return datetime.fromtimestamp(self.now, UTC).astimezone().replace(tzinfo=None)


def drop_params(trial: FrozenTrial, names: Container[str]) -> None:
    """Takes these parameters out of the copy of a trial."""
    trial.params = {name: value for name, value in trial.params.items() if name not in names}
    trial.distributions = {name: kept for name, kept in trial.distributions.items() if name not in names}


def in_states(trials: list[FrozenTrial], states: Container[TrialState] | None, deepcopy: bool) -> list[FrozenTrial]:
    """Returns the trials in these states, or all where that is ``None``, as ``BaseStorage.get_all_trials`` does."""
    if states is not None:
        trials = [trial for trial in trials if trial.state in states]
    return copy.deepcopy(trials) if deepcopy else trials
