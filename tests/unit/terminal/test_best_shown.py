"""`best` on a terminal cuts no parameter and no command that people read or copy."""

from __future__ import annotations

import os
import pty
import sys

import pytest

from orchestrator.cli import shared
from orchestrator.queries.best_trials import BestTrial
from orchestrator.terminal.best_view import render

COMMAND = "python train.py --lr=0.1234567890123456"


@pytest.mark.parametrize("width", [10, 40])
def test_no_figure_and_no_command_is_cut_off(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    trial = BestTrial(
        "digits", 3, (0.5,), ("minimize",), {"learning_rate_of_the_head": 0.1234567890123456}, {}, command=COMMAND
    )
    main, side = pty.openpty()
    monkeypatch.setattr(shared, "terminal_width", lambda: width)
    with open(main, "rb", buffering=0) as screen, open(side, "w") as terminal, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", terminal)
        shared.show(render([trial]))
        terminal.flush()
        shown = os.read(screen.fileno(), 10_000).decode()
    assert "learning_rate_of_the_head  0.1234567890123456\r\n" in shown
    assert f"its command: {COMMAND}\r\n" in shown
