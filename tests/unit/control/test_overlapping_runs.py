"""Runs that are due while an earlier one goes on, runs that people want, and control planes that die meanwhile."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.control import journal
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.journal import Journal
from orchestrator.control.journal_record import Opened, Record
from orchestrator.engine.outputs import Batch
from orchestrator.spec import Spec
from tests.simulated.agenda import Agenda, at, valued
from tests.simulated.ledger import Ledger
from tests.simulated.memory_books import MemoryBooks
from tests.simulated.simulation import Died


def idle(tmp_path: Path, **options: object) -> Agenda:
    """No slot works, so that no run ends."""
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.working = False
    agenda.write(cron="0 * * * *", **options)
    agenda.start_beat()
    return agenda


def die_at_the_next_study(monkeypatch: pytest.MonkeyPatch) -> None:
    """The control plane dies when it has made the next study."""
    opened = EngineRegistry.open

    def die(*_: object) -> None:
        monkeypatch.setattr(EngineRegistry, "open", opened)
        raise Died

    monkeypatch.setattr(EngineRegistry, "open", die)


def test_a_run_that_would_overlap_is_skipped(tmp_path: Path) -> None:
    agenda = idle(tmp_path)
    agenda.go_to("2026-03-01T02:10")
    assert agenda.states == [("01 01:00", "running"), ("01 02:00", "skipped")]
    assert agenda.slots[1].reason == "nightly-20260301T010000Z went on"
    agenda.working = True
    agenda.go_to("2026-03-01T03:10")
    assert agenda.states[2] == ("01 03:00", "ended")
    assert len(agenda.studies) == 2


def test_a_run_that_would_overlap_waits(tmp_path: Path) -> None:
    agenda = idle(tmp_path, overlap="queue")
    agenda.go_to("2026-03-01T03:10")
    assert agenda.states == [("01 01:00", "running"), ("01 02:00", "waiting"), ("01 03:00", "waiting")]
    assert len(agenda.studies) == 1
    agenda.restart_control_plane()
    agenda.working = True
    agenda.settle()
    assert agenda.states == [(f"01 0{hour}:00", "ended") for hour in (1, 2, 3)]
    created = [run.job.study for run in agenda.world.runs]
    assert created == sorted(created), "one after the other, in their order"


def test_a_run_that_would_overlap_replaces_the_one_that_goes_on(tmp_path: Path) -> None:
    agenda = idle(tmp_path, overlap="replace")
    agenda.go_to("2026-03-01T02:10")
    first = agenda.studies["nightly-20260301T010000Z"]
    assert (first.state, first.reason) == ("stopped", "replaced by nightly-20260301T020000Z")
    assert agenda.states == [("01 01:00", "ended"), ("01 02:00", "running")]
    agenda.working = True
    agenda.settle()
    assert [ledger.state for ledger in agenda.studies.values()] == ["stopped", "finished"]


def test_what_waits_is_given_up_with_its_schedule(tmp_path: Path) -> None:
    agenda = idle(tmp_path, overlap="queue")
    agenda.go_to("2026-03-01T02:10")
    (tmp_path / "nightly.toml").unlink()
    agenda.go_to("2026-03-01T02:20")
    assert agenda.states == [("01 01:00", "running"), ("01 02:00", "skipped")]
    assert agenda.slots[1].reason == "its schedule is gone"
    agenda.working = True
    agenda.go_to("2026-03-01T03:10")
    assert [ledger.state for ledger in agenda.studies.values()] == ["finished"]


def test_a_control_plane_that_dies_while_it_replaces_leaves_no_two_that_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agenda = idle(tmp_path, overlap="replace")
    agenda.go_to("2026-03-01T01:10")
    die_at_the_next_study(monkeypatch)
    agenda.go_to("2026-03-01T02:10")
    assert [ledger.state for ledger in agenda.studies.values()] == ["stopped", "running"]


def test_making_up_for_all_runs_them_one_after_the_other(tmp_path: Path) -> None:
    """Also where runs that overlap are skipped, or replaced: they were not to overlap."""
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.write(cron="0 * * * *", catch_up="all", overlap="replace")
    agenda.start_beat()
    agenda.go_to("2026-03-01T00:40")
    agenda.beats.clear()
    agenda.go_to("2026-03-01T03:10", 600)
    agenda.working = False
    agenda.start_beat()
    agenda.go_to("2026-03-01T03:11")
    assert [state for _, state in agenda.states] == ["running", "waiting", "waiting"]
    agenda.working = True
    agenda.settle()
    assert [ledger.state for ledger in agenda.studies.values()] == ["finished"] * 3


@pytest.mark.parametrize("overlap", ["skip", "replace"])
def test_who_dies_while_it_makes_up_for_all_leaves_the_rest_to_the_next(
    tmp_path: Path, overlap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    agenda = idle(tmp_path, overlap=overlap, catch_up="all")
    agenda.go_to("2026-03-01T00:40")
    agenda.beats.clear()
    agenda.go_to("2026-03-01T04:10", 600)
    agenda.start_beat()
    die_at_the_next_study(monkeypatch)
    agenda.go_to("2026-03-01T04:11")
    assert [state for _, state in agenda.states] == ["running", "waiting", "waiting", "waiting"]
    agenda.working = True
    agenda.settle()
    assert [ledger.state for ledger in agenda.studies.values()] == ["finished"] * 4


def test_what_is_made_up_for_overlaps_the_run_that_was_there_before(tmp_path: Path) -> None:
    agenda = idle(tmp_path, catch_up="all")
    agenda.go_to("2026-03-01T01:10")
    agenda.beats.clear()
    agenda.go_to("2026-03-01T03:10", 600)
    agenda.start_beat()
    agenda.go_to("2026-03-01T03:11")
    assert [state for _, state in agenda.states] == ["running", "skipped", "skipped"]


def test_a_paused_run_goes_on(tmp_path: Path) -> None:
    agenda = idle(tmp_path)
    agenda.go_to("2026-03-01T01:10")
    agenda.world.database.issue("pause", "pause", "nightly-20260301T010000Z")
    agenda.go_to("2026-03-01T02:10")
    assert agenda.studies["nightly-20260301T010000Z"].state == "paused"
    assert agenda.states[1] == ("01 02:00", "skipped")


# -- by hand


def test_a_person_runs_one_now(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30:17")
    agenda.write()
    agenda.start_beat()
    study = agenda.run_now()
    assert study == "nightly-20260301T003017Z"
    agenda.go_to("2026-03-01T02:10")
    assert agenda.states == [("01 00:30", "ended"), ("01 02:00", "ended")], "it makes up for no slot"
    assert [slot.manual for slot in agenda.slots] == [True, False]
    agenda.world.now = at("2026-03-02T01:00:00")
    agenda.beats.clear()
    agenda.run_now()
    agenda.start_beat()
    agenda.go_to("2026-03-02T02:10")
    assert agenda.states[2:] == [("02 01:00", "ended"), ("02 02:00", "ended")]


def test_a_run_by_hand_in_the_second_of_a_slot_is_that_slot(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T02:00:00")
    agenda.write()
    agenda.beats.clear()
    agenda.run_now()
    agenda.start_beat()
    agenda.go_to("2026-03-01T02:10")
    assert len(agenda.studies) == 1


def test_a_study_of_that_name_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T01:30")
    agenda.write()
    name = "nightly-20260301T020000Z"
    spec = agenda.spec().model_copy(update={"name": name})
    agenda.world.database.issue("key", "submit", name, spec.to_json())
    agenda.start_beat()
    agenda.go_to("2026-03-01T02:10")
    (slot,) = agenda.slots
    assert (slot.state, slot.reason) == ("refused", f"study '{name}': is there already, and is no run of the schedule")
    agenda.go_to("2026-03-02T02:10", 600)
    assert agenda.states[1] == ("02 02:00", "ended")


def test_what_is_no_order_is_refused_and_harms_nothing(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T01:30")
    agenda.write()
    good = {"schedule": "nightly", "planned": 0, "manual": False, "spec": agenda.spec().to_json()}
    poison = [{}, {"spec": 3}, good | {"planned": "now"}, good | {"planned": 2**60}, good | {"planned": None}]
    for count, payload in enumerate([*poison, good | {"spec": good["spec"] | {"schedule": None}}]):
        agenda.world.database.issue(f"poison-{count}", "slot", "anything", payload)
    agenda.world.database.issue("define", "define", "nightly", {"definition": "x"})
    agenda.start_beat()
    agenda.go_to("2026-03-01T02:10")
    assert sum("error" in answer for answer in agenda.world.database.answers.values()) == 7
    # What it says of itself is noted: a person waits for it.
    assert [(slot.planned, slot.state) for slot in agenda.slots] == [
        (0, "refused"),
        (at("2026-03-01T02:00"), "ended"),
    ]


def test_a_slot_that_another_version_wrote_harms_nothing(tmp_path: Path) -> None:
    agenda = idle(tmp_path, overlap="queue")
    agenda.go_to("2026-03-01T03:10")
    slots = agenda.world.database.slots
    slots["nightly", agenda.slots[1].planned] = replace(agenda.slots[1], spec={"format": 99})
    agenda.working = True
    agenda.go_to("2026-03-01T04:10")
    assert [slot.state for slot in agenda.slots] == ["ended", "refused", "ended", "ended"]
    assert "is of format 99" in agenda.slots[1].reason


# -- dying


@pytest.mark.parametrize("overlap", ["skip", "queue", "replace"])
def test_a_control_plane_that_dies_at_every_step_makes_one_study_a_slot(tmp_path: Path, overlap: str) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.write(cron="0 * * * *", overlap=overlap, catch_up="all", trials=2, warm_start=True, report=True, keep=2)
    world = agenda.world
    world.kill_when(lambda _: len(world.passed) % 7 == 0)
    agenda.start_beat()
    agenda.go_to("2026-03-01T05:10", 30)
    assert len(world.deaths) > 10
    ends = [("01 01:00", "deleted"), ("01 02:00", "deleted"), ("01 03:00", "deleted")]
    assert agenda.states == [*ends, ("01 04:00", "ended"), ("01 05:00", "ended")]
    assert agenda.names == ["nightly-20260301T040000Z", "nightly-20260301T050000Z"]


@pytest.mark.parametrize(("overlap", "catch_up"), [("skip", "all"), ("replace", "last")])
def test_a_control_plane_that_dies_before_any_write_comes_to_the_same_end(
    tmp_path: Path, overlap: str, catch_up: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four slots, three of them missed; a run is deleted meanwhile. No write depends on memory."""
    check = MemoryBooks.check_writer

    def scenario(deadly: int) -> tuple[int, list[tuple[str, str]], list[str]]:
        folder = tmp_path / str(deadly)
        folder.mkdir()
        agenda = Agenda(folder, "2026-03-01T00:59")
        agenda.write(cron="0 * * * *", overlap=overlap, catch_up=catch_up, keep=2, report=True, warm_start=True)
        agenda.start_beat()
        agenda.go_to("2026-03-01T01:01")
        agenda.beats.clear()
        agenda.go_to("2026-03-01T04:10", 1_800)
        writes = 0

        def dying(books: MemoryBooks) -> None:
            nonlocal writes
            writes += 1
            if writes == deadly:
                raise Died
            check(books)

        monkeypatch.setattr(MemoryBooks, "check_writer", dying)
        agenda.start_beat()
        agenda.working = False
        agenda.go_to("2026-03-01T04:10:20")
        agenda.working = True
        agenda.go_to("2026-03-01T04:11:20")
        monkeypatch.setattr(MemoryBooks, "check_writer", check)
        return writes, agenda.states, agenda.names

    writes, states, names = scenario(0)
    assert [state for _, state in states].count("ended") == 2
    assert len(names) == 2
    for deadly in range(1, writes + 1):
        assert scenario(deadly)[1:] == (states, names), f"at write {deadly}"


def test_runs_that_were_recorded_happen_again(tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    agenda = Agenda(tmp_path / "specs", "2026-03-01T00:30", valued(0.5, 0.9))
    agenda.world.record = Journal(tmp_path / "journal")
    agenda.restart_control_plane()
    agenda.write(cron="0 * * * *", overlap="replace", warm_start=True, flag_worse_by=0.1)
    agenda.start_beat()
    agenda.go_to("2026-03-01T02:10")
    agenda.working = False
    agenda.go_to("2026-03-01T04:10")
    assert [ledger.state for ledger in agenda.studies.values()] == ["finished", "finished", "stopped", "running"]
    agenda.world.record.close()
    again: dict[str, Ledger] = {}

    def sink(record: Record, batch: Batch) -> None:
        if isinstance(record.input, Opened):
            again[record.study] = Ledger(Spec.from_json(record.input.spec), record.input.seed, record.input.uid)
        again[record.study].commit(batch.changes)

    journal.replay(journal.read(tmp_path / "journal"), sink)
    assert {name: ledger.rows() for name, ledger in again.items()} == {
        name: ledger.rows() for name, ledger in agenda.studies.items()
    }
    assert agenda.flags[1] not in (None, "null")
