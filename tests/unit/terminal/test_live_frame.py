"""Frames of the live view: their content, and that they fit the screen."""

from __future__ import annotations

import io
import math

import pytest
from made_notices import ended, failed, folded, progress, slot
from rich.cells import cell_len
from rich.console import Console

from orchestrator.model.progress_events import Best, Notice
from orchestrator.terminal.live_frame import short_names
from orchestrator.terminal.live_state import ViewState, fold
from orchestrator.terminal.live_view import render

SIZES = [(80, 24), (200, 60), (120, 40), (40, 10), (20, 5), (10, 1)]
MANY = tuple(slot(index, trial=100 + index) for index in range(64))
LONG = "a-very-long-name-" * 30
FAMILY = "👨‍👩‍👧‍👦 学习率 🚀 "
HOSTILE = "\x1b[2J\x1b[1;1H first\nsecond\r\x07\u2028third \ud800"

CASES: dict[str, list[Notice]] = {
    "nothing yet": [],
    "only an ended trial": [ended()],
    "normal": [*(ended(number) for number in range(12)), failed(), progress()],
    "empty": [
        progress(
            complete=0,
            pruned=0,
            failed=0,
            running=0,
            waiting=0,
            epochs=0,
            epochs_saved=0,
            best=None,
            slots=(),
        )
    ],
    "not finite": [
        ended(values=(math.nan,), seconds=math.nan),
        ended(13, values=(-math.inf,)),
        progress(
            best=Best(number=1, value=math.inf, params={"lr": math.nan}),
            slots=(
                slot(0, value=math.nan),
                slot(1, value=math.inf),
                slot(2, value=None, step=None, epochs=0),
            ),
        ),
    ],
    "unknown length": [progress(max_steps=None)],
    "beyond the length": [progress(complete=90, slots=(slot(0, epochs=10**9),))],
    "no budget": [progress(budget=0, max_steps=0, complete=0, pruned=0, failed=0)],
    "64 slots": [*(ended(number) for number in range(12)), progress(running=64, slots=MANY)],
    "64 slots, idle": [progress(slots=MANY), progress(slots=())],
    "one slot": [ended(), progress(slots=(slot(0),))],
    "finished": [ended(), progress(), progress(state="finished", running=0, slots=())],
    "failed": [failed(), progress(state="failed", reason="the first 5 trials all failed alike: " + LONG)],
    "long": [
        failed(detail=LONG * 3),
        progress(
            study=LONG,
            best=Best(number=10**9, value=-1.23456789e-300, params={LONG: LONG, "b": 1.0}),
            slots=(
                slot(0, slot=LONG + "/0", device=LONG),
                slot(1, slot=LONG + "/1", attempt=1000, value=-1.234e-300),
            ),
        ),
    ],
    "emoji": [
        ended(detail=FAMILY * 20),
        progress(
            study=FAMILY * 20,
            reason=FAMILY * 5,
            best=Best(number=1, value=1.0, params={FAMILY: FAMILY * 10}),
            slots=(slot(0, slot=FAMILY * 5, device=FAMILY * 5),),
        ),
    ],
    "hostile": [
        failed(detail=HOSTILE),
        progress(
            study=HOSTILE,
            reason=HOSTILE,
            best=Best(number=1, value=1.0, params={HOSTILE: HOSTILE}),
            slots=(slot(0, slot=HOSTILE, device=HOSTILE),),
        ),
    ],
    "huge counts": [progress(budget=10**9, complete=10**8, pruned=10**8, failed=10**8, epochs=10**12)],
}


def drawn(state: ViewState, width: int = 80, height: int = 24) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    with console.capture() as capture:
        console.print(render(state, width, height))
    return capture.get().removesuffix("\n").split("\n")


def text(*notices: Notice, width: int = 80, height: int = 24) -> str:
    return "\n".join(drawn(folded(notices), width, height))


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("case", CASES)
def test_a_frame_fits_the_screen(case: str, width: int, height: int) -> None:
    lines = drawn(folded(CASES[case]), width, height)

    assert len(lines) <= height
    assert max(cell_len(line) for line in lines) <= width
    # A terminal may count a joined emoji as its parts; nothing else may move the cursor.
    assert all(c.isprintable() or c == "\u200d" for line in lines for c in line)


@pytest.mark.parametrize("height", range(1, 40))
@pytest.mark.parametrize(("slots", "trials"), [(0, 0), (0, 10), (1, 1), (3, 10), (8, 10), (64, 10), (64, 0)])
def test_no_height_is_exceeded(slots: int, trials: int, height: int) -> None:
    state = folded([*(ended(number) for number in range(trials)), progress(slots=MANY[:slots])])

    lines = drawn(state, 80, height)

    assert len(lines) <= height
    assert lines[-1].strip()


def test_what_a_frame_shows() -> None:
    shown = text(ended(), failed(), progress())

    assert shown.startswith("digits  running\n")
    assert "13/40 trials  32%  elapsed 0:00  ETA –" in shown
    assert "5 complete  7 pruned  1 failed  2 running  1 queued" in shown
    assert "214 epochs trained, 133 saved by pruning (38%)" in shown
    assert "best 0.9833 by trial 4  lr=0.001235  optimizer=Adam  units=128" in shown
    assert "0     gpu 0      14  ━━━━────────────  7/27  0.8711" in shown
    assert "13  FAIL         –       3  3.1s  ValueError: bad batch" in shown
    assert "12  PRUNED  0.8711       8  3.1s  median at step 8" in shown


def test_expected_ends_have_a_column_where_the_rule_predicts_them() -> None:
    shown = text(progress(slots=(slot(0, expected=0.91234, spread=0.02), slot(1))))
    assert "expected end" in shown
    assert "7/27  0.8711  0.91 ± 0.02" in shown
    assert "expected" not in text(progress())


def test_a_wide_screen_shows_it_all() -> None:
    shown = text(*CASES["normal"], width=200, height=60)

    assert "1 queued    214 epochs trained" in shown
    assert "threshold 0.9422 of 6 peers" in shown
    assert shown.count("PRUNED") == 9
    assert shown.count("FAIL") == 1


def test_the_newest_ended_trial_comes_first() -> None:
    lines = drawn(folded([ended(1), ended(2), progress()]))

    assert [line.split()[0] for line in lines[-2:]] == ["2", "1"]


def test_slots_that_do_not_fit_are_counted() -> None:
    shown = drawn(folded([progress(slots=MANY)]))

    rows = [line for line in shown if "/27" in line]
    assert f"… and {64 - len(rows)} more" in "\n".join(shown)
    assert rows[0].startswith("0 ")
    assert rows[2].startswith("2 ")
    assert len(rows) > 10


def test_a_slot_without_a_trial_is_idle() -> None:
    state = fold(folded([progress()]), progress(slots=(slot(1),)), 1001.0)

    assert "0     gpu 0       –  idle\n" in "\n".join(line.rstrip() for line in drawn(state))
    assert "idle 12.0s" in "\n".join(drawn(state.at(1013.0)))


def test_after_the_end_idle_slots_are_gone() -> None:
    shown = text(*CASES["finished"])

    assert "idle" not in shown
    assert "gpu" not in shown
    assert "ETA" not in shown
    assert "finished" in shown


def test_a_later_attempt_is_marked() -> None:
    shown = text(progress(slots=(slot(0, attempt=2), slot(1))))

    assert "14 try 2" in shown
    assert shown.count("try") == 1


def test_without_a_known_length_epochs_are_counted() -> None:
    shown = text(progress(max_steps=None))

    assert "214 epochs trained\n" in "\n".join(line.rstrip() for line in shown.split("\n"))
    assert "saved" not in shown
    assert "/27" not in shown


def test_nothing_known_yet() -> None:
    shown = text(*CASES["empty"])

    assert "best –  no trial has completed" in shown
    assert "no slot is training" in shown
    assert "0/40 trials  0%" in shown


def test_values_that_are_no_numbers_are_named() -> None:
    shown = text(*CASES["not finite"])

    assert "best inf by trial 1  lr=nan" in shown
    assert "-inf" in shown


def test_a_failure_is_one_line() -> None:
    shown = text(failed(detail="RuntimeError: first\n  second\tthird"), progress(), width=200, height=60)

    assert "RuntimeError: first second third" in shown


def test_slots_go_by_the_shortest_names_that_differ() -> None:
    one_worker = ["w@a.x.y/0", "w@a.x.y/1"]
    two_hosts = ["w@a.x.y/0", "w@b.x.y/0"]
    two_workers = ["w1@a.x.y/0", "w2@a.x.y/0"]
    same_node_names = ["w@a.x/0", "w@a.y/0"]

    assert list(short_names(one_worker).values()) == ["0", "1"]
    assert list(short_names(two_hosts).values()) == ["a/0", "b/0"]
    assert list(short_names(two_workers).values()) == ["w1@a/0", "w2@a/0"]
    assert list(short_names(same_node_names).values()) == ["w@a.x/0", "w@a.y/0"]
    assert short_names(["odd"]) == {"odd": "odd"}
    assert short_names([]) == {}


def test_the_bar_is_coloured_by_outcome() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system="standard", _environ={})
    with console.capture() as capture:
        console.print(render(folded([progress(budget=13)]), 80, 24))

    bar = capture.get().split("\n")[1]
    assert bar.index("\x1b[32m━") < bar.index("\x1b[33m━") < bar.index("\x1b[31m━")
    assert "─" not in bar
