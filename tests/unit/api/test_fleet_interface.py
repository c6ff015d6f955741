"""Studies of a database that no control plane looks after, and what a fleet holds open."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from orchestrator import BadInput, Fleet, OrchestratorError, StudyHandle, connect


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    storage = optuna.storages.RDBStorage(url)
    optuna.create_study(study_name="one", storage=storage)
    storage.remove_session()
    storage.engine.dispose()
    return connect(storage_url=url)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_a_study_that_is_used_no_more_holds_nothing_open(fleet: Fleet) -> None:
    handle = fleet["one"]
    assert handle.study.trials == []
    before = descriptors()
    for _ in range(5):
        assert handle.study.trials == []
    assert descriptors() <= before
    with fleet:
        kept = handle.study
        assert kept.trials == []
        assert descriptors() > before
    assert descriptors() <= before, "the fleet closes it"


@pytest.mark.parametrize("use", [StudyHandle.delete, StudyHandle.report, StudyHandle.status])
def test_a_handle_of_a_closed_fleet_takes_no_call(fleet: Fleet, use: Callable[[StudyHandle], object]) -> None:
    handle = fleet["one"]
    fleet.close()
    with pytest.raises(OrchestratorError, match="the connection to the studies is closed"):
        use(handle)


@pytest.mark.parametrize("params", [None, 5, [1], "lr=1", {1: 2}])
def test_a_configuration_of_a_wrong_type_is_refused(fleet: Fleet, params: Any) -> None:
    with pytest.raises(BadInput, match=r"^enqueue: params: (is|the name of a parameter is) "):
        fleet["one"].enqueue(params)


@pytest.mark.parametrize("limit", [0, -1, "1", True, 1.5])
def test_a_limit_of_trials_is_a_positive_integer(fleet: Fleet, limit: Any) -> None:
    with pytest.raises(BadInput, match="trials: limit: is "):
        fleet["one"].trials(limit=limit)


def test_a_fleet_keeps_its_folder_when_the_program_changes_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ORCHESTRATOR_DATA_DIR", "ORCHESTRATOR_STORAGE_URL", "ORCHESTRATOR_REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "data").mkdir()
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'data' / 'studies.db'}")
    optuna.create_study(study_name="one", storage=storage)
    storage.remove_session()
    storage.engine.dispose()
    monkeypatch.chdir(tmp_path)
    fleet = connect(data_dir="data")
    monkeypatch.chdir("/")
    assert list(fleet) == ["one"]
