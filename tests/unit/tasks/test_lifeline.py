"""What the kernel is asked for: here, that what a worker knows is not to be had from beside it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Root, as which tests may run, reads everything; an ordinary user does not.
WORKS = """
import subprocess, sys
from tasks.process_guards import keep_secrets
from tests.unprivileged import become_unprivileged
become_unprivileged()
if sys.argv[1] == "kept":
    keep_secrets()
sys.exit(subprocess.run(["/bin/sh", "-c", "cat /proc/$PPID/environ"], env={}).returncode)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="asked of Linux alone")
@pytest.mark.parametrize("how", ["kept", "open"])
def test_what_a_worker_starts_does_not_read_its_environment(how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORKS, how],
        env={"SECRET": "planted", "PYTHONPATH": str(Path(__file__).parents[3])},
        cwd="/",
        capture_output=True,
        check=False,
    )
    assert (b"SECRET=planted" in done.stdout) == (how == "open"), done.stderr
    assert (b"Permission denied" in done.stderr) == (how == "kept"), done.stderr
