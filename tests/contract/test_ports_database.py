"""What the control plane relies on, of SQL databases as of what stands for them in simulations."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import optuna
import pytest
from leased_store import NOW, a_trial, attempt, everything, make_spec
from sqlalchemy import exc

from orchestrator.common.errors import BadInput, ForeignWrite, NotTheWriter
from orchestrator.control.ports import StudyRepository
from orchestrator.model.changeset import Changes, NoteRow, TrialEnd
from orchestrator.model.commands import Command
from orchestrator.model.lifecycle import LIVE
from orchestrator.model.notifications import DeliveryState, PendingNotification
from orchestrator.storage.command_table import CommandTable
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.store import Store
from tests.simulated.memory_books import MemoryBooks, MemoryDatabase


@dataclass
class Shelf:
    """A database, and the ways of other processes to it."""

    writer: Callable[[], StudyRepository]
    issue: Callable[[str, str, str, dict[str, Any]], None]
    end_elsewhere: Callable[[int], None]


def memory_shelf() -> Shelf:
    database = MemoryDatabase()

    def end_elsewhere(number: int) -> None:
        row = database.ledgers["study"].trials[number]
        row.state, row.values, row.end = "COMPLETE", (0.0,), NOW

    return Shelf(lambda: MemoryBooks(database), database.issue, end_elsewhere)


def real_shelf(url: str, closing: ExitStack) -> Shelf:
    def writer() -> StudyRepository:
        database = Database(url)
        closing.callback(database.close)
        lease = WriterLease(database, 60.0)
        assert lease.acquire() is None
        store = Store(database, lease)
        closing.callback(store.close)
        return store

    def issue(key: str, operation: str, study: str, payload: dict[str, Any]) -> None:
        database = Database(url)
        CommandTable(database).issue(key, "a user", operation, study, payload)
        database.close()

    def end_elsewhere(number: int) -> None:
        storage = optuna.storages.RDBStorage(url)
        try:
            trial = optuna.load_study(study_name="study", storage=storage).trials[number]
            storage.set_trial_state_values(trial._trial_id, optuna.trial.TrialState.COMPLETE, [0.0])
        finally:
            storage.remove_session()
            storage.engine.dispose()

    return Shelf(writer, issue, end_elsewhere)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def shelf(request: pytest.FixtureRequest) -> Iterator[Shelf]:
    if request.param == "memory":
        yield memory_shelf()
        return
    with ExitStack() as closing:
        yield real_shelf(request.getfixturevalue(request.param), closing)


def loaded_study(leased: StudyRepository) -> tuple[object, ...]:
    """What an engine would be given, in a form that can be compared."""
    found = leased.load("study")
    trials = [
        (
            trial.number,
            trial.state.name,
            trial.values,
            trial.params,
            {step: repr(value + 0.0) for step, value in trial.intermediate_values.items()},
            trial.user_attrs,
            trial.system_attrs,
        )
        for trial in found.trials
    ]
    attempts = sorted((row.trial, row.number, row.token, str(row.state), row.runner) for row in found.attempts)
    checkpoints = sorted(row.location for row in found.checkpoints)
    closest = sorted((row.trial, row.step) for row in found.closest)
    attrs = (found.study_system_attrs, found.study_user_attrs)
    return (found.spec, found.state, found.reason, attrs, trials, attempts, checkpoints, closest)


def test_a_study_is_made_once_and_read_again(shelf: Shelf) -> None:
    leased = shelf.writer()
    made = leased.create(make_spec(), NOW)
    assert (made.state, made.trials, made.attempts) == ("running", [], [])
    again = leased.create(make_spec(trials=9), NOW + 1)
    assert (again.uid, again.seed, again.spec.trials) == (made.uid, made.seed, 6)
    assert leased.load("study").spec.trials == 9
    with pytest.raises(BadInput, match="another search"):
        leased.create(make_spec(objective="elsewhere:objective"), NOW)
    with pytest.raises(BadInput, match="none of that name"):
        leased.load("other")


def test_optunas_id_of_a_trial_is_known_once_it_is_written(shelf: Shelf) -> None:
    leased = shelf.writer()
    for name in ("other", "study"):
        leased.create(make_spec(name=name), NOW)
        assert leased.trial_id(name, 0) is None
        leased.commit({name: Changes(new_trials={0: NOW}, attempts={name: attempt(0, token=name)})})
        assert isinstance(leased.trial_id(name, 0), int)
    assert leased.trial_id("no such study", 0) is None


def test_studies_are_unsettled_until_their_last_attempt_has_ended(shelf: Shelf) -> None:
    leased = shelf.writer()
    for count, name in enumerate(("study", "b", "a")):
        leased.create(make_spec(name=name), NOW + count)
    assert leased.unsettled() == ["study", "b", "a"]
    row = attempt(0, state="stopping")
    over = {0: TrialEnd("PRUNED", (0.5,), NOW + 5)}
    ended = ("finished", "", NOW + 5)
    leased.commit({"b": Changes(new_trials={0: NOW}, attempts={row.token: row}, ends=over, study_state=ended)})
    leased.commit({"a": Changes(study_state=("ending", "", NOW + 5)), "study": Changes(study_state=ended)})
    assert leased.unsettled() == ["b", "a"]
    row = attempt(0, state="done")
    leased.commit({"b": Changes(attempts={row.token: row})})
    assert leased.unsettled() == ["a"]


def test_everything_is_read_as_it_was_written(shelf: Shelf) -> None:
    leased, reference = shelf.writer(), memory_shelf().writer()
    changes = everything()
    # What simulations refuse because no core would write it.
    changes.attempts = {
        token: row for token, row in changes.attempts.items() if row.state not in LIVE or row.trial in (1, 2)
    }
    changes.ends.pop(1)
    changes.decisions = []
    for each in (leased, reference):
        each.create(make_spec(), NOW)
        each.commit({"study": copy.deepcopy(changes)})
    assert loaded_study(leased) == loaded_study(reference)


def test_one_batch_is_written_whole_or_not_at_all(shelf: Shelf) -> None:
    leased = shelf.writer()
    leased.create(make_spec(), NOW)
    leased.create(make_spec(name="other"), NOW)
    leased.commit({"study": a_trial(), "other": Changes()})
    shelf.end_elsewhere(0)
    new = Changes(study_state=("paused", "because", NOW))
    late = Changes(values=[(0, 1, 0.5)])
    with pytest.raises(ForeignWrite):
        leased.commit({"other": new, "study": late}, {})
    assert leased.load("other").state == "running"


def test_a_control_plane_that_was_replaced_writes_nothing(shelf: Shelf) -> None:
    old = shelf.writer()
    old.create(make_spec(), NOW)
    new = shelf.writer()
    for write in (
        lambda: old.commit({"study": a_trial()}),
        lambda: old.commit({}),
        lambda: old.create(make_spec(name="b"), NOW),
    ):
        with pytest.raises(NotTheWriter):
            _as_the_control_plane(write)
    assert new.load("study").trials == []
    assert new.unsettled() == ["study"]
    new.commit({"study": a_trial()})
    assert [trial.number for trial in new.load("study").trials] == [0]


def a_note(key: str, event: str = "finished") -> NoteRow:
    return NoteRow(key, event, "post", '{"ü": 1}', NOW)


def test_notes_are_owed_until_they_are_settled(shelf: Shelf) -> None:
    leased = shelf.writer()
    table = {"url": "https://h/x", "on": ["best"]}
    for name in ("study", "other"):
        leased.create(make_spec(name=name, notify=table if name == "study" else {"command": ["x"]}), NOW)
    assert leased.pending_notifications() == []
    leased.commit({"study": Changes(notes=[a_note("a"), a_note("b", "best")]), "other": Changes(notes=[a_note("c")])})
    # The answer to a commit may have been lost on its way.
    leased.commit({"study": Changes(notes=[a_note("a")])})
    first, second, third = leased.pending_notifications()
    assert first == PendingNotification("study", a_note("a"), make_spec(notify=table).notify)
    assert (second.note, third.study, third.notify.command) == (a_note("b", "best"), "other", ("x",))
    leased.commit(
        {}, {}, {"a": DeliveryState("owed", 1, "HTTP 500", NOW + 1), "b": DeliveryState("superseded", 0, "", NOW)}
    )
    assert [(owed.note.key, owed.tries) for owed in leased.pending_notifications()] == [("a", 1), ("c", 0)]
    old, leased = leased, shelf.writer()
    with pytest.raises(NotTheWriter):
        _as_the_control_plane(lambda: old.commit({}, {}, {"a": DeliveryState("failed", 2, "HTTP 404", NOW + 2)}))
    leased.create(make_spec(trials=9, notify={"endpoint": "team"}), NOW)
    assert leased.pending_notifications()[0].notify.endpoint == "team", "whom the spec names now"
    leased.commit(
        {"study": Changes(notes=[a_note("d")])}, {}, {"a": DeliveryState("delivered", 2, "HTTP 204", NOW + 2)}
    )
    assert [owed.note.key for owed in leased.pending_notifications()] == ["c", "d"]


def _as_the_control_plane(write: Callable[[], object]) -> None:
    """A new writer ends the connection of the old one, which tries once more over another."""
    with contextlib.suppress(exc.OperationalError):
        write()
    write()


def test_an_ended_trial_is_not_written_to(shelf: Shelf) -> None:
    leased = shelf.writer()
    leased.create(make_spec(), NOW)
    leased.commit({"study": a_trial()})
    shelf.end_elsewhere(0)
    for changes in (
        Changes(values=[(0, 0, 0.5)]),
        Changes(ends={0: TrialEnd("PRUNED", (0.5,), NOW + 9)}),
        Changes(starts={0: NOW + 9}),
        Changes(user_attrs={(0, "a"): 1}),
    ):
        with pytest.raises(ForeignWrite):
            leased.commit({"study": changes})
    row = attempt(0, state="done", ended=NOW + 9)
    leased.commit({"study": Changes(attempts={row.token: row})})
    assert [str(row.state) for row in leased.load("study").attempts] == ["done"]


def test_commands_wait_until_they_are_answered(shelf: Shelf) -> None:
    leased = shelf.writer()
    assert leased.pending_commands() == []
    for key in ("one", "two", "one"):
        shelf.issue(key, "pause", "study", {"for": [key, None]})
    first, second = leased.pending_commands()
    assert [first.key, second.key] == ["one", "two"]
    assert (first.operation, first.study, first.payload) == ("pause", "study", {"for": ["one", None]})
    leased.commit({}, {first.id: "done"})
    assert leased.pending_commands() == [second]
    assert isinstance(second, Command)
