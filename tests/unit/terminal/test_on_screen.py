"""What stands on the screen, read by a terminal emulator: narrow windows, windows that shrink, long lists."""

from __future__ import annotations

import itertools
import signal
from typing import Any

import pytest
from made_notices import ended, progress
from terminal_screen import Terminal
from test_promotion_views import promoting

from orchestrator.model.progress_events import Best, Progress
from orchestrator.terminal.live_view import LiveView

LONG = Best(number=4, value=0.98, params={f"parameter_{n}": n / 7 for n in range(40)})
STUDIES: dict[str, Progress] = {
    "plain": progress(),
    "promoting": promoting(),
    "long": progress(best=LONG),
    "no slots": progress(slots=(), running=0),
}
SIZES = [(200, 50), (80, 24), (60, 20), (40, 15), (20, 10)]


@pytest.fixture(autouse=True)
def no_refresh_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.terminal.live_view.REFRESHES", 0.001)
    monkeypatch.setattr("orchestrator.terminal.live_view.DRAW_SECONDS", 0.0)


def view_on(terminal: Terminal) -> LiveView:
    clock = itertools.count()
    return LiveView(terminal, console=terminal.console, clock=lambda: float(next(clock)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("study", STUDIES)
def test_a_frame_stands_where_the_one_before_stood(study: str, size: tuple[int, int]) -> None:
    terminal = Terminal(*size, reflows=True)
    view = view_on(terminal)
    for number in range(4):
        view.show(ended(number, detail="median at step 5: " * 9), float(number))
        view.show(STUDIES[study], float(number))
        terminal.write("^C")
    view.show(STUDIES[study], 4.0)
    rows = terminal.rows()
    # What a shell says of a killed process begins a row of its own.
    assert (terminal.screen.cursor.x, terminal.screen.cursor.y) == (0, len(rows))
    assert rows[0].startswith("digits  running")
    assert sum(row.startswith("digits") for row in rows) == 1
    assert terminal.widest <= size[0]
    assert not terminal.screen.history.top, "nothing is pushed out of the window"
    view.close()


@pytest.mark.parametrize("reflows", [True, False])
@pytest.mark.parametrize("smaller", SIZES[1:])
@pytest.mark.parametrize("study", STUDIES)
def test_a_window_that_is_made_smaller_has_one_whole_frame(study: str, smaller: tuple[int, int], reflows: bool) -> None:
    terminal = Terminal(120, 50, reflows=reflows)
    terminal.write("$ orchestrator run digits.toml\n")
    view = view_on(terminal)
    for number in range(6):
        view.show(ended(number), float(number))
    view.show(STUDIES[study], 6.0)
    for step in range(1, 4):
        # As a person drags it: several sizes, one frame at each.
        terminal.resize(120 - (120 - smaller[0]) * step // 3, 50 - (50 - smaller[1]) * step // 3)
        view.show(STUDIES[study], 6.0 + step)
    rows = terminal.rows()
    assert sum("running" in row and row.startswith("digits") for row in rows) == 1, "\n".join(rows)
    fresh = Terminal(*smaller, reflows=reflows)
    again = view_on(fresh)
    for number in range(6):
        again.show(ended(number), float(number))
    again.show(STUDIES[study], 6.0)
    ignored = ("elapsed", "ETA")
    begin = next(at for at, row in enumerate(rows) if row.startswith("digits"))
    wanted = [row for row in fresh.rows() if not any(word in row for word in ignored)]
    assert [row for row in rows[begin:] if not any(word in row for word in ignored)] == wanted
    view.close()
    again.close()


def test_a_window_that_is_made_larger_keeps_what_is_above() -> None:
    terminal = Terminal(60, 24, reflows=True)
    terminal.write("$ orchestrator run digits.toml\n")
    view = view_on(terminal)
    view.show(progress(), 1.0)
    terminal.resize(150, 40)
    view.show(progress(), 2.0)
    assert terminal.rows()[0] == "$ orchestrator run digits.toml"
    assert [row for row in terminal.rows() if row.startswith("digits")] == ["digits  running"]
    view.close()


def test_ctrl_z_leaves_the_terminal_to_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(80, 60, reflows=True)

    def stop(thread: int, signum: int) -> None:
        del thread
        assert signal.getsignal(signum) is signal.SIG_DFL
        assert not terminal.screen.cursor.hidden
        terminal.write("^Z\n[1]+  Stopped\n$ fg\n")

    monkeypatch.setattr(signal, "pthread_kill", stop)
    view = view_on(terminal)
    view.show(progress(), 1.0)
    frame = terminal.rows()
    assert callable(signal.getsignal(signal.SIGTSTP)), "else the signal would stop the tests"
    for time in (2.0, 3.0):
        signal.raise_signal(signal.SIGTSTP)
        view.show(progress(), time)
        view.show(progress(), time)
    view.close()
    begins = [at for at, row in enumerate(terminal.rows()) if row == "digits  running"]
    shell = [at for at, row in enumerate(terminal.rows()) if row == "$ fg"]
    assert begins == [0, shell[0] + 1, shell[1] + 1]
    assert shell == [len(frame) + 2, 2 * len(frame) + 5]
    assert not terminal.screen.cursor.hidden
    assert signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL


@pytest.mark.parametrize("size", SIZES)
def test_of_a_long_list_of_parameters_is_said_how_many_are_left_out(size: tuple[int, int]) -> None:
    terminal = Terminal(*size, reflows=True)
    view = view_on(terminal)
    view.show(progress(best=LONG), 1.0)
    rows = terminal.rows()
    shown = sum(row.count("parameter_") for row in rows)
    assert shown < 40
    if size[0] >= 40:
        assert any(f"… {40 - shown} more" in row for row in rows), "\n".join(rows)
    view.close()


def test_who_joins_late_sees_for_how_long_it_has_been_running() -> None:
    terminal = Terminal(100, 24, reflows=True)
    view = view_on(terminal)
    view.show(ended(3), 1000.0)
    view.show(progress(elapsed=3600.0), 1000.0)
    assert any("elapsed 1:00:0" in row for row in terminal.rows())
    view.show(progress(), 1030.0)
    assert any("elapsed 1:00:3" in row for row in terminal.rows())
    view.close()


@pytest.mark.parametrize("environ", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}])
def test_without_colours_the_same_words_stand_there(environ: dict[str, Any]) -> None:
    from rich.console import Console

    from orchestrator.terminal.live_frame import render
    from orchestrator.terminal.live_state import ViewState, fold

    terminal = Terminal(80, 40, reflows=True)
    console = Console(
        file=terminal, width=80, height=40, force_terminal=True, _environ={"TERM": "xterm-256color"} | environ
    )
    console.print(render(fold(ViewState(), promoting(), 1.0), 80, 30))
    colours = {cell.fg for row in terminal.screen.buffer.values() for cell in row.values()}
    assert (colours == {"default"}) == bool(environ)
    assert terminal.rows()[0] == "digits  running"
    assert any("leading 0.99 by trial 12" in row for row in terminal.rows())
