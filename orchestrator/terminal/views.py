"""The views of a study: which one suits a stream, and the one for programs."""

from __future__ import annotations

import json
import os
from typing import Any, Protocol, TextIO

import msgspec

from orchestrator.common.json_text import plain
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


class JsonView:
    """Writes each notice as a line of JSON, whose ``type`` is ``progress``, ``ended`` or ``other_source``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, notice: Notice, now: float) -> None:
        """Takes a notice; see ``View.show``."""
        del now
        self._write(plain(msgspec.to_builtins(notice)))

    def say(self, text: str) -> None:
        """Writes a message."""
        self._write({"type": "message", "text": text})

    def close(self) -> None:
        """Nothing is held back."""

    def _write(self, data: dict[str, Any]) -> None:
        self._stream.write(json.dumps(data) + "\n")
        self._stream.flush()


def make_view(stream: TextIO) -> View:
    """Returns the live view where ``stream`` is a terminal that can show it, the line log everywhere else."""
    if (
        getattr(stream, "isatty", bool)()
        and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
        and _can_draw(stream)
    ):
        from orchestrator.terminal.live_view import LiveView  # rich is loaded only where it is used

        return LiveView(stream)
    from orchestrator.terminal.log_view import LineView

    return LineView(stream)


def _can_draw(stream: TextIO) -> bool:
    try:
        DRAWN.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
