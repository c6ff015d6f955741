"""The live view of a study in a terminal, redrawn in place."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import Final, TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
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
    """Draws on a terminal; the last frame stays.

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
        self._live = Live(
            get_renderable=lambda: _Frame(self._state()),
            console=self._console,
            refresh_per_second=REFRESHES,
            redirect_stdout=False,
            # Other output of this process goes above the frame instead of into it.
            redirect_stderr=stream is sys.stderr,
        )
        self._closed = False

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

    def say(self, text: str) -> None:
        """Writes a line above the frame."""
        with contextlib.suppress(OSError):
            self._console.print(Text(one_line(text)))

    def close(self) -> None:
        """Draws the last frame and gives the terminal back."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OSError):
                self._live.stop()

    def _state(self) -> ViewState:
        state, at = self._seen
        return state.at(state.now + self._clock() - at)


class _Frame:
    """Reads the size of the terminal when it is drawn, since that may change."""

    def __init__(self, state: ViewState) -> None:
        self._state = state

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # The line below the frame is the cursor's: without it the screen scrolls at the end.
        yield render(self._state, options.max_width, max(1, console.size.height - 1))
