"""What a newcomer does first: `init`, then the command that it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fleet import ROOT


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Of somebody who has installed the program and set nothing, with the program on the path."""
    program = tmp_path / "bin" / "orchestrator"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m orchestrator "$@"\n')
    program.chmod(0o755)
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ORCHESTRATOR_")}
    return clean | {"PATH": f"{program.parent}{os.pathsep}{clean['PATH']}", "PYTHONPATH": str(ROOT)}


def shell(command: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=110, check=False
    )


def test_init_writes_what_runs_as_it_is(tmp_path: Path, environment: dict[str, str]) -> None:
    made = shell("orchestrator init 'my search'", tmp_path, environment)
    assert (made.returncode, made.stdout) == (0, "cd 'my search' && orchestrator run search.toml\n"), made.stderr

    done = shell(f"{made.stdout.strip()} --trials 5 --slots 2 --json", tmp_path, environment)

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["study"], result["state"], sum(result["trials"].values())) == ("starter", "finished", 5)
    assert result["best"]["value"] > 0.8
    assert set(result["best"]["params"]) == {"alpha", "rate", "loss", "penalty"}
    again = shell("orchestrator init 'my search'", tmp_path, environment)
    assert (again.returncode, again.stdout, again.stderr.count("\n")) == (2, "", 1)
