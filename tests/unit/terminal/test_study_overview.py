"""Studies as a table at every width, and one study in full."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from made_notices import progress
from rich.cells import cell_len
from rich.console import Console

from orchestrator.model.progress_events import Best
from orchestrator.model.study_status import Absence, Overview, Work
from orchestrator.terminal.overview import render_list, render_status, to_json

NOW = 1_700_000_100.0
BEST = Best(number=3, value=0.98765, params={"lr": 0.1})
STUDIES = [
    Overview(
        progress(study="digits", budget=40, complete=5, pruned=4, failed=1, running=2, epochs=130, best=BEST),
        NOW - 60,
        NOW - 60,
        tuple(NOW - 20 + each for each in range(0, 20, 2)),
        (Work(20, ((NOW - 30, NOW - 10),)), Work(5, ((NOW - 10, None),))),
    ),
    Overview(progress(study="a-study-with-a-rather-long-name", state="finished", budget=3, complete=3), 0, NOW - 7200),
]


def shown(width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    console.print(render_list(STUDIES, width, NOW))
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue().splitlines()


def test_everything_where_there_is_room() -> None:
    head, digits, other = shown(200)
    assert (
        " ".join(head.split())
        == "study state trials running pruned failed epochs saved best trials/h epochs/s ETA changed"
    )
    assert " ".join(digits.split()) == "digits running 10/40 2 4 1 130 51% 0.9877 1800 0.75 0:58 1 min ago"
    assert other.startswith("a-study-with-a-rather-long-name  finished")


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_it_fits(width: int) -> None:
    lines = shown(width)
    assert all(cell_len(line) <= width for line in lines)
    assert lines[0].split()[:3] == ["study", "state", "trials"]
    assert lines[1].split()[:3] == ["digits", "running", "10/40"]
    assert any(line.startswith("no room for ") for line in lines)


def test_at_80_columns_what_matters_is_there() -> None:
    assert {"best", "ETA", "failed", "running", "trials/h"} <= set(shown(80)[0].split())


@pytest.mark.usefixtures("shell")
@pytest.mark.parametrize("state", ["unattended", "interrupted", "paused"])
def test_in_a_fleet_a_control_plane_is_asked_for(state: str) -> None:
    found = Overview(progress(state=state), NOW, NOW, absence=Absence(NOW, alone=False))
    console = Console(file=io.StringIO(), width=200)
    console.print(render_status(found, 200, NOW))
    assert isinstance(console.file, io.StringIO)
    said = console.file.getvalue()
    assert "'orchestrator serve' looks after it again" in said
    assert ("'orchestrator resume digits' goes on with it" in said) == (state != "unattended")


def paced(*work: Work, ends: tuple[float, ...] = (), began: float = NOW - 100) -> Overview:
    return Overview(progress(), NOW - 5000, began, ends, work)


@pytest.mark.parametrize(
    ("found", "rate"),
    [
        (paced(), None),
        (paced(Work(0, ((NOW - 10, None),))), None),
        (paced(Work(5, ((NOW - 10, None),))), 0.5),
        # Two slots; the first 20 of 40 epochs were trained before it is measured.
        (paced(Work(40, ((NOW - 40, NOW),)), Work(10, ((NOW - 10, None),)), ends=(NOW - 20, NOW - 10, NOW)), 1.5),
        # Nothing is at work any more: what was idle since does not count.
        (paced(Work(30, ((NOW - 90, NOW - 60),))), 1.0),
        # It paused in between, and was at work for ten seconds in all.
        (paced(Work(20, ((NOW - 40, NOW - 35), (NOW - 5, NOW))), ends=(NOW - 20, NOW - 9, NOW)), 0.5),
        # It went on 20 seconds ago; what its trial did an hour ago was another time.
        (paced(Work(30, ((NOW - 3600, NOW - 3590), (NOW - 20, None))), began=NOW - 20), 1.0),
        # All ended at once, as those do that are not promoted: measured since the first start.
        (paced(Work(8, ((NOW - 40, NOW - 36),)), Work(2, ((NOW - 2, NOW),)), ends=(NOW, NOW, NOW)), 0.25),
        # Its control plane was killed ten seconds ago.
        (replace(paced(Work(5, ((NOW - 20, None),))), absence=Absence(NOW - 10, alone=True)), 0.5),
        # A clock that is behind.
        (paced(Work(3, ((NOW + 5, None),))), None),
    ],
)
def test_epochs_per_second(found: Overview, rate: float | None) -> None:
    assert found.epoch_rate(NOW) == pytest.approx(rate)
    assert to_json(found, NOW)["epochs_per_second"] == pytest.approx(rate)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (STUDIES[0], "1800 trials an hour and 45 epochs a minute, by the last 10 trials"),
        (paced(Work(5, ((NOW - 2, None),))), "2.5 epochs a second"),
        (paced(Work(1, ((NOW - 900, None),)), began=NOW - 900), "4 epochs an hour"),
        (paced(Work(0, ((NOW - 9, None),))), ""),
    ],
)
def test_the_pace_in_words(found: Overview, says: str) -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(render_status(found, 120, NOW))
    assert isinstance(console.file, io.StringIO)
    shown = [line for line in console.file.getvalue().splitlines() if "an hour" in line or "epochs a " in line]
    assert shown == ([says] if says else [])


@pytest.mark.parametrize(
    ("state", "seconds", "words"),
    [
        ("finished", 28 * 60 + 11, "finished 28 min ago"),
        ("stopped", 59.9, "stopped 59 s ago"),
        ("failed", 2 * 3600 + 59, "failed 2 h ago"),
        ("running", 3 * 86_400, "running for 3 days"),
        ("paused", -5.0, "paused for 0 s"),
    ],
)
def test_a_state_is_shown_with_its_time(state: str, seconds: float, words: str) -> None:
    study = Overview(progress(state=state), NOW - 5 * 86_400, NOW - seconds)
    console = Console(file=io.StringIO(), width=100, highlight=False, markup=False, emoji=False)
    console.print(render_status(study, 100, NOW))
    assert isinstance(console.file, io.StringIO)
    assert f"created 5 days ago, {words}\n" in console.file.getvalue()
