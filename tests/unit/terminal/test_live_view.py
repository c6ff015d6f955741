"""The live view on a simulated terminal, and the choice of a view for a stream."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from made_notices import ended, progress
from rich.console import Console

from orchestrator.terminal.live_view import DRAW_SECONDS, LiveView
from orchestrator.terminal.log_view import LineView
from orchestrator.terminal.views import make_view


class _Terminal(io.StringIO):
    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding

    def isatty(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._encoding


@pytest.mark.parametrize(
    ("stream", "term", "expected"),
    [
        (_Terminal(), "xterm-256color", LiveView),
        (_Terminal(), "dumb", LineView),
        (_Terminal(), "unknown", LineView),
        (_Terminal("ascii"), "xterm", LineView),
        (_Terminal("no such"), "xterm", LineView),
        (io.StringIO(), "xterm", LineView),
    ],
)
def test_a_terminal_gets_the_live_view(
    stream: io.StringIO, term: str, expected: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", term)

    view = make_view(stream)

    assert isinstance(view, expected)
    view.close()


@pytest.fixture(autouse=True)
def no_refresh_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames come from notices alone, whatever the time a test takes."""
    monkeypatch.setattr("orchestrator.terminal.live_view.REFRESHES", 0.001)


class _Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def on_screen(clock: _Clock) -> tuple[LiveView, io.StringIO]:
    stream = io.StringIO()
    console = Console(file=stream, width=80, height=24, force_terminal=True, _environ={"TERM": "xterm"})
    return LiveView(stream, console=console, clock=clock), stream


def test_the_last_frame_stays() -> None:
    clock = _Clock()
    view, stream = on_screen(clock)
    view.say("starting 2 workers")
    view.show(progress(), 1000.0)
    view.show(ended(77), 1000.0)
    view.show(progress(state="finished", pruned=8), 1000.01)
    view.close()
    view.close()
    view.show(progress(state="paused"), 1001.0)

    last = stream.getvalue()[stream.getvalue().rindex("digits") :]
    assert stream.getvalue().startswith("starting 2 workers\n")
    assert "finished" in last
    assert "14/40 trials" in last
    assert "77" in last
    assert stream.getvalue().endswith("\x1b[?25h")


def test_frames_are_not_drawn_faster_than_they_can_be_read() -> None:
    clock = _Clock()
    view, stream = on_screen(clock)
    drawn = []
    for position in range(3):
        clock.now += DRAW_SECONDS / 2
        view.show(progress(epochs=1000 + position), 1000.0 + position)
        drawn.append(f"{1000 + position} epochs" in stream.getvalue())
    view.close()

    assert drawn == [True, False, True]


def test_the_clock_runs_between_notices() -> None:
    clock = _Clock()
    view, stream = on_screen(clock)
    view.show(progress(), 1000.0)
    clock.now += 65.0
    view.close()

    assert "elapsed 1:05" in stream.getvalue()


def test_a_view_that_saw_nothing_shows_nothing() -> None:
    view, stream = on_screen(_Clock())
    view.close()

    assert stream.getvalue() == ""


def test_the_line_log_needs_no_rich() -> None:
    script = (
        "import io, sys; from orchestrator.terminal.views import make_view; make_view(io.StringIO());"
        "sys.exit('rich' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
