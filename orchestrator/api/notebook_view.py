"""The view of a study in a notebook: tables and plots that are redrawn in place, as plain HTML and SVG."""

from __future__ import annotations

import contextlib
import html
import io
import math
import time
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final

from rich.console import Console, Group
from rich.text import Text

from orchestrator.api.notebook_plots import History, best_plot, curves_plot
from orchestrator.api.shown import as_text
from orchestrator.common.formatting import NOTHING, aligned, clock, duration, one_line, params
from orchestrator.model.progress_events import Notice, Progress
from orchestrator.model.study_states import ENDED
from orchestrator.terminal.live_frame import head, render, short_names, silent_lines
from orchestrator.terminal.live_state import ViewState, fold

DRAW_SECONDS: Final = 0.5
"""Shortest time between two drawings: a notebook keeps each in its file until the next one replaces it."""

_WIDTH: Final = 110
_MESSAGES: Final = 5
_FRAME: Final = '<pre style="line-height: 1.25; margin: 0; background: none; overflow-x: auto">{code}</pre>'
_CELL: Final = "padding: 1px 10px 1px 0; text-align: left; white-space: nowrap"

Display = Callable[[dict[str, str], str, bool], None]


def show_in_notebook(data: dict[str, str], display_id: str, again: bool) -> None:
    """Shows data by media type below the cell that runs, or redraws what is shown under that id."""
    from IPython.display import display, update_display  # type: ignore[import-not-found, unused-ignore]

    show: Any = update_display if again else display
    show(data, raw=True, display_id=display_id)


class NotebookView:
    """Draws below the cell that runs; the last drawing stays, and is stored with the notebook.

    Args:
        show: Shows data by media type; replaced in tests.
        clock: Monotonic seconds.
    """

    def __init__(self, show: Display = show_in_notebook, clock: Callable[[], float] = time.monotonic) -> None:
        self._show = show
        self._clock = clock
        self._id = uuid.uuid4().hex
        self._state = ViewState()
        self._history = History()
        self._messages: list[str] = []
        self._drawn_at = -math.inf
        self._drawn = False
        self._closed = False

    def show(self, notice: Notice, now: float) -> None:
        """Takes a notice; see ``View.show``."""
        self._state = fold(self._state, notice, now)
        self._history.add(notice)
        if isinstance(notice, Progress) and self._clock() - self._drawn_at >= DRAW_SECONDS:
            self._draw()

    def say(self, text: str) -> None:
        """Shows a message below the tables."""
        self._messages = [*self._messages, one_line(text)][-_MESSAGES:]
        self._draw()

    def close(self) -> None:
        """Draws the last state."""
        if not self._closed:
            self._draw()
            self._closed = True

    def _draw(self) -> None:
        if self._closed or (self._state.progress is None and not self._messages):
            return
        self._drawn_at = self._clock()
        with contextlib.suppress(OSError):  # the browser may be gone; the search is not
            self._show({"text/html": self._html(), "text/plain": self._text()}, self._id, self._drawn)
            self._drawn = True

    def _text(self) -> str:
        text = "" if self._state.progress is None else as_text(render(self._state, _WIDTH, 40), width=_WIDTH)
        return "\n".join(filter(None, [text, *self._messages]))

    def _html(self) -> str:
        said = "".join(f'<div style="opacity: 0.7">{html.escape(text)}</div>' for text in self._messages)
        if (progress := self._state.progress) is None:
            return said
        plots = [
            best_plot(self._history, several=progress.front is not None),
            curves_plot(self._history, {line.trial for line in progress.slots}),
        ]
        pictures = "".join(f'<div style="margin: 6px 18px 6px 0">{plot}</div>' for plot in plots if plot)
        return (
            f'{_head(self._state, progress)}<div style="display: flex; flex-wrap: wrap">{pictures}</div>'
            f'<div style="display: flex; flex-wrap: wrap; gap: 24px; align-items: flex-start">'
            f"{_slots(self._state, progress)}{_ended(self._state)}</div>{said}"
        )


def _head(state: ViewState, progress: Progress) -> str:
    """Returns the lines about the study as a whole, which a terminal shows too."""
    times = f"elapsed {clock(state.elapsed)}"
    if progress.state not in ENDED:
        times += f"  ETA {NOTHING if state.eta is None else clock(math.ceil(state.eta))}"
    lines = [*head(progress, times, _WIDTH), *silent_lines(progress, state.now - state.progress_at)]
    if state.warning:
        lines.append(Text(state.warning, style="yellow"))
    # No terminal: a notebook's own colours of text and background are kept.
    console = Console(
        file=io.StringIO(), width=_WIDTH, record=True, force_terminal=True, force_jupyter=False, highlight=False
    )
    console.print(Group(*lines))
    return console.export_html(inline_styles=True, code_format=_FRAME)


def _slots(state: ViewState, progress: Progress) -> str:
    if progress.state in ENDED or not state.slots:
        return ""
    names = short_names([slot.line.slot for slot in state.slots])
    rows = []
    for slot in state.slots:
        line = slot.line
        if slot.idle_since is not None:
            rows.append([names[line.slot], line.device, NOTHING, "idle", ""])
            continue
        epochs = f"{line.epochs}/{progress.max_steps}" if progress.max_steps else str(line.epochs)
        rows.append([names[line.slot], line.device, str(line.trial), epochs, aligned(line.value)])
    return _table(("slot", "device", "trial", "epoch", "value"), rows)


def _ended(state: ViewState) -> str:
    rows = [
        [
            str(trial.number),
            trial.state,
            ", ".join(map(aligned, trial.values)) or NOTHING,
            str(trial.epochs),
            duration(trial.seconds),
            "  ".join(params(trial.params)),
            trial.detail,
        ]
        for trial in state.recent
    ]
    return _table(("ended", "state", "value", "epochs", "time", "parameters", "why"), rows) if rows else ""


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    top = "".join(f'<th style="{_CELL}; opacity: 0.7; font-weight: normal">{name}</th>' for name in columns)
    body = ""
    for row in rows:
        *cells, last = [html.escape(one_line(cell)[:120]) for cell in row]
        short = "".join(f'<td style="{_CELL}">{cell}</td>' for cell in cells)
        body += f'<tr>{short}<td style="{_CELL}; white-space: normal">{last}</td></tr>'
    return f'<table style="border-collapse: collapse; margin: 0"><tr>{top}</tr>{body}</table>'
