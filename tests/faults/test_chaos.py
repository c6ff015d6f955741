"""A short soak: everything that a search stands on is killed at random, and the account balances."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]


def test_a_short_soak_balances(tmp_path: Path) -> None:
    options = {"seconds": "15", "trials": "40", "epochs": "20", "epoch-seconds": "0.05", "pause": "0.3", "seed": "4"}
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *arguments, "--folder", str(tmp_path / "soak"), "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    account = json.loads(done.stdout)
    assert account["balanced"]
    assert account["trials"]["asked"] == 40
    assert (account["epochs"]["lost"], account["epochs"]["duplicated"]) == (0, 0)
    assert account["recovery_s"], "something was killed"
