"""The measurement of a loaded control plane, in its small form: simulated slots have to keep to the wire protocol."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fleet import ROOT


def _page(output: Path, *names: str) -> dict[str, str]:
    """Returns what was measured by what it is."""
    command = [sys.executable, "-m", "tests.bench.scale", "--quick", "--output", str(output)]
    done = subprocess.run(
        [*command, *(["--only", ",".join(names)] if names else [])],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in output.read_text().splitlines() if line.startswith("| ")]
    return {row[0]: row[3] for row in rows[2:]}


def test_a_small_fleet_is_pruned_and_refilled(tmp_path: Path) -> None:
    measured = _page(tmp_path / "scale.md", "engine", "random")
    assert len(measured) == 6
    assert "none came" not in measured.values()
    assert "0" not in measured.values()


@pytest.mark.long
def test_everything_that_is_measured_can_be_measured(tmp_path: Path) -> None:
    page = tmp_path / "scale.md"
    page.write_text("# By hand\n\n<!-- measured: make bench-scale -->\nold\n<!-- /measured -->\n\nAlso by hand.\n")
    assert len(_page(page)) == 21
    text = page.read_text()
    assert text.startswith("# By hand\n")
    assert text.endswith("Also by hand.\n")
    assert "old" not in text.splitlines()
