"""What a run takes over from the runs before it, and what is done when it has ended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.notify.notifier import Notifier
from orchestrator.notify.policy import Policy
from tests.simulated.agenda import Agenda, valued
from tests.simulated.course import Course, Talk


def test_a_run_that_is_worse_than_the_last_one_is_flagged(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30", valued(0.5, 0.55, 0.7, 0.69, 0.2))
    agenda.write(cron="0 * * * *", flag_worse_by=0.1)
    agenda.start_beat()
    agenda.go_to("2026-03-01T05:10")
    worse = "best 0.7 is worse than 0.55 of nightly-20260301T020000Z by 0.15, more than the 0.1 allowed"
    assert agenda.flags == [None, "null", f'"{worse}"', "null", "null"]


def test_a_margin_may_be_a_share(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30", valued(-2.0, -1.95, -1.8))
    agenda.write(cron="0 * * * *", flag_worse_by="5%")
    agenda.start_beat()
    agenda.go_to("2026-03-01T03:10")
    assert [bool(flag and flag != "null") for flag in agenda.flags] == [False, False, True]


def test_a_run_without_a_result_is_flagged_and_one_that_was_stopped_is_not(tmp_path: Path) -> None:
    def objective(course: Course) -> Talk:
        yield from course.float("x")
        if "T02" in course.job.study:
            raise ValueError("broken")
        return 0.5

    agenda = Agenda(tmp_path, "2026-03-01T00:30", objective)
    agenda.write(cron="0 * * * *", flag_worse_by=0.1)
    agenda.start_beat()
    agenda.go_to("2026-03-01T02:10")
    assert agenda.flags[1] == '"no trial completed; the best of nightly-20260301T010000Z was 0.5"'
    agenda.working = False
    agenda.go_to("2026-03-01T03:10")
    agenda.world.database.issue("stop", "stop", "nightly-20260301T030000Z")
    agenda.working = True
    agenda.go_to("2026-03-01T04:10")
    run = agenda.studies["nightly-20260301T040000Z"].spec.run
    assert agenda.flags[2:] == [None, "null"]
    assert run is not None
    assert run.last is not None
    assert run.last.study == "nightly-20260301T010000Z", "the last one that came to its end and has a value"


def test_who_is_told_of_the_end_is_told_of_the_flag(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30", valued(0.5, 0.9))
    agenda.write(cron="0 * * * *", flag_worse_by=0.1, extra="[notify]\nurl = 'https://example.org/hook'")
    agenda.start_beat()
    agenda.go_to("2026-03-01T02:10")
    first, second = (json.loads(note.body) for _, note, _ in agenda.world.database.notes.values())
    assert "flagged" not in first
    assert second["flagged"] == json.loads(str(agenda.flags[1]))
    assert second["text"].endswith(f"; flagged: {second['flagged']}")


def test_a_run_without_a_target_to_notify_is_refused(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.write(cron="0 * * * *", extra="[notify]\ncommand = ['true']")
    agenda.world.notifier = Notifier(Policy(), {})
    agenda.restart_control_plane()
    agenda.start_beat()
    agenda.go_to("2026-03-01T01:10")
    (slot,) = agenda.slots
    assert slot.state == "refused"
    assert "runs no commands of specs" in slot.reason
    agenda.world.notifier.close()


def test_a_run_is_not_held_against_one_that_was_stopped(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30", valued(0.5, 0.1, 0.5))
    agenda.write(cron="0 * * * *", flag_worse_by=0.1)
    agenda.start_beat()
    agenda.go_to("2026-03-01T02:10")
    agenda.studies["nightly-20260301T020000Z"].state = "stopped"
    agenda.go_to("2026-03-01T03:10")
    assert agenda.flags[2] == "null"


def test_a_run_that_is_taken_up_again_and_gets_better_is_not_flagged_any_more(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30", valued(0.5, 0.9, 0.4))
    agenda.write(cron="0 * * * *", flag_worse_by=0.1)
    agenda.start_beat()
    agenda.go_to("2026-03-01T02:10")
    assert agenda.flags[1] != "null"
    name = "nightly-20260301T020000Z"
    again = agenda.spec().model_copy(update={"name": name, "trials": 2})
    agenda.world.database.issue("more", "submit", name, again.to_json())
    agenda.go_to("2026-03-01T02:20")
    assert agenda.flags[1] == "null"
    assert agenda.studies[name].spec.run is not None


def test_a_run_begins_with_the_best_of_the_one_before(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.write(cron="0 * * * *", trials=3, warm_start=2, extra="enqueue = [{ x = 0.125 }]")
    agenda.start_beat()
    agenda.go_to("2026-03-01T02:10")
    first, second = agenda.studies.values()
    xs = [[row.params["x"][0] for row in ledger.trials.values()] for ledger in (first, second)]
    assert xs[0][0] == 0.125
    assert xs[1][:2] == sorted(xs[0])[:2], "the objective is smallest where x is"
    assert len(xs[1]) == 3
    assert agenda.slots[1].reason == "begins with the best 2 of nightly-20260301T010000Z"


def test_what_has_no_place_in_the_space_any_more_is_left_out(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    path = agenda.write(cron="0 * * * *", warm_start=True)
    plain = path.read_text()
    path.write_text(plain.replace("[schedule]", 'y = { type = "int", low = 3, high = 3 }\n[schedule]'))
    agenda.start_beat()
    agenda.go_to("2026-03-01T01:10")
    path.write_text(plain.replace("high = 1.0", "high = 2.0"))
    agenda.go_to("2026-03-01T02:10")
    assert agenda.slots[1].reason == "begins with the best 1 of nightly-20260301T010000Z, without y"
    path.write_text(plain.replace("low = 0.0", "low = 0.9999999"))
    agenda.go_to("2026-03-01T03:10")
    assert agenda.slots[2].reason == "begins with the best 0 of nightly-20260301T020000Z, without x"


def test_the_last_studies_are_kept_and_nothing_else_is_touched(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.write(cron="0 * * * *", keep=2, report=True)
    agenda.write("other", cron="0 * * * *")
    agenda.start_beat()
    own = agenda.spec().model_copy(update={"name": "nightly-own"})
    agenda.world.database.issue("key", "submit", "nightly-own", own.to_json())
    agenda.go_to("2026-03-01T04:10")
    assert agenda.names == [
        "nightly-20260301T030000Z",
        "nightly-20260301T040000Z",
        "nightly-own",
        *(f"other-20260301T0{hour}0000Z" for hour in (1, 2, 3, 4)),
    ]
    assert agenda.world.reports.deleted == ["nightly-20260301T010000Z", "nightly-20260301T020000Z"]
    assert [slot.state for slot in agenda.slots if slot.schedule == "nightly"] == [
        "deleted",
        "deleted",
        "ended",
        "ended",
    ]


def test_a_study_that_a_person_made_in_the_place_of_a_run_is_kept(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.write(cron="0 * * * *", keep=1)
    agenda.start_beat()
    agenda.go_to("2026-03-01T01:10")
    name = "nightly-20260301T010000Z"
    agenda.world.database.ledgers.pop(name)
    own = agenda.spec().model_copy(update={"name": name})
    agenda.world.database.issue("key", "submit", name, own.to_json())
    agenda.go_to("2026-03-01T03:10")
    assert agenda.names == [name, "nightly-20260301T030000Z"]


def test_an_old_run_that_goes_on_is_kept(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.write(cron="0 * * * *", keep=1)
    agenda.start_beat()
    agenda.go_to("2026-03-01T01:10")
    agenda.working = False
    agenda.go_to("2026-03-01T02:10")
    old = "nightly-20260301T010000Z"
    agenda.world.database.issue("more", "enqueue", old, {"params": {"x": 0.5}})
    agenda.world.database.issue("pause", "pause", old)
    agenda.working = True
    agenda.go_to("2026-03-01T02:20")
    assert {name: ledger.state for name, ledger in agenda.studies.items()} == {
        old: "paused",
        "nightly-20260301T020000Z": "finished",
    }
    agenda.world.database.issue("resume", "resume", old)
    agenda.go_to("2026-03-01T03:10")
    assert agenda.names == ["nightly-20260301T030000Z"]


def test_a_study_that_is_taken_up_again_while_it_is_being_deleted_stays(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.write(cron="0 * * * *", keep=1)
    agenda.start_beat()
    agenda.world.reports.idle = False
    agenda.go_to("2026-03-01T02:10")
    assert agenda.states == [("01 01:00", "deleting"), ("01 02:00", "ended")]
    assert len(agenda.studies) == 2, "its files are still going"
    agenda.working = False
    agenda.world.database.issue("more", "enqueue", "nightly-20260301T010000Z", {"params": {"x": 0.5}})
    agenda.go_to("2026-03-01T02:20")
    agenda.world.reports.idle = True
    agenda.go_to("2026-03-01T02:30")
    assert agenda.states == [("01 01:00", "running"), ("01 02:00", "ended")]
    agenda.working = True
    agenda.go_to("2026-03-01T02:40")
    assert agenda.states == [("01 01:00", "deleted"), ("01 02:00", "ended")], "as long as it goes on"
    assert agenda.world.reports.deleted == ["nightly-20260301T010000Z"] * 2, "what it has left since goes, too"


def test_reports_are_written_at_the_end_and_one_that_cannot_be_is_said(tmp_path: Path) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.write(cron="0 * * * *", report=True)
    agenda.world.reports.unwritable.add("nightly-20260301T020000Z")
    agenda.start_beat()
    agenda.go_to("2026-03-01T02:10")
    assert [slot.report for slot in agenda.slots] == [
        "reports/nightly-20260301T010000Z/report.html",
        "failed: somehow",
    ]
    assert agenda.world.reports.written == ["nightly-20260301T010000Z"]


def test_a_run_alone_has_nothing_to_do_with_schedules(tmp_path: Path) -> None:
    """Submitted, a spec with a [schedule] is a search like any other."""
    agenda = Agenda(tmp_path, "2026-03-01T00:30")
    agenda.write(keep=1, report=True, flag_worse_by=0.0)
    agenda.world.database.issue("key", "submit", "nightly", agenda.spec().to_json())
    agenda.world.redis.add({b"ring": b"orchestrator:doorbell"})
    agenda.settle()
    assert agenda.studies["nightly"].state == "finished"
    assert (agenda.slots, agenda.world.reports.written, agenda.flags) == ([], [], [None])


def test_a_run_that_cannot_be_looked_after_keeps_no_other_from_its_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    agenda = Agenda(tmp_path, "2026-03-01T00:30", valued(0.5, 0.5, 0.5))
    agenda.write(cron="0 * * * *", report=True)
    ask = agenda.world.reports.ask

    def fails_for_the_first(study: str) -> str | None:
        if study == "nightly-20260301T010000Z":
            raise ValueError("a name that no folder can have")
        return ask(study)

    monkeypatch.setattr(agenda.world.reports, "ask", fails_for_the_first)
    agenda.start_beat()
    agenda.go_to("2026-03-01T03:10")
    assert agenda.world.reports.written == ["nightly-20260301T020000Z", "nightly-20260301T030000Z"]
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == 1
    assert "run nightly-20260301T010000Z cannot be looked after: ValueError: a name" in said[0]
