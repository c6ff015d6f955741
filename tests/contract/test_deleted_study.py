"""A study that Optuna deletes takes our rows with it, so that the next one, which may get its id, has none of them."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import optuna
import pytest
import sqlalchemy
from books import NOW, Books, everything, make_spec, optuna_storage
from every_command import invoke
from sqlalchemy import func, select

from orchestrator.model.planned_run import PlannedRun
from orchestrator.queries.readonly import open_study_reader
from orchestrator.storage import own_tables
from orchestrator.storage.database import Database
from orchestrator.storage.schedule_store import put_slots


def run_by_us(books: Books, name: str = "study") -> int:
    """Makes a study with rows in every table of ours; returns Optuna's id of it."""
    books.store.create(make_spec(name=name, max_steps=27, pruner={"name": "median"}), NOW)
    books.commit(everything(), name)
    with optuna_storage(books.url) as storage:
        return storage.get_study_id_from_name(name)


def run_by_optuna(url: str, name: str) -> int:
    """Has Optuna delete all studies, and run another one."""
    with optuna_storage(url) as storage:
        for summary in optuna.get_all_study_summaries(storage):
            optuna.delete_study(study_name=summary.study_name, storage=storage)
        study = optuna.create_study(storage=storage, study_name=name)
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
        return study._study_id


def of_ours(books: Books) -> dict[str, int]:
    with books.database.read() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in own_tables.OF_A_STUDY
        }


@pytest.mark.parametrize("name", ["study", "another"])
def test_a_study_that_gets_its_id_has_nothing_of_it(books: Books, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = run_by_us(books)
    assert all(of_ours(books).values()), "something in every table"
    after = run_by_optuna(books.url, name)
    if books.database.dialect == "sqlite":
        assert before == after
    assert not any(of_ours(books).values())
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", books.url)
    (listed,) = json.loads(invoke("ls", "--json").stdout)
    assert (listed["study"], listed["state"], listed["complete"]) == (name, "optuna", 2)
    assert listed | {"eta_s": 0} == json.loads(invoke("status", name, "--json").stdout) | {"eta_s": 0}
    for row in json.loads(invoke("trials", name, "--json").stdout):
        assert (row["attempts"], row["host"], row["epochs_trained_again"]) == (0, "", 0)
    why = json.loads(invoke("why", name, "1", "--json").stdout)
    assert (why["attempts"], why["decision"], why["closest"]) == ([], None, None)
    with open_study_reader(books.url) as history:
        assert not history.recording(name).moments
    assert books.store.unsettled() == []
    assert books.store.pending_notifications() == []
    found = books.store.create(make_spec(name=name), NOW + 9)
    assert (len(found.trials), found.attempts, found.checkpoints, found.closest) == (2, [], [], [])


def test_a_slot_whose_study_is_gone_is_not_one_of_optunas(books: Books) -> None:
    run_by_us(books, "nightly-1")
    with books.database.write() as connection:
        slot = PlannedRun("nightly", 1, "running", "nightly-1", NOW)
        put_slots(connection, [slot])
    run_by_optuna(books.url, "nightly-1")
    with open_study_reader(books.url) as history:
        assert [(slot.study, study) for slot, study in history.slots("nightly", 5)] == [("nightly-1", None)]


def test_what_an_older_version_left_behind_goes_when_the_database_is_prepared(books: Books) -> None:
    if books.database.dialect != "sqlite":
        pytest.skip("a server heeds its foreign keys")
    run_by_us(books)
    with closing(books.database.engine.raw_connection()) as connection:
        connection.execute("DROP TRIGGER orchestrator_forgets")
    with optuna_storage(books.url) as storage:
        optuna.delete_study(study_name="study", storage=storage)
    assert any(of_ours(books).values())
    database = Database(books.url)
    database.prepare()
    database.close()
    assert not any(of_ours(books).values())


def test_other_studies_keep_what_is_theirs(books: Books) -> None:
    run_by_us(books)
    books.store.create(make_spec(name="other"), NOW)
    before: dict[str, Any] = books.rows()
    with optuna_storage(books.url) as storage:
        optuna.delete_study(study_name="other", storage=storage)
    after = books.rows()
    assert after["orchestrator_attempts"] == before["orchestrator_attempts"]
    assert len(after["orchestrator_studies"]) == 1
    with books.database.read() as connection:
        assert not sqlalchemy.inspect(connection).has_table("orchestrator_forgets")
