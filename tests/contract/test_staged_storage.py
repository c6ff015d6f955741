"""The storage is an Optuna storage like any other, and what it adds: staging, time from outside, sampling ahead."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from datetime import UTC, datetime

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.testing.pytest_storages import StorageTestCase
from optuna.trial import TrialState, create_trial

from orchestrator.model.changeset import Changes, TrialEnd
from orchestrator.sampling.staged_storage import StagedStorage

NOW = 1_700_000_000.25
X = FloatDistribution(0.0, 1.0)
KIND = CategoricalDistribution(["a", "b"])


class Ticking(StagedStorage):
    """A storage on the real clock, which Optuna's suite looks at."""

    @property
    def now(self) -> float:
        return time.time()

    @now.setter
    def now(self, at: float) -> None:
        pass


class TestAsAStorage(StorageTestCase):
    """Optuna's own conformance suite."""

    @pytest.fixture
    def storage(self) -> StagedStorage:
        return Ticking()

    def test_get_all_trials_not_modified(self, storage: BaseStorage) -> None:
        """The one thing that differs: trials that were read without a copy go on showing later epochs.

        Optuna copies the whole history of a trial at each epoch to prevent it, for readers in other threads.
        """
        study = storage.create_new_study([StudyDirection.MINIMIZE])
        for _ in range(3):
            storage.create_new_trial(study)
        read = storage.get_all_trials(study, deepcopy=False)
        before = copy.deepcopy(read)
        for trial, state in zip(before, (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL), strict=True):
            storage.set_trial_param(trial._trial_id, "x", 0.5, X)
            storage.set_trial_user_attr(trial._trial_id, "user", 0)
            storage.set_trial_system_attr(trial._trial_id, "system", 0)
            storage.set_trial_state_values(trial._trial_id, state, [0.0])
        assert read == before
        number = storage.create_new_trial(study)
        (*_, read_before) = storage.get_all_trials(study, deepcopy=False)
        (*_, copied_before) = storage.get_all_trials(study, deepcopy=True)
        storage.set_trial_intermediate_value(number, 0, 1.0)
        assert (read_before.intermediate_values, copied_before.intermediate_values) == ({0: 1.0}, {})


@pytest.fixture
def storage() -> StagedStorage:
    """A storage with one trial, and nothing staged."""
    made = StagedStorage()
    made.now = NOW
    made.create_study("study", ["minimize"])
    made.create_new_trial(0)
    made.take_changes()
    return made


def local(at: float) -> datetime:
    return datetime.fromtimestamp(at, UTC).astimezone().replace(tzinfo=None)


Write = Callable[[StagedStorage], object]
WRITES: dict[str, tuple[Write, Changes]] = {
    "trial": (lambda m: m.create_new_trial(0), Changes(new_trials={1: NOW})),
    "parameter": (
        lambda m: m.set_trial_param(0, "kind", 1, KIND),
        Changes(params=[(0, "kind", 1, distribution_to_json(KIND))]),
    ),
    "value": (lambda m: m.set_trial_intermediate_value(0, 3, -0.0), Changes(values=[(0, 3, -0.0)])),
    "complete": (
        lambda m: m.set_trial_state_values(0, TrialState.COMPLETE, [1]),
        Changes(ends={0: TrialEnd("COMPLETE", (1.0,), NOW)}),
    ),
    "pruned": (
        lambda m: m.set_trial_state_values(0, TrialState.PRUNED),
        Changes(ends={0: TrialEnd("PRUNED", None, NOW)}),
    ),
    "fail": (
        lambda m: m.set_trial_state_values(0, TrialState.FAIL),
        Changes(ends={0: TrialEnd("FAIL", None, NOW)}),
    ),
    "start": (lambda m: m.start_trial(0), Changes(starts={0: NOW})),
    "user attribute": (lambda m: m.set_trial_user_attr(0, "k", [1]), Changes(user_attrs={(0, "k"): [1]})),
    "system attribute": (lambda m: m.set_trial_system_attr(0, "k", 2), Changes(system_attrs={(0, "k"): 2})),
    "study's user attribute": (lambda m: m.set_study_user_attr(0, "k", 3), Changes(study_user_attrs={"k": 3})),
    "study's system attribute": (
        lambda m: m.set_study_system_attr(0, "k", 4),
        Changes(study_system_attrs={"k": 4}),
    ),
}


@pytest.mark.parametrize("name", WRITES)
def test_every_write_is_staged(storage: StagedStorage, name: str) -> None:
    write, expected = WRITES[name]
    write(storage)
    assert repr(storage.changes) == repr(expected)
    assert storage.changes


@pytest.mark.parametrize("name", sorted(WRITES.keys() - {"start"}))
def test_what_comes_from_the_database_is_not_staged(storage: StagedStorage, name: str) -> None:
    with storage.loading():
        WRITES[name][0](storage)
    assert not storage.changes
    storage.create_new_trial(0)
    assert storage.changes, "only inside"


def test_changes_are_taken_once(storage: StagedStorage) -> None:
    storage.set_trial_user_attr(0, "k", 1)
    assert storage.take_changes().user_attrs == {(0, "k"): 1}
    assert not storage.take_changes()


def test_a_refused_write_is_not_staged(storage: StagedStorage) -> None:
    storage.set_trial_state_values(0, TrialState.COMPLETE, [1.0])
    storage.take_changes()
    error = optuna.exceptions.UpdateFinishedTrialError
    with pytest.raises(error):
        storage.set_trial_param(0, "x", 0.5, X)
    with pytest.raises(error):
        storage.set_trial_intermediate_value(0, 1, 0.5)
    with pytest.raises(error):
        storage.set_trial_state_values(0, TrialState.FAIL)
    with pytest.raises(error):
        storage.set_trial_user_attr(0, "k", 1)
    with pytest.raises(error):
        storage.set_trial_system_attr(0, "k", 1)
    with pytest.raises(KeyError):
        storage.set_trial_intermediate_value(9, 1, 0.5)
    assert not storage.changes


def test_times_come_from_outside(storage: StagedStorage) -> None:
    assert storage.get_trial(0).datetime_start == local(NOW)
    storage.now = NOW + 60
    storage.start_trial(0)
    assert storage.get_trial(0).datetime_start == local(NOW + 60)
    storage.now = NOW + 3600
    storage.set_trial_state_values(0, TrialState.COMPLETE, [1.0])
    assert storage.get_trial(0).datetime_complete == local(NOW + 3600)
    assert storage.changes.ends[0].at == NOW + 3600


def test_a_waiting_trial_that_is_popped_starts_now(storage: StagedStorage) -> None:
    with storage.loading():
        storage.create_new_trial(0, create_trial(state=TrialState.WAITING))
    study = optuna.study.Study("study", storage)
    storage.now = NOW + 5
    assert study.ask().number == 1
    assert storage.changes.starts == {1: NOW + 5}
    assert storage.get_trial(1).datetime_start == local(NOW + 5)


def test_a_template_keeps_its_own_times(storage: StagedStorage) -> None:
    template = create_trial(value=1.0)
    with storage.loading():
        storage.create_new_trial(0, template)
    found = storage.get_trial(1)
    assert (found.datetime_start, found.datetime_complete) == (template.datetime_start, template.datetime_complete)


def test_the_study_itself_is_not_staged() -> None:
    storage = StagedStorage()
    assert storage.create_study("study", ["maximize"]) == 0
    assert storage.get_study_directions(0) == [StudyDirection.MAXIMIZE]
    assert not storage.changes


# -- sampling ahead -----------------------------------------------------------------------------------------------


def sampled_ahead(storage: StagedStorage) -> StagedStorage:
    with storage.sampling_ahead():
        storage.set_trial_param(0, "x", 0.5, X)
        storage.set_trial_param(0, "kind", 1, KIND)
    return storage


def test_what_is_sampled_ahead_is_seen_and_not_staged(storage: StagedStorage) -> None:
    sampled_ahead(storage)
    assert storage.get_trial(0).params == {"x": 0.5, "kind": "b"}
    assert storage.get_trial_param(0, "x") == 0.5
    assert storage.ahead(0) == {"x": X, "kind": KIND}
    assert not storage.changes
    storage.set_trial_param(0, "y", 0.25, X)
    assert [name for _, name, _, _ in storage.changes.params] == ["y"], "only inside"


def test_what_is_asked_for_becomes_the_trials_own(storage: StagedStorage) -> None:
    sampled_ahead(storage)
    assert storage.use_ahead(0, "kind") == 1
    assert storage.changes.params == [(0, "kind", 1, distribution_to_json(KIND))]
    assert storage.ahead(0) == {"x": X}
    with pytest.raises(KeyError):
        storage.use_ahead(0, "kind")


def test_what_is_dropped_is_gone(storage: StagedStorage) -> None:
    sampled_ahead(storage)
    storage.drop_ahead(0, ["x", "unknown"])
    assert storage.get_trial(0).params == {"kind": "b"}
    assert storage.get_trial(0).distributions == {"kind": KIND}
    assert storage.ahead(0) == {"kind": KIND}
    storage.drop_ahead(0)
    assert storage.get_trial(0).params == {}
    assert storage.ahead(0) == {}
    storage.set_trial_param(0, "x", 0.75, FloatDistribution(0.5, 1.0))
    assert storage.get_trial(0).params == {"x": 0.75}


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL])
def test_a_trial_ends_with_what_it_asked_for_alone(storage: StagedStorage, state: TrialState) -> None:
    sampled_ahead(storage).use_ahead(0, "x")
    storage.set_trial_state_values(0, state, [1.0] if state is TrialState.COMPLETE else None)
    assert storage.get_trial(0).params == {"x": 0.5}
    assert storage.get_trial(0).distributions == {"x": X}
    assert storage.ahead(0) == {}


def test_a_trial_read_before_is_not_changed_behind_its_readers_back(storage: StagedStorage) -> None:
    sampled_ahead(storage)
    read = storage.get_trial(0)
    storage.drop_ahead(0)
    assert read.params == {"x": 0.5, "kind": "b"}


def test_trials_do_not_share_what_was_sampled_ahead(storage: StagedStorage) -> None:
    sampled_ahead(storage)
    storage.create_new_trial(0)
    with storage.sampling_ahead():
        storage.set_trial_param(1, "x", 0.25, X)
    storage.drop_ahead(0)
    assert storage.get_trial(1).params == {"x": 0.25}
    assert storage.use_ahead(1, "x") == 0.25


@pytest.mark.parametrize("first_to_end", [0, 1, 2])
def test_of_equally_good_trials_the_first_one_is_the_best(storage: StagedStorage, first_to_end: int) -> None:
    for _ in range(3):
        storage.create_new_trial(0)
    for number in (first_to_end, *{0, 1, 2} - {first_to_end}):
        storage.set_trial_state_values(number, TrialState.COMPLETE, [0.5])
    assert storage.get_best_trial(0).number == 0
    loaded = StagedStorage()
    with loaded.loading():
        loaded.create_study("s", ["minimize"])
        for trial in storage.get_all_trials(0):
            loaded.create_new_trial(0, trial)
    assert loaded.get_best_trial(0) == storage.get_best_trial(0)
