"""Optuna's storage as other programs are given it: it cannot write, and what it keeps in memory comes to be known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import optuna
import pytest
from leased_store import LeasedStore, everything
from optuna.distributions import FloatDistribution
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from orchestrator.web import dashboard_storage
from orchestrator.web.dashboard_storage import READING, RereadingStorage, open_storage

X = FloatDistribution(0, 1)
WRITES: dict[str, Callable[[BaseStorage], object]] = {
    "create_new_study": lambda storage: storage.create_new_study([StudyDirection.MINIMIZE], "another"),
    "set_study_user_attr": lambda storage: storage.set_study_user_attr(1, "key", 1),
    "set_study_system_attr": lambda storage: storage.set_study_system_attr(1, "key", 1),
    "create_new_trial": lambda storage: storage.create_new_trial(1),
    "set_trial_param": lambda storage: storage.set_trial_param(2, "x", 0.5, X),
    "set_trial_state_values": lambda storage: storage.set_trial_state_values(2, TrialState.COMPLETE, [0.5]),
    "set_trial_intermediate_value": lambda storage: storage.set_trial_intermediate_value(2, 1, 0.5),
    "set_trial_user_attr": lambda storage: storage.set_trial_user_attr(2, "key", 1),
    "set_trial_system_attr": lambda storage: storage.set_trial_system_attr(2, "key", 1),
    "delete_study": lambda storage: storage.delete_study(1),
}


@contextmanager
def opened(url: str, *, write: bool) -> Iterator[BaseStorage]:
    storage = open_storage(url, write=write)
    try:
        yield storage
    finally:
        close(storage)


def close(storage: BaseStorage) -> None:
    backend = storage._backend if isinstance(storage, RereadingStorage) else storage
    assert isinstance(backend, RDBStorage)
    backend.remove_session()
    backend.engine.dispose()


@pytest.fixture
def study(url: str) -> Iterator[RDBStorage]:
    """Writes into a study of one trial that has ended and one that runs."""
    storage = RDBStorage(url)
    study = optuna.create_study(study_name="study", storage=storage)
    study.add_trial(create_trial(value=0.5, params={"x": 0.5}, distributions={"x": X}))
    study.ask()
    yield storage
    close(storage)


def test_every_way_to_write_is_listed() -> None:
    assert set(WRITES) == {
        name for name in BaseStorage.__abstractmethods__ if name.startswith(("create", "delete", "set"))
    }


def test_whatever_is_called_the_database_refuses(url: str, study: RDBStorage) -> None:
    before = study.get_all_trials(1), study.get_all_studies()
    with opened(url, write=False) as storage:
        assert storage.get_all_trials(1) == before[0]
        for name, call in WRITES.items():
            with pytest.raises(StorageInternalError):
                call(storage)
            assert (study.get_all_trials(1), study.get_all_studies()) == before, name


def test_it_writes_where_that_was_asked_for(url: str, study: RDBStorage) -> None:
    with opened(url, write=True) as storage:
        storage.set_study_user_attr(1, "key", "value")
    assert study.get_study_user_attrs(1) == {"key": "value"}


def test_it_shows_a_search_of_ours(leased: LeasedStore) -> None:
    leased.create()
    leased.commit(everything())
    with opened(leased.url, write=False) as storage:
        trials = storage.get_all_trials(1)
    # Compared as text, as NaN is not equal to itself.
    assert repr(trials) == repr(leased.optuna_trials())


def test_studies_come_in_order(url: str, study: RDBStorage) -> None:
    for name in ("b", "a"):
        study.create_new_study([StudyDirection.MINIMIZE], name)
    with opened(url, write=False) as storage:
        assert [each.study_name for each in storage.get_all_studies()] == ["study", "b", "a"]


def test_what_has_ended_is_read_again_when_that_costs_little_of_the_time(
    url: str, study: RDBStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(dashboard_storage.time, "monotonic", lambda: now)

    class Slow(RereadingStorage):
        """A study that takes a second to be read."""

        def get_trials(self, at: float) -> list[dict[str, object]]:
            nonlocal now
            now = at
            return [trial.system_attrs for trial in self.get_all_trials(1)]

        def _read_trials_from_remote_storage(self, study_id: int) -> None:
            nonlocal now
            super()._read_trials_from_remote_storage(study_id)
            now += 1.0

    storage = Slow(RDBStorage(url))
    assert storage.get_trials(0.0)[0] == {}
    with study.engine.begin() as connection:
        for trial in (1, 2):
            values = f"VALUES ({trial}, 'artifacts:1', '\"late\"')"
            connection.exec_driver_sql(f"INSERT INTO trial_system_attributes (trial_id, key, value_json) {values}")
    # One that runs is read each time.
    assert storage.get_trials(0.9 / READING) == [{}, {"artifacts:1": "late"}]
    assert storage.get_trials(1.0 + 1.0 / READING) == [{"artifacts:1": "late"}] * 2
    close(storage)
