"""The views of a study, and the one that suits a stream."""

from __future__ import annotations

import os
from typing import Protocol, TextIO

from orchestrator.model.progress_events import Notice

DRAWN = "━─…–"
"""Characters of the live view; a terminal whose encoding lacks them gets the line log."""


class View(Protocol):
    """Shows a study's notices to a person. One thread calls it."""

    def show(self, notice: Notice, now: float) -> None:
        """Takes the next notice in order; ``now`` is monotonic, in seconds."""

    def say(self, text: str) -> None:
        """Shows a message of one line."""

    def close(self) -> None:
        """Shows what is still held back and leaves the stream as it was; a second call does nothing."""


def make_view(stream: TextIO) -> View:
    """Returns the live view where ``stream`` is a terminal that can show it, the line log everywhere else."""
    if stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown") and _can_draw(stream):
        from orchestrator.terminal.live_view import LiveView  # rich is loaded only where it is used

        return LiveView(stream)
    from orchestrator.terminal.log_view import LineView

    return LineView(stream)


def _can_draw(stream: TextIO) -> bool:
    try:
        DRAWN.encode(stream.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
