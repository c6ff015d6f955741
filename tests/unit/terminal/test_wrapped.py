"""Lines of `why` in a narrow window, and what goes into a pipe."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest
from recorded_trials import FAILURE, PROMOTED, PROMOTION, attempt, facts, row
from rich.cells import cell_len
from rich.padding import Padding
from rich.table import Table

from orchestrator.cli import shared
from orchestrator.pruning import Decision
from orchestrator.terminal.table_layout import wrapped
from orchestrator.terminal.why_text import explain

TRIALS: dict[str, Any] = {
    "pruned": facts(decisions=[row("prune", 8, 0.8, 0.9, 5)]),
    "failed": facts("FAIL", failure=FAILURE),
    "on a rung": facts(
        "RUNNING",
        pruner=PROMOTION,
        attempts=[attempt(1, cause="promoted"), attempt(2, "paused")],
        decisions=[PROMOTED],
        standing=Decision(True, "asha", 9, 0.7, 0.75, 30),
    ),
}


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("trial", TRIALS)
def test_no_word_is_lost_or_torn(trial: str, width: int) -> None:
    lines = explain(TRIALS[trial]).split("\n")
    rows = [row for line in lines for row in wrapped(line, width)]
    assert " ".join(" ".join(rows).split()) == " ".join(" ".join(lines).split())
    assert all(cell_len(row) <= width or len(row.split()) == 1 for row in rows)
    assert not any(row.endswith(" ") for row in rows)


@pytest.mark.parametrize(
    ("line", "width", "rows"),
    [
        ("", 10, [""]),
        ("one  two ", 10, ["one  two "]),
        ("one two three", 8, ["one two", "  three"]),
        ("  one two three", 9, ["  one two", "    three"]),
        ("a-word-that-is-longer than that", 10, ["a-word-that-is-longer", "  than", "  that"]),
        ("学习率 学习率", 8, ["学习率", "  学习率"]),
    ],
)
def test_what_goes_on_is_indented(line: str, width: int, rows: list[str]) -> None:
    assert wrapped(line, width) == rows


def test_no_line_in_a_pipe_ends_in_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table(box=None)
    table.add_column("name")
    table.add_column("why")
    table.add_row("a", "")
    table.add_row("a longer one", "because of it")

    def printed() -> None:
        shared.show(Padding(table, (0, 0, 0, 2)), "", "end  ")

    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    printed()
    lines = stream.getvalue().split("\n")
    assert len(lines) > 4
    assert not [line for line in lines if line != line.rstrip()]
    assert "\x1b" not in stream.getvalue()


def test_why_is_whole_in_a_pipe() -> None:
    line = explain(TRIALS["on a rung"]).split("\n")[0]
    assert wrapped(line, shared._UNBOUNDED) == [line]
