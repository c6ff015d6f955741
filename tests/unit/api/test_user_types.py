"""The types of the Python interface, as ``mypy --strict`` sees them in a user's code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
WRONG = """\
from orchestrator import Search, connect

Search("m:f", name="one", trials="3")
Search("m:f", name="one", trials=3, direction="max")
Search("m:f", name="one", trials=3, trails=3)
Search("m:f", name="one", trials=3).run(slots="4")
connect("redis://localhost")["one"].wait("soon")
connect(5)
"""


def test_a_users_code_is_checked(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    wrong = tmp_path / "wrong.py"
    wrong.write_text(WRONG)
    right = Path(__file__).with_name("user_code.py")
    # With the project's own configuration, which is strict too, it shares the cache of `make types`.
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"]
    done = subprocess.run([*command, str(right), str(wrong)], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if ": error:" in line]
    # An error that mypy has kept in its cache names the folder of an earlier run.
    found = [(Path(file).name, int(number)) for file, number, *_ in (line.split(":") for line in lines)]
    assert found == [(wrong.name, number) for number in range(3, 9)], done.stdout
