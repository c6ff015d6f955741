"""A progress bar appears on a terminal, and only when something takes long."""

from __future__ import annotations

import io

import pytest

from orchestrator.terminal import progress_bar as module
from orchestrator.terminal.progress_bar import waiting


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def written(stream: io.StringIO) -> str:
    with waiting("replaying", 10, stream) as advance:
        for _ in range(10):
            advance(1)
    return stream.getvalue()


@pytest.fixture(autouse=True)
def _a_terminal_that_can_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


def test_what_takes_long_on_a_terminal_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", -1.0)
    text = written(Terminal())
    assert "replaying" in text
    assert "100%" in text


def test_what_is_soon_done_is_not_mentioned() -> None:
    assert "replaying" not in written(Terminal())


def test_without_a_terminal_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", -1.0)
    assert written(io.StringIO()) == ""
