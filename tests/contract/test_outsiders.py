"""What Optuna does to a study while it runs has one outcome each, and none for the study beside it.

The control plane and the database are real; slots and Redis are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState, create_trial

from orchestrator.spec.model import validate
from orchestrator.storage.command_table import CommandTable
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.store import Store
from tests import prepared_databases
from tests.simulated.course import Run
from tests.simulated.simulation import LEASE, Simulation

TRIALS = 5
SEARCH: dict[str, Any] = {
    "objective": "somewhere:objective",
    "trials": TRIALS,
    "seed": 3,
    "sampler": {"name": "random"},
    "pruner": {"name": "none"},
}
RING = {b"ring": b"orchestrator:doorbell"}


class World:
    """Two studies on one slot each; the one is changed, and the other must not notice."""

    def __init__(self, url: str, closing: ExitStack) -> None:
        self.database = Database(url)
        closing.callback(self.database.close)
        self.storage = optuna.storages.RDBStorage(url)
        closing.callback(self.storage.engine.dispose)
        closing.callback(self.storage.remove_session)
        self._closing = closing
        self.slots = Simulation(validate(SEARCH | {"name": "other"}, "test"), slots=2, store=self.open)
        self.open().create(validate(SEARCH | {"name": "study"}, "test"), self.slots.now)
        self.slots.start()

    def open(self) -> Store:
        lease = WriterLease(self.database, 60.0)
        assert lease.acquire() is None
        store = Store(self.database, lease)
        self._closing.callback(store.close)
        return store

    def study(self, name: str = "study") -> optuna.Study:
        return optuna.load_study(study_name=name, storage=self.storage)

    def go_on(self, until: Callable[[], object], what: str) -> None:
        for _ in range(400):
            for slot in list(self.slots.slots):
                self.slots.turn(slot)
            self.slots.round(wait=True)
            if until():
                return
        raise AssertionError(what)

    def running(self) -> Run:
        """Goes on until a trial of the study has reported something, and returns the start of it."""

        def found() -> list[Run]:
            runs = [slot.run for slot in self.slots.slots if slot.run and slot.run.job.study == "study"]
            return [run for run in runs if len(run.said) == 4]

        self.go_on(found, "a trial has reported")
        return found()[0]

    def state(self, name: str = "study") -> str | None:
        with self.database.read() as connection:
            query = (
                "SELECT o.state FROM orchestrator_studies o JOIN studies s USING (study_id) WHERE study_name = :name"
            )
            return connection.scalar(sqlalchemy.text(query), {"name": name})

    def end(self, *names: str) -> None:
        self.go_on(lambda: all(self.state(name) == "finished" for name in names), f"{names} end")

    def is_idle(self) -> bool:
        return not any(slot.run for slot in self.slots.slots)


def results(study: optuna.Study) -> list[tuple[Any, ...]]:
    return [(each.number, each.state, each.values, each.params, each.intermediate_values) for each in study.trials]


@pytest.fixture
def world(url: str) -> Iterator[World]:
    with ExitStack() as closing:
        yield World(url, closing)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, ...]]:
    """What the other study comes to where nothing happens."""
    url = prepared_databases.sqlite(tmp_path_factory.mktemp("undisturbed") / "study.db")
    with ExitStack() as closing:
        world = World(url, closing)
        world.end("study", "other")
        assert results(world.study("other")) == results(world.study())
        return results(world.study("other"))


def states(study: optuna.Study) -> list[str]:
    return [each.state.name for each in study.trials]


def test_a_trial_that_was_told_stays_so_and_its_runner_stops(world: World, undisturbed: Any) -> None:
    run = world.running()
    world.study().tell(run.job.trial, 0.5)
    world.end("study", "other")
    trials = world.study().trials
    assert (trials[run.job.trial].state, trials[run.job.trial].value) == (TrialState.COMPLETE, 0.5)
    assert type(run.said[-1].body).__name__ == "Stopped"
    assert states(world.study()) == ["COMPLETE"] * TRIALS
    assert results(world.study("other")) == undisturbed


def test_a_trial_that_was_added_counts_towards_the_budget(world: World, undisturbed: Any) -> None:
    world.running()
    added = create_trial(value=-1.0, params={}, distributions={})
    world.study().add_trial(added)
    world.end("study", "other")
    assert states(world.study()) == ["COMPLETE"] * TRIALS
    assert world.study().best_value == -1.0
    assert results(world.study("other")) == undisturbed


def test_a_trial_that_was_enqueued_is_the_next_one(world: World, undisturbed: Any) -> None:
    run = world.running()
    world.study().enqueue_trial({"x": 0.125}, user_attrs={"from": "a notebook"})
    world.end("study", "other")
    assert states(world.study()) == ["COMPLETE"] * TRIALS
    (found,) = [each for each in world.study().trials if each.params["x"] == 0.125]
    assert found.user_attrs["from"] == "a notebook"
    assert found.number <= run.job.trial + 3
    assert results(world.study("other")) == undisturbed


def test_a_trial_that_was_asked_for_is_trained_here(world: World, undisturbed: Any) -> None:
    world.running()
    asked = world.study().ask()
    world.end("study", "other")
    assert states(world.study()) == ["COMPLETE"] * TRIALS
    assert any(run.job.trial == asked.number and run.job.study == "study" for run in world.slots.runs)
    assert results(world.study("other")) == undisturbed


def test_attributes_stay(world: World, undisturbed: Any) -> None:
    run = world.running()
    study = world.study()
    study.set_user_attr("owner", "me")
    id = world.storage.get_trial_id_from_study_id_trial_number(study._study_id, run.job.trial)
    world.storage.set_trial_user_attr(id, "note", "good")
    world.storage.set_trial_system_attr(id, "mine", [1])
    # Of a step that is reported twice the first value counts, from whichever program.
    world.storage.set_trial_intermediate_value(id, 3, 7.0)
    world.end("study", "other")
    trial = world.study().trials[run.job.trial]
    assert world.study().user_attrs["owner"] == "me"
    assert (trial.user_attrs["note"], trial.system_attrs["mine"]) == ("good", [1])
    assert trial.intermediate_values[3] == 7.0
    assert states(world.study()) == ["COMPLETE"] * TRIALS
    assert results(world.study("other")) == undisturbed


def test_of_a_study_that_was_deleted_the_runners_stop(
    world: World, undisturbed: Any, caplog: pytest.LogCaptureFixture
) -> None:
    run = world.running()
    optuna.delete_study(study_name="study", storage=world.storage)
    world.end("other")
    world.go_on(world.is_idle, "the slots are free")
    assert [each.message for each in caplog.records if getattr(each, "action", "") == "study_deleted"] == [
        "study study was deleted: its runners stop"
    ]
    assert type(run.said[-1].body).__name__ == "Stopped"
    assert results(world.study("other")) == undisturbed
    world.go_on(lambda: world.slots.over, "no slot holds anything")


def test_a_study_that_was_deleted_is_found_gone_although_nothing_is_to_be_written(world: World) -> None:
    world.running()
    CommandTable(world.database).issue("key", "me", "pause", "study", {})
    world.slots.redis.add(RING)
    world.go_on(lambda: world.state() == "paused" and world.is_idle(), "nothing trains")
    optuna.delete_study(study_name="study", storage=world.storage)
    for _ in range(3):
        world.slots.pass_time(LEASE)
        world.slots.round()
    assert world.slots.controller is not None
    world.go_on(lambda: world.slots.over, "it is let go")


def test_what_takes_the_place_of_a_deleted_study_is_left_alone(world: World, undisturbed: Any) -> None:
    world.running()
    optuna.delete_study(study_name="study", storage=world.storage)
    # On SQLite it may have the same id, and its trials those of the deleted ones.
    new = optuna.create_study(study_name="study", storage=world.storage)
    for _ in range(3):
        new.add_trial(create_trial(value=1.0))
    before = results(new)
    world.end("other")
    world.go_on(world.is_idle, "the slots are free")
    world.slots.start()
    world.slots.round()
    assert results(world.study()) == before
    assert results(world.study("other")) == undisturbed


def test_a_study_that_was_renamed_goes_on_under_its_new_name(world: World, undisturbed: Any) -> None:
    world.running()
    with world.database.write() as connection:
        connection.execute(sqlalchemy.text("UPDATE studies SET study_name = 'renamed' WHERE study_name = 'study'"))
    world.end("renamed", "other")
    assert states(world.study("renamed")) == ["COMPLETE"] * TRIALS
    assert {run.job.study for run in world.slots.runs} == {"study", "other", "renamed"}
    assert results(world.study("other")) == undisturbed


def test_a_study_whose_new_name_cannot_be_used_is_suspended(world: World, undisturbed: Any) -> None:
    world.running()
    with world.database.write() as connection:
        connection.execute(sqlalchemy.text("UPDATE studies SET study_name = 'no/name' WHERE study_name = 'study'"))
    world.end("other")
    (suspension,) = world.open().suspended().values()
    assert "no/name" in suspension.cause
    assert results(world.study("other")) == undisturbed
