"""The list of studies: a line each, at every width."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console
from view_notices import progress

from orchestrator.notices import Best
from orchestrator.overview import Overview
from orchestrator.view.overview import render_list

NOW = 1_700_000_100.0
BEST = Best(number=3, value=0.98765, params={"lr": 0.1})
STUDIES = [
    Overview(
        progress(study="digits", budget=40, complete=5, pruned=4, failed=1, running=2, epochs=130, best=BEST),
        NOW - 60,
        NOW - 60,
        tuple(NOW - 20 + each for each in range(0, 20, 2)),
    ),
    Overview(progress(study="a-study-with-a-rather-long-name", state="finished", budget=3, complete=3), 0, NOW - 7200),
]


def shown(width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    console.print(render_list(STUDIES, width, NOW))
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue().splitlines()


def test_everything_where_there_is_room() -> None:
    head, digits, other = shown(200)
    assert " ".join(head.split()) == "study state trials running pruned failed epochs saved best trials/h ETA changed"
    assert " ".join(digits.split()) == "digits running 10/40 2 4 1 130 51% 0.9877 1800 0:58 1m 00s ago"
    assert other.startswith("a-study-with-a-rather-long-name  finished")


@pytest.mark.parametrize("width", [40, 60, 80, 100])
def test_it_fits(width: int) -> None:
    lines = shown(width)
    assert all(cell_len(line) <= width for line in lines)
    assert lines[0].split()[:3] == ["study", "state", "trials"]
    assert lines[1].split()[:3] == ["digits", "running", "10/40"]
    assert any(line.startswith("no room for ") for line in lines)


def test_at_80_columns_what_matters_is_there() -> None:
    assert {"best", "ETA", "failed", "running", "trials/h"} <= set(shown(80)[0].split())
