"""A study that Optuna deletes takes our rows with it, so that the next one, which may get its id, has none of them."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import optuna
import pytest
import sqlalchemy
from every_command import invoke
from leased_store import NOW, LeasedStore, carrying, everything, make_spec, optuna_storage
from sqlalchemy import func, select

from orchestrator.model.planned_run import PlannedRun
from orchestrator.queries.readonly import open_study_reader
from orchestrator.storage import own_tables
from orchestrator.storage.database import Database
from orchestrator.storage.schedule_store import put_slots


def run_by_us(leased: LeasedStore, name: str = "study") -> int:
    """Makes a study with rows in every table of ours; returns Optuna's id of it."""
    leased.store.create(carrying(make_spec(name=name, max_steps=27, pruner={"name": "median"})), NOW)
    leased.commit(everything(), name)
    with optuna_storage(leased.url) as storage:
        return storage.get_study_id_from_name(name)


def run_by_optuna(url: str, name: str) -> int:
    """Has Optuna delete all studies, and run another one."""
    with optuna_storage(url) as storage:
        for summary in optuna.get_all_study_summaries(storage):
            optuna.delete_study(study_name=summary.study_name, storage=storage)
        study = optuna.create_study(storage=storage, study_name=name)
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
        return study._study_id


def of_ours(leased: LeasedStore) -> dict[str, int]:
    with leased.database.read() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in own_tables.OF_A_STUDY
        }


@pytest.mark.parametrize("name", ["study", "another"])
def test_a_study_that_gets_its_id_has_nothing_of_it(
    leased: LeasedStore, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run_by_us(leased)
    assert all(of_ours(leased).values()), "something in every table"
    after = run_by_optuna(leased.url, name)
    if leased.database.dialect == "sqlite":
        assert before == after
    assert not any(of_ours(leased).values())
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", leased.url)
    (listed,) = json.loads(invoke("ls", "--json").stdout)
    assert (listed["study"], listed["state"], listed["complete"]) == (name, "optuna", 2)
    assert listed | {"eta_s": 0} == json.loads(invoke("status", name, "--json").stdout) | {"eta_s": 0}
    for row in json.loads(invoke("trials", name, "--json").stdout):
        assert (row["attempts"], row["host"], row["epochs_trained_again"]) == (0, "", 0)
    why = json.loads(invoke("why", name, "1", "--json").stdout)
    assert (why["attempts"], why["decision"], why["closest"]) == ([], None, None)
    with open_study_reader(leased.url) as history:
        assert not history.recording(name).moments
    assert leased.store.unsettled() == []
    assert leased.store.pending_notifications() == []
    found = leased.store.create(make_spec(name=name), NOW + 9)
    assert (len(found.trials), found.attempts, found.checkpoints, found.closest) == (2, [], [], [])


def test_a_slot_whose_study_is_gone_is_not_one_of_optunas(leased: LeasedStore) -> None:
    run_by_us(leased, "nightly-1")
    with leased.database.write() as connection:
        slot = PlannedRun("nightly", 1, "running", "nightly-1", NOW)
        put_slots(connection, [slot])
    run_by_optuna(leased.url, "nightly-1")
    with open_study_reader(leased.url) as history:
        assert [(slot.study, study) for slot, study in history.slots("nightly", 5)] == [("nightly-1", None)]


def test_what_an_older_version_left_behind_goes_when_the_database_is_prepared(leased: LeasedStore) -> None:
    if leased.database.dialect != "sqlite":
        pytest.skip("a server heeds its foreign keys")
    run_by_us(leased)
    with closing(leased.database.engine.raw_connection()) as connection:
        connection.execute("DROP TRIGGER orchestrator_forgets")
    with optuna_storage(leased.url) as storage:
        optuna.delete_study(study_name="study", storage=storage)
    assert any(of_ours(leased).values())
    database = Database(leased.url)
    database.prepare()
    database.close()
    assert not any(of_ours(leased).values())


def test_other_studies_keep_what_is_theirs(leased: LeasedStore) -> None:
    run_by_us(leased)
    leased.store.create(make_spec(name="other"), NOW)
    before: dict[str, Any] = leased.rows()
    with optuna_storage(leased.url) as storage:
        optuna.delete_study(study_name="other", storage=storage)
    after = leased.rows()
    assert after["orchestrator_attempts"] == before["orchestrator_attempts"]
    assert len(after["orchestrator_studies"]) == 1
    with leased.database.read() as connection:
        assert not sqlalchemy.inspect(connection).has_table("orchestrator_forgets")
