"""A search that promotes: its progress, who leads, its rungs, and its time, in every view."""

from __future__ import annotations

import io
from datetime import timedelta
from typing import Any

import pytest
from made_notices import BEST, ended, folded, progress
from made_trials import BEGUN, NOW, head, listed
from rich.cells import cell_len
from rich.console import Console, RenderableType

from orchestrator.model.progress_events import Leading, Progress, RungLine
from orchestrator.model.study_status import Overview, Work, soonest
from orchestrator.terminal import live_frame, log_view, overview, trial_table
from orchestrator.terminal.live_state import ViewState, fold

AT = 1_700_000_000.0
LEADING = Leading(number=12, value=0.99, step=14, params={"lr": 0.1})
RUNGS = (
    RungLine(step=1, reached=14, on_it=7, next_up=3),
    RungLine(step=3, reached=7, on_it=3, next_up=5, ready=True),
    RungLine(step=9, reached=4, on_it=2, next_up=9),
    RungLine(step=27, reached=0, on_it=0),
)


def promoting(**changes: Any) -> Progress:
    given: dict[str, Any] = {
        "complete": 0,
        "pruned": 0,
        "failed": 0,
        "best": None,
        "paused": 12,
        "begun": 14,
        "promotes": True,
        "leading": LEADING,
        "rungs": RUNGS,
        "rest": 60,
    }
    return progress(**given | changes)


def printed(view: RenderableType, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    console.print(view)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def views(found: Progress, width: int) -> dict[str, list[str]]:
    seen = Overview(found, AT - 100, AT - 100)
    return {
        "ls": printed(overview.render_list([seen], width, AT), width),
        "status": printed(overview.render_status(seen, width, AT), width),
        "live": printed(live_frame.render(fold(ViewState(), found, 1.0), width, 40), width),
        "log": [log_view.state_line(found)],
    }


@pytest.mark.parametrize("view", ["ls", "status", "live", "log"])
def test_progress_is_in_what_begins_and_a_leader_is_not_called_best(view: str) -> None:
    text = "\n".join(views(promoting(), 200)[view])
    assert "14/40" in text
    assert "begun" in text
    assert "leading" in text
    assert "0.99" in text
    assert "best 0.99" not in text
    both = "\n".join(views(promoting(best=BEST, complete=1), 200)[view])
    assert "0.9833" in both
    assert "leading" in both


@pytest.mark.parametrize("view", ["ls", "status", "live", "log"])
def test_where_trials_end_a_leader_is_news_only_before_the_first_has(view: str) -> None:
    plain = {"promotes": False, "rungs": (), "rest": None, "paused": 0}
    assert "leading" in "\n".join(views(promoting(**plain), 200)[view])
    assert "leading" not in "\n".join(views(promoting(**plain, best=BEST, complete=1), 200)[view])


@pytest.mark.parametrize("view", ["ls", "status", "live"])
def test_where_epochs_are_the_budget_they_are_the_progress(view: str) -> None:
    text = "\n".join(views(promoting(epoch_budget=300, epochs=214), 200)[view])
    assert "214/300 epochs" in text
    assert "14/40" in "\n".join(views(promoting(epoch_budget=3000, epochs=214), 200)[view])


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize("view", ["status", "live"])
def test_each_rung_has_its_line(view: str, width: int) -> None:
    lines = views(promoting(), width)[view]
    assert all(cell_len(line) <= width for line in lines)
    rungs = [line for line in lines if line.startswith("rung ")]
    assert [line.split()[1] for line in rungs] == ["27", "9", "3", "1"]
    if width > 60:
        assert [" ".join(line.replace("━", "").replace("─", "").split()[2:]) for line in rungs] == [
            "0 reached it, 0 on it",
            "4 reached it, 2 on it, trial 9 next",
            "7 reached it, 3 on it, trial 5 takes the next slot",
            "14 reached it, 7 on it, trial 3 next",
        ]


def test_a_narrow_window_has_the_numbers_of_a_rung() -> None:
    rungs = [line for line in views(promoting(), 40)["status"] if line.startswith("rung ")]
    assert rungs[1:] == [
        "rung  9     2 of  4 on it, trial 9 next",
        "rung  3     3 of  7 on it, trial 5 take…",
        "rung  1     7 of 14 on it, trial 3 next",
    ]


@pytest.mark.parametrize("height", range(1, 40))
def test_rungs_leave_room_for_the_rest(height: int) -> None:
    many = tuple(RungLine(step=2**n, reached=40 - n, on_it=1, next_up=n) for n in range(30))
    state = folded([*(ended(number) for number in range(12)), promoting(rungs=many)])
    lines = printed(live_frame.render(state, 80, height), 80)
    assert len(lines) <= height
    if height >= 24:
        assert any("lower rungs" in line for line in lines)
        assert any(line.startswith("slot ") for line in lines)
        assert any(line.startswith("ended ") for line in lines)


def test_the_live_eta_counts_what_begins() -> None:
    state = ViewState()
    for second in range(20):
        # A trial begins each second, and ten epochs are trained in it; none ends.
        state = fold(state, promoting(begun=second, epochs=10 * second, rest=None, slots=()), 100.0 + second)
    assert state.eta == pytest.approx(21.0, rel=0.1)
    state = fold(state, promoting(begun=40, epochs=200, rest=50, slots=()), 120.0)
    assert state.eta == pytest.approx(5.0, rel=0.1)


@pytest.mark.parametrize(
    ("changes", "of_trials", "epoch_seconds", "expected"),
    [
        ({}, None, None, None),
        ({}, 9.0, None, 9.0),
        ({}, 9.0, 0.5, 30.0),
        ({}, 99.0, 0.5, 99.0),
        ({"rest": None}, 9.0, 0.5, 9.0),
        ({"rest": 0}, None, 0.5, None),
        ({"epoch_budget": 224}, 99.0, 0.5, 5.0),
        ({"epoch_budget": 224, "promotes": False, "rest": None}, None, 0.5, 5.0),
        ({"epoch_budget": 24}, 99.0, 0.5, None),
    ],
)
def test_the_budget_is_used_up_by_what_comes_first(
    changes: dict[str, Any], of_trials: float | None, epoch_seconds: float | None, expected: float | None
) -> None:
    assert soonest(promoting(**changes), of_trials, epoch_seconds) == expected


def test_status_has_an_eta_before_a_trial_ends() -> None:
    begun = tuple(AT - 20 + each for each in range(14))
    seen = Overview(promoting(rest=None), AT - 100, AT - 100, begun, (Work(20, ((AT - 20, None),)),))
    assert seen.eta(AT) == pytest.approx(26 - 7)
    assert "trials begun an hour" in "\n".join(printed(overview.render_status(seen, 100, AT), 100))


def test_time_on_a_slot_stands_apart_from_time_that_passed() -> None:
    trial = head(3, "RUNNING", live="paused", slot_seconds=4.0, epochs=3)
    assert trial.on_slot(NOW) == 4.0
    assert trial.lasted(NOW) == 100.0
    lines, _ = trial_table.render([listed(trial)], [], 1, 200, NOW)
    assert lines[0].plain.split()[5:7] == ["time", "passed"]
    assert " 4.0s  1m 40s " in lines[1].plain
    data = trial_table.to_json(listed(trial), [], NOW)
    assert (data["seconds"], data["seconds_on_slot"]) == (100.0, 4.0)
    again = head(3, "RUNNING", live="running", slot_seconds=4.0, slot_since=BEGUN + timedelta(seconds=90))
    assert again.on_slot(NOW) == 14.0
    assert head(3, "RUNNING").on_slot(NOW) is None
    lines, _ = trial_table.render([listed(head(3))], [], 1, 200, NOW)
    assert "passed" not in lines[0].plain


@pytest.mark.parametrize(
    ("on_slot", "seconds", "words"),
    [
        (3.0, 69.0, "after 8 epochs in 3.0s on a slot, 1m 09s passed"),
        (3.0, 3.1, "after 8 epochs in 3.1s"),
        (None, 69.0, "after 8 epochs in 1m 09s"),
    ],
)
def test_the_log_tells_both(on_slot: float | None, seconds: float, words: str) -> None:
    assert words in log_view.trial_line(ended(on_slot=on_slot, seconds=seconds))
