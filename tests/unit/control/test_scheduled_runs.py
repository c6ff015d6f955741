"""One study for one slot, whatever beats come and go, on a driven clock: real beats and the real loop."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.control import scheduled_runs
from orchestrator.model.commands import Command
from orchestrator.spec.model import validate
from tests.simulated.agenda import Agenda, at

BERLIN = {"timezone": "Europe/Berlin"}


def test_a_run_is_made_when_its_time_comes(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:00")
    agenda.write(trials=2)
    agenda.start_beat()
    agenda.go_to("2026-03-01T01:59:59")
    assert agenda.names == []
    agenda.go_to("2026-03-01T02:00:00")
    assert agenda.names == ["nightly-20260301T020000Z"]
    agenda.go_to("2026-03-03T12:00", 600)
    assert [state for _, state in agenda.states] == ["ended"] * 3
    assert all(ledger.state == "finished" for ledger in agenda.studies.values())
    run = agenda.studies["nightly-20260301T020000Z"].spec.run
    assert run is not None
    assert (run.schedule, run.slot) == ("nightly", at("2026-03-01T02:00"))


@pytest.mark.parametrize(
    ("cron", "begin", "end", "expected"),
    [
        ("30 2 * * *", "2026-03-28T00:00", "2026-03-30T12:00", ["28 01:30", "29 01:00", "30 00:30"]),
        ("30 2 * * *", "2026-10-24T00:00", "2026-10-26T12:00", ["24 00:30", "25 00:30", "26 01:30"]),
        ("0 * * * *", "2026-03-28T22:30", "2026-03-29T03:30", ["28 23:00", *(f"29 0{h}:00" for h in range(4))]),
        ("0 * * * *", "2026-10-24T22:30", "2026-10-25T03:30", ["24 23:00", *(f"25 0{h}:00" for h in range(4))]),
    ],
)
def test_on_both_nights_there_is_one_study_for_each_slot(
    tmp_path: Path, cron: str, begin: str, end: str, expected: list[str]
) -> None:
    agenda = Agenda(tmp_path, begin)
    agenda.write(cron=cron, **BERLIN)
    for _ in range(2):
        agenda.start_beat()
    agenda.go_to(end, 300)
    assert agenda.states == [(slot, "ended") for slot in expected]
    assert len(agenda.studies) == len(expected)


def test_any_number_of_beats_that_come_and_go_make_one_study_a_slot(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.write(cron="0 * * * *")
    for hour in range(1, 8):
        agenda.start_beat(ahead=hour * 7.0 - 30)
        if len(agenda.beats) > 2:
            agenda.beats.pop(0)
        agenda.restart_control_plane()
        agenda.go_to(f"2026-03-01T0{hour}:30", 25)
    assert agenda.states == [(f"01 0{hour}:00", "ended") for hour in range(1, 8)]
    assert len(agenda.studies) == 7


@pytest.mark.parametrize(
    ("catch_up", "made"), [("none", []), ("last", ["01 04:00"]), ("all", ["01 02:00", "01 03:00", "01 04:00"])]
)
@pytest.mark.parametrize("away", ["beat", "control plane", "both"])
def test_three_slots_missed_by_every_control_plane(tmp_path: Path, catch_up: str, made: list[str], away: str) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.write(cron="0 * * * *", catch_up=catch_up)
    agenda.start_beat()
    agenda.go_to("2026-03-01T01:10")
    if away != "control plane":
        agenda.beats.clear()
    if away != "beat":
        agenda.world.send_away("redis", 10 * 3600)
    while agenda.world.now < at("2026-03-01T04:40"):
        agenda.world.now += 60
        for beat in agenda.beats:
            beat.tick()
    agenda.world.bring_everything_back()
    if not agenda.beats:
        for _ in range(2):
            agenda.start_beat()
    agenda.go_to("2026-03-01T05:10")
    missed = [slot for slot in ("01 02:00", "01 03:00", "01 04:00") if slot not in made]
    expected = [("01 01:00", "ended"), *((slot, "missed") for slot in missed), *((slot, "ended") for slot in made)]
    assert agenda.states == sorted([*expected, ("01 05:00", "ended")])
    assert len(agenda.studies) == 2 + len(made)


def test_a_short_absence_misses_nothing(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T01:00")
    agenda.write(catch_up="none")
    agenda.start_beat()
    agenda.go_to("2026-03-01T01:59:50")
    agenda.beats.clear()
    agenda.go_to("2026-03-01T02:00:45")
    agenda.start_beat()
    agenda.go_to("2026-03-01T02:01")
    assert agenda.states == [("01 02:00", "ended")]


def test_only_the_newest_of_very_many_are_looked_at(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:00")
    agenda.write(cron="* * * * *", catch_up="last")
    agenda.start_beat()
    agenda.go_to("2026-03-01T00:01")
    agenda.beats.clear()
    agenda.world.now = at("2027-03-01T00:00")
    agenda.start_beat()
    agenda.go_to("2027-03-01T00:00:10")
    assert [slot.state for slot in agenda.slots] == ["ended", *["missed"] * 99, "ended"]
    assert "only the last 100" in caplog.text


def test_a_new_timetable_has_missed_nothing(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T01:00")
    agenda.write()
    agenda.start_beat()
    agenda.go_to("2026-03-01T12:30", 60)
    assert agenda.states == [("01 02:00", "ended")]
    agenda.write(cron="0 * * * *")
    agenda.go_to("2026-03-01T13:10", 60)
    assert agenda.states == [("01 02:00", "ended"), ("01 13:00", "ended")]
    agenda.beats.clear()
    agenda.go_to("2026-03-01T14:10")
    agenda.start_beat()
    agenda.go_to("2026-03-01T14:11")
    assert agenda.states[-1] == ("01 14:00", "ended"), "what is not new has"


def test_a_timetable_that_is_changed_unseen_is_new(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T01:00")
    agenda.write()
    agenda.start_beat()
    agenda.go_to("2026-03-01T02:10")
    agenda.beats.clear()
    agenda.write(cron="0 * * * *")
    agenda.go_to("2026-03-01T09:10", 600)
    agenda.start_beat()
    agenda.go_to("2026-03-01T10:10")
    assert agenda.states == [("01 02:00", "ended"), ("01 10:00", "ended")]


def test_two_beats_with_other_timetables_of_one_name_keep_each_other_from_nothing(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    (tmp_path / "old").mkdir()
    agenda.write(cron="0 * * * *")
    agenda.start_beat()
    agenda.folder = tmp_path / "old"
    agenda.write(cron="30 * * * *")
    agenda.start_beat()
    agenda.go_to("2026-03-01T02:10")
    assert agenda.states == [("01 01:00", "ended"), ("01 01:30", "ended"), ("01 02:00", "ended")]


def test_files_are_picked_up_as_they_are(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    path = agenda.write(cron="0 * * * *")
    agenda.start_beat()
    agenda.go_to("2026-03-01T01:10")
    agenda.write("other", cron="0 * * * *")
    agenda.go_to("2026-03-01T02:10")
    agenda.write("other", cron="0 * * * *", trials=3)
    path.unlink()
    agenda.go_to("2026-03-01T03:10")
    assert agenda.names == [
        "nightly-20260301T010000Z",
        "nightly-20260301T020000Z",
        "other-20260301T020000Z",
        "other-20260301T030000Z",
    ]
    assert len(agenda.studies["other-20260301T030000Z"].trials) == 3
    assert "schedule nightly is gone" in caplog.text
    # Back again, it is a new one.
    agenda.go_to("2026-03-01T06:10", 60)
    agenda.write(cron="0 * * * *")
    agenda.go_to("2026-03-01T07:10")
    assert [name for name in agenda.names if name.startswith("n")][2:] == ["nightly-20260301T070000Z"]


def test_a_slot_between_two_looks_is_of_a_file_that_came_between_them(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:50")
    agenda.start_beat()
    agenda.go_to("2026-03-01T00:59:50")
    agenda.write(cron="0 * * * *")
    agenda.go_to("2026-03-01T01:00:10")
    assert agenda.states == [("01 01:00", "ended")]


def test_the_database_is_asked_when_something_is_due_and_the_folder_is_looked_at_often(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.write(cron="0 * * * *")
    beat = agenda.start_beat()
    agenda.go_to("2026-03-01T03:30")
    assert agenda.desks[0].asked == 4
    assert 0 < beat.tick() <= 1
    agenda.go_to("2026-03-01T03:59:59.6", 7)
    assert 0 < beat.tick() < 0.5, "it is back in time"


def test_a_bad_spec_harms_no_other_and_is_made_up_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    good = agenda.write(cron="0 * * * *").read_text()
    agenda.write("other", cron="0 * * * *")
    agenda.start_beat()
    agenda.go_to("2026-03-01T01:10")
    (tmp_path / "nightly.toml").write_text(good.replace("cron", "corn"))
    agenda.go_to("2026-03-01T02:10")
    assert [line for line in caplog.messages if "corn" in line] == [
        f"not run: {tmp_path}/nightly.toml: schedule.corn: unknown key; did you mean 'cron'?"
    ]
    (tmp_path / "nightly.toml").write_text(good)
    agenda.go_to("2026-03-01T02:20")
    assert agenda.names == [f"{name}-20260301T0{hour}0000Z" for name in ("nightly", "other") for hour in (1, 2)]


def test_a_folder_that_is_away_for_a_moment_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    agenda = Agenda(tmp_path / "specs", "2026-03-01T00:30")
    agenda.write(cron="0 * * * *", catch_up="none")
    agenda.start_beat()
    agenda.go_to("2026-03-01T00:40")
    (tmp_path / "specs").rename(tmp_path / "away")
    agenda.go_to("2026-03-01T01:10")
    (tmp_path / "away").rename(tmp_path / "specs")
    agenda.go_to("2026-03-01T02:10")
    assert agenda.states == [("01 01:00", "ended"), ("01 02:00", "ended")]


def test_the_database_away_for_three_slots(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.write(cron="0 * * * *", catch_up="all")
    beat = agenda.start_beat()
    agenda.go_to("2026-03-01T00:40")
    agenda.world.database.away = True
    while agenda.world.now < at("2026-03-01T03:10"):
        agenda.world.now += 60
        assert beat.tick() > 0, "it does not turn without end"
    agenda.world.database.away = False
    agenda.go_to("2026-03-01T03:11")
    assert agenda.states == [(f"01 0{hour}:00", "ended") for hour in (1, 2, 3)]
    assert len([line for line in caplog.messages if "away" in line]) == 1, "it is said once"


# -- clocks


def test_a_beat_whose_clock_is_ahead_begins_nothing_early(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:10")
    agenda.write(cron="0 * * * *")
    agenda.start_beat(ahead=1_800)
    agenda.go_to("2026-03-01T00:59:59")
    assert agenda.states == []
    agenda.go_to("2026-03-01T03:00:00")
    assert agenda.states == [(f"01 0{hour}:00", "ended") for hour in (1, 2, 3)]
    assert [line for line in caplog.messages if "clock" in line] == [
        "this host's clock is 1800 s ahead of the database's, which begins nothing early"
    ]


@pytest.mark.parametrize("ahead", [400 * 86_400.0, -400 * 86_400.0])
def test_a_beat_whose_clock_is_far_off_asks_for_nothing(
    tmp_path: Path, ahead: float, caplog: pytest.LogCaptureFixture
) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:50")
    agenda.write(cron="0 * * * *")
    beat = agenda.start_beat(ahead=ahead)
    agenda.go_to("2026-03-01T01:10")
    assert (agenda.states, agenda.world.database.commands) == ([], [])
    assert len([line for line in caplog.messages if "nothing is run until" in line]) == 1
    assert beat.tick() > 0
    agenda.beats.clear()
    agenda.start_beat()
    agenda.go_to("2026-03-01T02:10")
    assert agenda.states == [("01 02:00", "ended")]


def test_what_a_beat_with_a_fast_clock_has_said_keeps_others_from_nothing(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:10")
    agenda.write(cron="30 * * * *")
    agenda.start_beat(ahead=1_800)
    agenda.go_to("2026-03-01T00:11")
    agenda.beats.clear()
    agenda.start_beat()
    agenda.go_to("2026-03-01T00:31")
    assert agenda.states == [("01 00:30", "ended")]


def test_with_jitter_every_beat_waits_as_long_and_the_name_tells_the_planned_time(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.write(cron="*/10 * * * *", jitter="9m", catch_up="none")
    for _ in range(2):
        agenda.start_beat()
    agenda.go_to("2026-03-01T03:10")
    waited = [slot.decided - slot.planned for slot in agenda.slots]
    assert all(0 <= seconds < 560 for seconds in waited)
    assert max(waited) - min(waited) > 300
    assert [name for name, _ in agenda.states][:3] == ["01 00:40", "01 00:50", "01 01:00"]
    assert len(agenda.studies) == len(agenda.slots) >= 15


@pytest.mark.parametrize(
    ("issued", "catch_up", "why"),
    [
        (7_200.0, "none", "no beat asked for it until 2h 00m after its time; catch_up = none makes up for no run"),
        (5.0, "last", "no control plane was up until 3h 00m after its time; catch_up = last makes up for the last one"),
        (0.0, "all", "no control plane was up until 3h 00m after its time; catch_up = all"),
    ],
)
def test_a_missed_run_says_which_process_was_away(issued: float, catch_up: str, why: str) -> None:
    table = {"cron": "0 2 * * *", "timezone": "UTC", "catch_up": catch_up}
    spec = validate({"name": "nightly", "objective": "m:f", "trials": 1, "schedule": table}, "test")
    assert spec.schedule is not None
    planned = 1_700_000_000
    command = Command(1, "key", "slot", "nightly", {}, created=planned + issued)
    order = scheduled_runs._Order(command, spec, spec.schedule, planned, manual=False)
    assert scheduled_runs._why_missed(order, planned + 10_800.0).startswith(why)
