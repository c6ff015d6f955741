"""Schedules as text and as JSON."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.model.planned_run import PlannedRun, PlannedRunState, RunResult, ScheduleProgress
from orchestrator.model.progress_events import Best, Progress
from orchestrator.model.study_status import Overview
from orchestrator.schedule.folder import Contents, Schedule
from orchestrator.schedule.schedule_status import ScheduleStatus, read_statuses
from orchestrator.spec import parse
from orchestrator.spec.cron import run_name
from orchestrator.terminal.overview import render_list, render_status
from orchestrator.terminal.overview import to_json as overview_to_json
from orchestrator.terminal.schedule_table import describe, render, to_json

SPEC = """
name = "nightly"
objective = "m:f"
trials = 3
[schedule]
cron = "30 2 * * *"
timezone = "Europe/Berlin"
"""


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


NOW = at("2026-03-27T12:00")


def schedule(more: str = "") -> Schedule:
    spec = parse(SPEC + more, "nightly.toml")
    assert spec.schedule is not None
    return Schedule(Path("studies/nightly.toml"), spec, spec.schedule)


def slot(day: int, state: PlannedRunState, **more: Any) -> PlannedRun:
    planned = at(f"2026-03-{day}T01:30")
    return PlannedRun("nightly", planned, state, run_name("nightly", planned), planned + 1.0, **more)


def overview(study: str, state: str = "finished", flagged: str = "") -> Overview:
    progress = Progress(
        study=study,
        state=state,
        reason="",
        budget=3,
        complete=2,
        pruned=1,
        failed=0,
        running=0,
        waiting=0,
        epochs=9,
        max_steps=None,
        epochs_saved=0,
        best=Best(number=1, value=0.98765, params={"x": 0.5}),
        slots=(),
    )
    return Overview(progress, NOW - 60.0, NOW - 30.0, flagged=flagged)


def look(
    known: dict[str, ScheduleProgress],
    runs: Sequence[tuple[PlannedRun, Overview | None]] = (),
    now: float = NOW,
    more: str = "",
) -> list[ScheduleStatus]:
    return read_statuses(Contents({"nightly": schedule(more)}, {}), known, lambda _: runs, now, 3)


def seen(since: str, newest: str = "") -> dict[str, ScheduleProgress]:
    return {"nightly": ScheduleProgress("30 2 * * * Europe/Berlin", at(since), at(newest) if newest else 0)}


def text(found: list[ScheduleStatus], problems: dict[Path, str] | None = None) -> list[str]:
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(render(found, problems or {}, 150, NOW))
    return [line.rstrip() for line in console.export_text().splitlines()]


RUNS: list[tuple[PlannedRun, Overview | None]] = [
    (slot(27, "waiting", reason="nightly-20260326T013000Z goes on"), None),
    (slot(26, "running"), overview("nightly-20260326T013000Z", "running")),
    (slot(25, "ended", report="r/report.html"), overview("nightly-20260325T013000Z", flagged="worse\nby 1")),
    (slot(24, "deleted", reason="keep = 3"), None),
    (slot(23, "deleted", reason="keep = 3", result=RunResult("finished", 2, 7, 1, 90, 0.5, 4)), None),
]


@pytest.fixture(autouse=True)
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    yield from in_zone("Europe/Berlin", monkeypatch)


def in_zone(zone: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Has this host be in a zone."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "first", "second"),
    [
        ("UTC", "CET (2026-03-28T01:30:00Z), here Sat 01:30 UTC", "01:00:00Z), here Sun 01:00 UTC"),
        ("America/New_York", "30:00Z), here Fri 2026-03-27 21:30 EDT", "00:00Z), here Sat 2026-03-28 21:00 EDT"),
        ("Africa/Lagos", "02:30 CET (2026-03-28T01:30:00Z)", "01:00:00Z), here Sun 02:00 WAT"),
    ],
)
def test_the_next_times_are_those_of_this_host_too(
    zone: str, first: str, second: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in in_zone(zone, monkeypatch):
        lines = text(look(seen("2026-03-01T00:00", "2026-03-27T01:30")))
    assert first in lines[1]
    assert second in lines[2]


def test_what_a_person_sees() -> None:
    lines = text(look(seen("2026-03-01T00:00", "2026-03-27T01:30"), RUNS), {Path("b.toml"): "b.toml: is\x1b empty"})
    assert lines == [
        "nightly  30 2 * * * in Europe/Berlin  studies/nightly.toml",
        "  next     Sat 2026-03-28 02:30 CET (2026-03-28T01:30:00Z)",
        "           Sun 2026-03-29 03:00 CEST (2026-03-29T01:00:00Z)",
        "           Mon 2026-03-30 02:30 CEST (2026-03-30T00:30:00Z)",
        "  trend    0.5 → 0.9877 → 0.9877",
        "  run                       state              trials    best  note",
        "  nightly-20260327T013000Z  waiting                 –       –  nightly-20260326T013000Z goes on",
        "  nightly-20260326T013000Z  running               3/3  0.9877",
        "  nightly-20260325T013000Z  finished, flagged     3/3  0.9877  worse by 1; report r/report.html",
        "  nightly-20260324T013000Z  deleted                 –       –  keep = 3",
        "  nightly-20260323T013000Z  deleted                10     0.5  keep = 3",
        "",
        "not run: b.toml: is� empty",
    ]


def test_a_narrow_terminal_leaves_out_what_is_least() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render(look(seen("2026-03-01T00:00"), RUNS), {}, 60, NOW))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    assert "  run                       state              note" in lines
    assert any(
        line.startswith("  nightly-20260325T013000Z  finished, flagged  worse by 1") and "…" in line for line in lines
    )
    assert "  no room for trials, best: a wider terminal or JSON shows more" in lines


def test_a_slot_that_no_beat_has_asked_for_is_overdue() -> None:
    found = look(seen("2026-03-01T00:00", "2026-03-25T01:30"))
    assert [*found[0].overdue] == [at("2026-03-26T01:30"), at("2026-03-27T01:30")]
    assert "2 runs since Thu 2026-03-26 02:30 CET" in text(found)[4]
    assert "do 'orchestrator beat' and 'serve' run?" in text(found)[4]
    on_time = seen("2026-03-01T00:00", "2026-03-27T01:30")
    assert look(on_time)[0].overdue == []
    # No run is late before the delay, and a minute, are over.
    soon = at("2026-03-28T01:30:59")
    assert look(on_time, now=soon)[0].overdue == []
    assert look(on_time, now=soon + 2)[0].overdue == [at("2026-03-28T01:30")]
    assert look(on_time, now=soon + 2, more="jitter = '4h'\n")[0].overdue == []


def test_a_timetable_that_no_beat_has_seen_is_not_overdue() -> None:
    for known in ({}, {"nightly": ScheduleProgress("0 1 * * * UTC", at("2026-01-01T00:00"), 0)}):
        (found,) = look(known)
        assert (found.seen, found.overdue) == (False, [])
        assert "no beat has looked at this timetable yet" in "\n".join(text([found]))


def test_what_a_program_sees() -> None:
    data = to_json(look(seen("2026-03-01T00:00"), RUNS), {Path("b.toml"): "b.toml: is empty"})
    assert json.loads(json.dumps(data)) == data
    (one,) = data["schedules"]
    assert (one["name"], one["file"], one["timezone"]) == ("nightly", "studies/nightly.toml", "Europe/Berlin")
    assert one["next"][1] == {
        "at": at("2026-03-29T01:00"),
        "utc": "2026-03-29T01:00:00Z",
        "local": "2026-03-29T03:00:00+02:00",
        "here": "2026-03-29T03:00:00+02:00",
    }
    assert [(run["slot"], run["state"], run["flagged"]) for run in one["runs"]] == [
        ("waiting", None, None),
        ("running", "running", None),
        ("ended", "finished", "worse\nby 1"),
        ("deleted", None, None),
        ("deleted", None, None),
    ]
    assert (one["runs"][4]["trials"], one["runs"][4]["best"]) == (10, {"number": 4, "value": 0.5})
    assert one["runs"][2]["best"] == {"number": 1, "value": 0.98765}
    assert data["problems"] == [{"file": "b.toml", "problem": "b.toml: is empty"}]


def test_a_folder_without_schedules() -> None:
    assert text([]) == ["no spec there has a [schedule]"]


def test_a_timetable_in_one_line() -> None:
    assert (
        describe(schedule().table, NOW)
        == "schedule 30 2 * * * in Europe/Berlin, next Sat 2026-03-28 02:30 CET (2026-03-28T01:30:00Z)"
    )


def test_a_flagged_study_is_seen_wherever_studies_are() -> None:
    flagged, plain = overview("a", flagged="worse by 1"), overview("b")
    console = Console(width=150, record=True, file=io.StringIO())
    console.print(render_list([flagged, plain], 150, NOW))
    console.print(render_status(flagged, 80, NOW))
    shown = console.export_text()
    assert [("flagged" in line) for line in shown.splitlines()[1:3]] == [True, False]
    assert "flagged: worse by 1" in shown
    assert [overview_to_json(each, NOW)["flagged"] for each in (flagged, plain)] == ["worse by 1", None]
