"""What happens to a study as JSON, an object on each line, for programs."""

from __future__ import annotations

import json
from typing import Any, TextIO

import msgspec

from orchestrator.common.json_text import plain
from orchestrator.model.progress_events import Notice


class JsonView:
    """Writes each notice as it comes: its ``type`` is ``progress``, ``ended`` or ``other_source``."""

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
