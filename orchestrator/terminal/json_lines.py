"""For programs: what happens to a study, and lists that may be long, as JSON with an object on each line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, TextIO

import msgspec

from orchestrator.model.progress_events import Notice
from orchestrator.terminal.summary import plain


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


def json_list(items: Iterable[Any]) -> Iterator[str]:
    """Yields the text of a JSON list piece by piece, an item on each line, so that none but one is held."""
    before = "[\n"
    for item in items:
        yield before + json.dumps(item)
        before = ",\n"
    yield "[]\n" if before == "[\n" else "\n]\n"
