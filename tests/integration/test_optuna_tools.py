"""What comes with Optuna works inside an objective, and keeps what it keeps where its own tools find it."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from fleet import Fleet, Servers
from optuna.artifacts import get_all_artifact_meta
from optuna.storages import RDBStorage
from optuna.trial import TrialState

pytestmark = pytest.mark.long


def test_what_comes_with_optuna_is_used_and_kept(tmp_path: Path) -> None:
    # Not where every collection of tests would take seconds to import them.
    for needed in ("optuna_dashboard", "plotly", "sklearn"):
        pytest.importorskip(needed)
    from optuna_dashboard import get_note

    it = Fleet(None, tmp_path)
    (tmp_path / "store").mkdir()
    (tmp_path / "data").mkdir()
    url = f"sqlite:///{tmp_path / 'data' / 'studies.db'}"
    # Of another study, so that Optuna's ids are not the numbers.
    storage = RDBStorage(url)
    other = optuna.create_study(study_name="another", storage=storage)
    for _ in range(3):
        other.ask()
    storage.remove_session()
    storage.engine.dispose()
    spec = it.write_spec(f"""
name = "tools"
objective = "optuna_tools:objective"
trials = 4
seed = 1
[args]
folder = "{tmp_path / "store"}"
""")
    done = it.call("run", str(spec), "--slots", "1")
    assert done.returncode == 0, done.stderr
    servers = Servers("", url)
    try:
        study = servers.study("tools")
        trials = study.trials
        failures = [trial.user_attrs.get("failure") for trial in trials]
        assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4, failures
        assert study.user_attrs["owner"] == "me"
        assert get_note(study) == "note of the study"
        assert [meta.filename for meta in get_all_artifact_meta(study)] == ["notes-0.txt"]
        (enqueued,) = (trial for trial in trials if trial.user_attrs.get("why") == "to see")
        assert enqueued.params == {"x": 0.5, "n": 2}
        for trial in trials:
            assert trial._trial_id != trial.number
            of_it = get_all_artifact_meta(trial, storage=study._storage)
            assert [meta.filename for meta in of_it] == [f"notes-{trial.number}.txt"]
            assert trial.system_attrs["terminator:cv_scores"] == [0.1, 0.2]
            assert trial.user_attrs["copied"] is True
            assert get_note(optuna.Trial(study, trial._trial_id)) == f"note of trial {trial.number}"
    finally:
        servers.close()
