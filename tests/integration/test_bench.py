"""What measures knows the inside of the program, and would fall behind it without being run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fleet import ROOT

from tests.bench.steps import SIDE, WAY

pytestmark = pytest.mark.long


def test_everything_that_is_measured_can_be_measured(tmp_path: Path) -> None:
    page = tmp_path / "bench.md"
    page.write_text("# By hand\n\n<!-- measured: make bench -->\nan older run\n<!-- /measured -->\n\nby hand, too\n")
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench", "--quick", "--output", str(page)],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    written = page.read_text()
    assert written.startswith("# By hand\n")
    assert written.endswith("\nby hand, too\n")
    assert "an older run" not in written
    missing = [words for _, words in WAY + SIDE if f"| {words} (" not in written]
    assert not missing, "steps from a report to the next trial without a time stamp"
    sections = [line.removeprefix("## ") for line in written.splitlines() if line.startswith("## ")]
    assert (sections[:2], sections[-2:]) == (["Help", "Start"], ["The pure core", "Pruning rules"])
