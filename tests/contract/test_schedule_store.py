"""Schedules and their slots in the database, in databases of every kind as in what stands for them in simulations."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
import sqlalchemy
from leased_store import NOW, LeasedStore, X, a_trial, everything, make_spec
from sqlalchemy import exc

from orchestrator.common.errors import BadInput, NotTheWriter
from orchestrator.control.ports import Calendar as CalendarPort
from orchestrator.doctor.database_probe import read_overdue
from orchestrator.doctor.table_facts import Overdue
from orchestrator.model.changeset import Changes, TrialEnd
from orchestrator.model.commands import Command
from orchestrator.model.planned_run import PlannedRun, RunResult, ScheduleProgress
from orchestrator.queries.readonly import open_study_reader
from orchestrator.schedule.beat import SqlBeatDatabase
from orchestrator.schedule.ticker import BeatDatabase
from orchestrator.spec.cron import delay
from orchestrator.storage import own_tables
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.schedule_store import Calendar, put_slots, read_slots
from orchestrator.storage.store import Store
from tests.simulated.memory_books import MemoryBooks, MemoryDatabase
from tests.simulated.memory_calendar import MemoryCalendar, MemoryDesk

PLANNED = 1_700_000_000


@dataclass
class Shelf:
    """A database with its writers and its beats."""

    writer: Callable[[], tuple[Any, CalendarPort]]
    beat_database: Callable[[], BeatDatabase]


def memory_shelf() -> Shelf:
    database = MemoryDatabase()

    def writer() -> tuple[Any, CalendarPort]:
        leased = MemoryBooks(database)
        return leased, MemoryCalendar(database, leased)

    return Shelf(writer, lambda: MemoryDesk(database, lambda: NOW))


def real_shelf(url: str, closing: ExitStack) -> Shelf:
    def opened() -> Database:
        database = Database(url)
        closing.callback(database.close)
        return database

    def writer() -> tuple[Any, CalendarPort]:
        database = opened()
        lease = WriterLease(database, 60.0)
        assert lease.acquire() is None
        store = Store(database, lease)
        closing.callback(store.close)
        return store, Calendar(database, lease)

    def beat_database() -> BeatDatabase:
        return SqlBeatDatabase(opened())

    return Shelf(writer, beat_database)


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def shelf(request: pytest.FixtureRequest) -> Iterator[Shelf]:
    if request.param == "memory":
        yield memory_shelf()
        return
    with ExitStack() as closing:
        yield real_shelf(request.getfixturevalue(request.param), closing)


def slot(number: int = 0, **changes: Any) -> PlannedRun:
    planned = PLANNED + 3_600 * number
    made = PlannedRun("nightly", planned, "running", f"nightly-{number}", NOW)
    return replace(made, **changes)


def test_a_slot_is_written_with_its_study_or_not_at_all(shelf: Shelf) -> None:
    leased, calendar = shelf.writer()
    made = leased.create(make_spec(name="nightly-0"), NOW, slot=slot())
    assert made.spec.name == "nightly-0"
    assert calendar.find("nightly", [PLANNED, PLANNED + 3_600]) == {PLANNED: slot()}
    assert calendar.find("other", [PLANNED]) == {}
    (run,) = calendar.open()
    assert (run.slot, run.study_state, run.goes_on) == (slot(), "running", True)
    assert run.spec == make_spec(name="nightly-0")
    leased.create(make_spec(name="nightly-1"), NOW)
    with pytest.raises(BadInput, match="is there already"):
        leased.create(make_spec(name="nightly-1"), NOW, slot=slot(1))
    assert calendar.find("nightly", [slot(1).planned]) == {}


def test_what_became_of_a_slot_takes_the_place_of_what_was(shelf: Shelf) -> None:
    _, calendar = shelf.writer()
    waiting = slot(state="waiting", reason="x" * 3_000, manual=True, spec={"ä": [1, None]})
    calendar.put(waiting, slot(1, state="skipped", reason="nightly-0 went on"))
    assert calendar.find("nightly", [PLANNED]) == {PLANNED: waiting}
    calendar.put(slot(report="somewhere"))
    assert calendar.find("nightly", [PLANNED]) == {PLANNED: slot(report="somewhere")}
    calendar.put()


def test_which_slots_are_still_to_be_seen_to(shelf: Shelf) -> None:
    leased, calendar = shelf.writer()
    states = ("ended", "waiting", "skipped", "deleting", "missed", "refused", "deleted")
    calendar.put(*(slot(number, state=state) for number, state in enumerate(states, 1)))
    calendar.put(slot(0, schedule="other", state="waiting", study="other-0"))
    leased.create(make_spec(name="nightly-9"), NOW, slot=slot(9))
    assert [(run.slot.study, run.study_state) for run in calendar.open()] == [
        ("other-0", None),
        ("nightly-2", None),
        ("nightly-4", None),
        ("nightly-9", "running"),
    ]
    assert [run.slot.study for run in calendar.runs("nightly")] == ["nightly-9", "nightly-2", "nightly-1"]


def test_a_timetable_counts_from_when_it_was_first_told(shelf: Shelf) -> None:
    _, calendar = shelf.writer()
    beat_database = shelf.beat_database()
    assert beat_database.known(["nightly"])[1] == {}
    calendar.define("nightly", "0 2 * * * UTC", 100)
    calendar.define("nightly", "0 2 * * * UTC", 200)
    calendar.define("other", "0 2 * * * UTC", 300)
    assert beat_database.known(["nightly"])[1] == {"nightly": ScheduleProgress("0 2 * * * UTC", 100, 0)}
    calendar.put(slot(0, state="missed"), slot(1, state="skipped"), slot(2, manual=True), slot(9, schedule="other"))
    assert beat_database.known(["nightly"])[1] == {"nightly": ScheduleProgress("0 2 * * * UTC", 100, slot(1).planned)}
    calendar.define("nightly", "0 3 * * * UTC", 400)
    calendar.define("other", "", 0)
    calendar.define("unknown", "", 0)
    assert beat_database.known(["nightly", "other"])[1] == {
        "nightly": ScheduleProgress("0 3 * * * UTC", 400, slot(1).planned)
    }


def test_commands_of_many_are_one_each(shelf: Shelf) -> None:
    leased, _ = shelf.writer()
    first, second = Command(0, "a", "slot", "x", {"n": 1}), Command(0, "b", "slot", "x", {"n": 2})
    shelf.beat_database().issue([first])
    shelf.beat_database().issue([first, second, second])
    assert [(each.key, each.payload) for each in leased.pending_commands()] == [("a", {"n": 1}), ("b", {"n": 2})]


def test_two_beats_at_the_same_instant(shelf: Shelf) -> None:
    """None of them fails, in whichever order they come."""
    leased, _ = shelf.writer()
    failed: list[Exception] = []
    ready = threading.Barrier(4)

    def issue(beat_database: BeatDatabase) -> None:
        try:
            for round in range(10):
                ready.wait(30)
                beat_database.issue([Command(0, f"{round}-{each}", "slot", "x", {}) for each in range(3)])
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=issue, args=(shelf.beat_database(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert sorted(each.key for each in leased.pending_commands()) == [f"{a}-{b}" for a in range(10) for b in range(3)]


def test_the_best_trials_of_a_run(shelf: Shelf) -> None:
    leased, calendar = shelf.writer()
    assert calendar.bests("study", 3) == []
    leased.create(make_spec(direction="maximize"), NOW)
    values = [0.5, 2.0, None, 2.0, 1.0]
    for number, value in enumerate(values):
        changes = a_trial(number, params=[(number, "x", number / 10, X)])
        changes.ends = {number: TrialEnd("FAIL" if value is None else "COMPLETE", value and (value,), NOW + 1)}
        changes.attempts[f"token-{number}-1"].state = "done"
        leased.commit({"study": changes})
    assert [(each.number, each.value) for each in calendar.bests("study", 3)] == [(1, 2.0), (3, 2.0), (4, 1.0)]
    assert calendar.bests("study", 1)[0].params == {"x": 0.1}


def test_of_several_objectives_the_best_are_the_front(shelf: Shelf) -> None:
    leased, calendar = shelf.writer()
    spec = make_spec(directions=["minimize", "minimize"])
    leased.create(spec, NOW)
    for number, values in enumerate([(3.0, 1.0), (2.0, 2.0), (4.0, 4.0), (1.0, 3.0)]):
        changes = a_trial(number)
        changes.ends = {number: TrialEnd("COMPLETE", values, NOW + 1)}
        changes.attempts[f"token-{number}-1"].state = "done"
        leased.commit({"study": changes})
    assert [each.number for each in calendar.bests("study", 9)] == [3, 1, 0]


def test_a_study_is_thrown_away_with_its_slot_written(shelf: Shelf) -> None:
    leased, calendar = shelf.writer()
    leased.create(make_spec(name="nightly-0"), NOW, slot=slot(state="ended"))
    leased.create(make_spec(name="nightly-1"), NOW, slot=slot(1))
    for name in ("nightly-0", "nightly-1"):
        leased.commit({name: Changes(new_trials={0: NOW}, attempts=_named(a_trial(), name))})
    uid, tokens = calendar.attempts_of("nightly-0")
    assert (uid, tokens) == (leased.load("nightly-0").uid, ["token-of-nightly-0"])
    for _ in range(2):
        calendar.throw_study(slot(state="deleted"))
    with pytest.raises(BadInput, match="none of that name"):
        leased.load("nightly-0")
    with pytest.raises(BadInput, match="none of that name"):
        calendar.attempts_of("nightly-0")
    assert [run.slot.study for run in calendar.runs("nightly")] == ["nightly-1"]
    assert [trial.number for trial in leased.load("nightly-1").trials] == [0]


def _named(changes: Changes, name: str) -> Any:
    (row,) = changes.attempts.values()
    row.token = f"token-of-{name}"
    return {row.token: row}


def test_a_control_plane_that_was_replaced_writes_nothing(shelf: Shelf) -> None:
    leased, old = shelf.writer()
    leased.create(make_spec(name="nightly-0"), NOW, slot=slot())
    leased, new = shelf.writer()
    for write in (
        lambda: old.put(slot(1)),
        lambda: old.define("nightly", "0 2 * * * UTC", 1),
        lambda: old.throw_study(slot(state="deleted")),
    ):
        with pytest.raises(NotTheWriter):
            _as_the_control_plane(write)
    assert [run.slot for run in new.open()] == [slot()]
    assert shelf.beat_database().known(["nightly"])[1] == {}
    assert leased.load("nightly-0").state == "running"


def _as_the_control_plane(write: Callable[[], object]) -> None:
    """A new writer ends the connection of the old one, which tries once more over another."""
    with contextlib.suppress(exc.OperationalError):
        write()
    write()


# -- what only a real database has


def test_nothing_is_left_of_a_study_that_was_thrown_away(leased: LeasedStore) -> None:
    leased.create(name="other")
    empty = leased.rows()
    leased.create()
    leased.commit(everything())
    calendar = Calendar(leased.database, leased.lease)
    calendar.throw_study(slot(study="study", state="deleted"))
    left = leased.rows()
    written = left.pop("orchestrator_slots")
    empty.pop("orchestrator_slots")
    assert len(written) == 1
    assert left == empty
    leased.create()
    assert leased.load().trials == []


@pytest.mark.parametrize("stored", ["{", "[1]", "7", ""])
def test_a_slot_whose_search_cannot_be_read_is_there_without_it(leased: LeasedStore, stored: str) -> None:
    calendar = Calendar(leased.database, leased.lease)
    calendar.put(slot(0, state="waiting", spec={"name": "x"}), slot(1, state="waiting", spec={"name": "x"}))
    with leased.database.write() as connection:
        change = sqlalchemy.update(own_tables.slots).where(own_tables.slots.c.planned == slot(0).planned)
        connection.execute(change.values(spec=stored))
    assert [run.slot.spec for run in calendar.open()] == [{}, {"name": "x"}]


def test_the_last_slots_come_with_where_their_studies_stand(leased: LeasedStore) -> None:
    leased.store.create(make_spec(name="nightly-0"), NOW, slot=slot(state="ended"))
    leased.commit(Changes(study_user_attrs={"orchestrator_flagged": "worse"}), "nightly-0")
    calendar = Calendar(leased.database, leased.lease)
    calendar.put(slot(1, state="skipped"), slot(2, schedule="other"))
    with open_study_reader(leased.url) as history:
        found = history.slots("nightly", 5)
        assert [each.study for each, _ in history.slots("nightly", 1)] == ["nightly-1"]
    assert [(each.study, overview and overview.flagged) for each, overview in found] == [
        ("nightly-1", None),
        ("nightly-0", "worse"),
    ]


def test_a_planned_run_that_no_beat_issued_is_overdue(leased: LeasedStore) -> None:
    hourly = {"cron": "0 * * * *", "jitter": "20m"}
    calendar = Calendar(leased.database, leased.lease)
    # On the hour.
    begun = PLANNED - PLANNED % 3_600

    def overdue(now: float) -> list[Overdue]:
        with leased.database.read() as connection:
            return list(read_overdue(connection, now))

    calendar.define("nightly", "0 * * * * UTC", begun)
    # How late a first run may be is not known: it is overdue when the next one is due.
    assert overdue(begun + 7_100) == []
    assert overdue(begun + 7_300) == [Overdue("nightly", 1, 100.0)]
    leased.store.create(make_spec(name="nightly-0", schedule=hourly), NOW, slot=slot(planned=begun + 3_600))
    lateness = delay("nightly", begun + 7_200, 1_200.0)
    assert 0.0 < lateness < 1_200.0
    assert overdue(begun + 7_200 + lateness + 59) == []
    (found,) = overdue(begun + 7_200 + lateness + 61)
    assert (found.slots, round(found.late)) == (1, 61)
    assert [each.slots for each in overdue(begun + 100 * 3_600)] == [98]
    calendar.put(slot(2, planned=begun + 7_200))
    assert overdue(begun + 7_200 + 1_300) == []
    calendar.define("nightly", "", begun)
    assert overdue(begun + 10**6) == []


def test_a_result_of_another_version_is_read_as_far_as_it_is_known(leased: LeasedStore) -> None:
    known = {"state": "finished", "complete": 3, "best": 0.5, "best_trial": 1}
    texts = [json.dumps(each) for each in (known, known | {"later": 1}, known | {"complete": "many"}, [1], "x", {})]
    slots = own_tables.slots
    with leased.database.write() as connection:
        for planned, text in enumerate(texts, 1):
            put_slots(connection, [PlannedRun("nightly", planned, "deleted", f"nightly-{planned}", NOW)])
            connection.execute(sqlalchemy.update(slots).where(slots.c.planned == planned).values(result=text))
    with leased.database.read() as connection:
        found = [each.result for each in read_slots(connection, "nightly", len(texts))]
    whole = RunResult("finished", complete=3, best=0.5, best_trial=1)
    assert list(reversed(found)) == [whole, whole, None, None, None, None]
