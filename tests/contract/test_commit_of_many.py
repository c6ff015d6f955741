"""The changes of many studies are one commit: as many statements as for one, and the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import optuna
import pytest
import sqlalchemy
from leased_store import NOW, LeasedStore, a_trial, attempt, everything, optuna_storage

from orchestrator.common.errors import ForeignWrite
from orchestrator.model.changeset import Changes, TrialEnd
from orchestrator.model.notifications import DeliveryState
from orchestrator.storage.pipeline import Pipeline, Rows
from orchestrator.storage.store import Store


def of_study(name: str, changes: Changes) -> Changes:
    """Returns the changes with tokens, and keys of notifications, that no other study has."""
    rows = (replace(row, token=f"{name}-{row.token}") for row in changes.attempts.values())
    notes = [note._replace(key=f"{name}:{note.key}") for note in changes.notes]
    return replace(changes, attempts={row.token: row for row in rows}, notes=notes)


def more_trials(first: int, count: int) -> Changes:
    """Returns so many trials in one batch, each with what a trial has."""
    numbers = range(first, first + count)
    rows = [attempt(number, state="done") for number in numbers]
    return Changes(
        new_trials=dict.fromkeys(numbers, NOW),
        enqueued={number for number in numbers if number % 3 == 0},
        starts=dict.fromkeys(numbers, NOW + 1),
        ends={number: TrialEnd("COMPLETE", (float(number),), NOW + 2) for number in numbers},
        values=[(number, step, 0.5) for number in numbers for step in range(3)],
        user_attrs={(number, "note"): number for number in numbers},
        attempts={row.token: row for row in rows},
    )


@contextmanager
def counted(leased: LeasedStore) -> Iterator[list[str]]:
    """Yields the statements that the server is given inside."""
    given: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        given.append(statement)

    def execute(pipeline: Pipeline, statement: str, parameters: Any = None) -> Rows:
        given.append(statement)
        return original(pipeline, statement, parameters)

    sqlalchemy.event.listen(leased.database.engine, "before_cursor_execute", note)
    original = Pipeline.exec_driver_sql
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Pipeline, "exec_driver_sql", execute)
            yield given
    finally:
        sqlalchemy.event.remove(leased.database.engine, "before_cursor_execute", note)


def commit(leased: LeasedStore, names: list[str], changes: Changes) -> list[str]:
    """Commits these changes for each of the studies; returns the statements that it took."""
    with counted(leased) as given:
        leased.store.commit(
            {name: of_study(name, changes) for name in names},
            dict.fromkeys(range(len(names)), "{}"),
            {f"{name}:uid:best:0": DeliveryState("sent", 1, "", NOW) for name in names},
        )
    return given


def test_the_number_of_statements_does_not_grow_with_that_of_studies_and_trials(leased: LeasedStore) -> None:
    names = [f"study-{number}" for number in range(111)]
    for name in names:
        leased.create(name=name)
    one = commit(leased, names[:1], everything())
    assert 20 < len(one) < 40
    assert commit(leased, names[1:11], everything()) == one
    assert commit(leased, names[11:], everything()) == one
    single = commit(leased, names[:1], more_trials(4, 1))
    assert commit(leased, names[1:11], more_trials(4, 1)) == single
    assert commit(leased, names[11:], more_trials(4, 3)) == single
    assert commit(leased, names[1:2], more_trials(5, 100)) == single
    assert [len(leased.load(names[number]).trials) for number in (0, 1, 10, 110)] == [5, 105, 5, 7]


def test_what_is_written_together_is_what_would_be_written_alone(leased: LeasedStore) -> None:
    names = ["alone", "one", "two", "three"]
    for name in names:
        leased.create(name=name)
    leased.store.commit({"alone": of_study("alone", everything())})
    leased.store.commit({"alone": of_study("alone", more_trials(4, 7))})
    leased.store.commit({name: of_study(name, everything()) for name in names[1:]})
    leased.store.commit({name: of_study(name, more_trials(4, 7)) for name in names[1:]})

    alone = leased.load("alone")
    for name in names[1:]:
        found = leased.load(name)
        assert [_shown(trial) for trial in found.trials] == [_shown(trial) for trial in alone.trials]
        assert [asdict(row) | {"token": ""} for row in found.attempts] == [
            asdict(row) | {"token": ""} for row in alone.attempts
        ]
        assert repr((found.closest, found.checkpoints)) == repr((alone.closest, alone.checkpoints))
        assert (found.state, found.study_user_attrs) == (alone.state, alone.study_user_attrs)
        numbers = {trial.number: trial._trial_id for trial in found.trials}
        assert numbers == {number: leased.store.trial_id(name, number) for number in numbers}


def _shown(trial: optuna.trial.FrozenTrial) -> str:
    return repr({key: value for key, value in vars(trial).items() if key != "_trial_id"})


def test_a_trial_of_another_process_is_found_in_a_study_that_has_long_rested(leased: LeasedStore) -> None:
    """Its id is larger than any that is known of that study, and smaller than those of the study beside it."""
    for name in ("rests", "grows", "fresh"):
        leased.create(name=name)
    leased.store.commit({"rests": of_study("rests", a_trial())})
    with optuna_storage(leased.url) as storage:
        optuna.load_study(study_name="rests", storage=storage).ask()
    for number in range(5):
        leased.store.commit({"grows": of_study("grows", a_trial(number))})
    together = {
        "rests": of_study("rests", a_trial(1)),
        "grows": of_study("grows", a_trial(5)),
        "fresh": of_study("fresh", a_trial()),
    }

    with pytest.raises(ForeignWrite, match="trial 1 was made by another process"):
        leased.store.commit(together)

    assert [len(leased.load(name).trials) for name in together] == [2, 5, 0]
    del together["rests"]
    for _ in range(2):
        leased.store.commit(together)
    assert [len(leased.load(name).trials) for name in together] == [6, 1]


def test_the_live_attempts_are_told_by_study(leased: LeasedStore) -> None:
    for name in ("one", "two", "rests"):
        leased.create(name=name)
    ended = attempt(0, state="done")
    leased.commit(
        Changes(
            new_trials={0: NOW, 1: NOW}, attempts={"a": replace(ended, token="a"), "b": replace(attempt(1), token="b")}
        ),
        "one",
    )
    leased.commit(Changes(new_trials={0: NOW}, attempts={"c": replace(attempt(0, state="running"), token="c")}), "two")
    assert leased.store.live_tokens() == {"one": ["b"], "two": ["c"]}


def test_a_commit_whose_reply_was_lost_is_written_again_without_its_ids(leased: LeasedStore) -> None:
    """A store that has not seen the ids is in the place of the one that never got the reply."""
    for name in ("one", "two"):
        leased.create(name=name)
    batches = {name: of_study(name, everything()) for name in ("one", "two")}
    unaware = Store(leased.database, leased.lease)
    for name in batches:
        unaware.load(name)
    leased.store.commit(batches)
    rows = leased.rows()

    unaware.commit(batches)

    assert leased.rows() == rows
    for name in batches:
        ids = {trial.number: trial._trial_id for trial in leased.load(name).trials}
        assert ids == {number: unaware.trial_id(name, number) for number in ids}
    unaware.close()
