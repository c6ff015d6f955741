"""The live view of a study in a terminal, redrawn in place."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final, TextIO

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderResult
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType, Segment
from rich.text import Text

from orchestrator.common.formatting import one_line
from orchestrator.model.progress_events import Notice, Progress
from orchestrator.terminal.live_frame import render
from orchestrator.terminal.live_state import ViewState, fold

__all__ = ["LiveView", "render"]

DRAW_SECONDS: Final = 0.25
"""Shortest time between two frames, which cost about 10 ms each; notices may come faster."""
REFRESHES: Final = 2
"""Frames a second while no notice comes, so that the clocks run."""


class LiveView:
    """Draws on a terminal; the last frame stays. Ctrl-Z stops this process as it would without a view.

    Args:
        stream: The terminal.
        console: Replaces it in tests.
        clock: Monotonic seconds; it measures the time since the last notice.
    """

    def __init__(
        self, stream: TextIO, *, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console or Console(file=stream, highlight=False, markup=False, emoji=False)
        self._clock = clock
        self._seen = (ViewState(), clock())  # one value: the refreshing thread reads it at any time
        self._drawn_at: float | None = None
        self._closed = False
        drawn = _Drawn()
        self._live = _Live(
            drawn,
            get_renderable=lambda: _Frame(self._state(), drawn, is_last=self._closed),
            console=self._console,
            refresh_per_second=REFRESHES,
            redirect_stdout=False,
            # Other output of this process goes above the frame instead of into it.
            redirect_stderr=stream is sys.stderr,
        )
        self._handles_stop = False

    def show(self, notice: Notice, now: float) -> None:
        """Takes a notice; see ``View.show``."""
        at = self._clock()
        state = fold(self._seen[0], notice, now)
        self._seen = (state, at)
        if self._closed or not isinstance(notice, Progress):
            return  # the progress that follows a trial's end draws it
        if self._drawn_at is None or at - self._drawn_at >= DRAW_SECONDS:
            self._drawn_at = at
            with contextlib.suppress(OSError):  # the terminal may be gone; the search is not
                if self._live.is_started:
                    self._live.refresh()
                else:
                    self._live.start(refresh=True)
                    self._handle_suspension()

    def say(self, text: str) -> None:
        """Writes a line above the frame."""
        with contextlib.suppress(OSError):
            self._console.print(Text(one_line(text)))

    def close(self) -> None:
        """Draws the last frame and gives the terminal back."""
        if not self._closed:
            self._closed = True
            if self._handles_stop:
                signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            with contextlib.suppress(OSError):
                self._live.stop()

    def _handle_suspension(self) -> None:
        """Handles Ctrl-Z, where the program does not do so itself."""
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
            self._handles_stop = True
            signal.signal(signal.SIGTSTP, self._suspend)

    def _suspend(self, signum: int, frame: FrameType | None) -> None:
        """Stops this process; when it goes on, the frame is drawn anew, below what the shell has written."""
        del frame
        with self._live.held():
            signal.signal(signum, signal.SIG_DFL)
            # Of this thread, so that it has stopped when the call returns. The kernel drops the signal where no shell
            # could have the process go on.
            signal.pthread_kill(threading.get_ident(), signum)
            signal.signal(signum, self._suspend)

    def _state(self) -> ViewState:
        state, at = self._seen
        return state.at(state.now + self._clock() - at)


class _Drawn:
    """The frame on the screen: the size of the terminal when it was drawn, and its lines' lengths in cells."""

    def __init__(self) -> None:
        self.width = self.height = 0
        self.lengths: list[int] = []

    def rows(self, width: int) -> int:
        """Returns the rows that it takes at most on a terminal that was made narrower since: most wrap its lines."""
        return sum(max(1, -(-length // width)) for length in self.lengths)


class _Live(Live):
    """Finds the beginning of the frame also in a window that has become smaller.

    rich goes up by as many rows as the frame had lines. Where the terminal has wrapped them meanwhile, that is too few,
    and what lies above would stay. Where rows were taken away, terminals differ in where the cursor is then: what is
    left on the screen is drawn anew.
    """

    def __init__(self, drawn: _Drawn, **options: Any) -> None:
        super().__init__(**options)
        self._drawn = drawn

    def start(self, refresh: bool = False) -> None:
        super().start(refresh)
        # Neither a kill nor Ctrl-Z gives a hidden cursor back.
        self.console.show_cursor(True)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Draws nothing meanwhile, and the next frame where the cursor is then."""
        with self._lock:
            yield
            self._drawn.lengths = []

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        drawn, (width, height) = self._drawn, self.console.size
        found = super().process_renderables(renderables)
        if self.console.is_interactive:
            if not drawn.lengths:
                found[0] = Control()
            elif height < drawn.height:
                found[0] = _Erased("\x1b[H")
            elif width < drawn.width and (rows := min(drawn.rows(max(1, width)), height)) > 1:
                found[0] = _Erased(f"\r\x1b[{rows - 1}A")
        return found


class _Erased:
    """Goes to the beginning by this sequence of control codes, and erases everything from there on."""

    def __init__(self, begin: str) -> None:
        self._begin = begin

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        del console, options
        yield Segment(f"{self._begin}\x1b[J", None, [(ControlType.CARRIAGE_RETURN,)])


class _Frame:
    """Reads the size of the terminal when it is drawn, since that may change.

    Below every frame but the last one is an empty row, in which the cursor stands: what the terminal echoes, and what a
    shell says of a process that was killed, begins there.
    """

    def __init__(self, state: ViewState, drawn: _Drawn, *, is_last: bool) -> None:
        self._state = state
        self._drawn = drawn
        self._is_last = is_last

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # Without a row below the frame the screen would scroll.
        frame = render(self._state, options.max_width, max(1, console.size.height - 1))
        lines = console.render_lines(frame, options, pad=False)
        if not self._is_last:
            lines.append([])
        self._drawn.width, self._drawn.height = console.size
        self._drawn.lengths = [sum(segment.cell_length for segment in line) for line in lines]
        for line in lines:
            yield from line
            yield Segment.line()
