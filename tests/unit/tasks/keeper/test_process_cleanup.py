"""What has a mark is ended, whatever it is doing; what has none is let alone."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.keeper.process_cleanup import MARK, end_marked

ROOT = Path(__file__).parents[4]
ROUNDS = 200
OF_AN_ORDINARY_USER = """
import subprocess, sys
from tasks.keeper.process_cleanup import MARK, end_marked
from tests.unprivileged import become_unprivileged
become_unprivileged()
line = "setsid sleep 600 & setsid sleep 600 & echo started; wait"
marked = subprocess.Popen(["/bin/sh", "-c", line], env={MARK: sys.argv[1], "PATH": sys.argv[2]}, stdout=subprocess.PIPE)
children = f"/proc/{marked.pid}/task/{marked.pid}/children"
while len(open(children).read().split()) < 2:
    pass
print(end_marked(sys.argv[1]), end_marked(sys.argv[1]), marked.wait())
"""


@contextmanager
def started(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def mark() -> str:
    return uuid.uuid4().hex


def test_one_that_becomes_another_program_is_ended_too(mark: str, tmp_path: Path) -> None:
    """Between two programs a process has no environment."""
    script = tmp_path / "again.sh"
    script.write_text('exec sh "$0"\n')
    for _ in range(ROUNDS):
        with started(["sh", str(script)], os.environ | {MARK: mark}) as restless:
            assert end_marked(mark) == 1
            assert restless.wait(60) == -9


def test_all_that_were_started_are_ended_and_others_are_not(mark: str) -> None:
    with (
        started(["sleep", "600"], os.environ | {MARK: mark + "0"}) as another,
        started(["sleep", "600"], {}) as bare,
        started(["sh", "-c", "setsid sleep 600 & setsid sleep 600 & echo; wait"], os.environ | {MARK: mark}) as parent,
    ):
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        while len(children.read_text().split()) < 2:
            assert parent.poll() is None
        assert end_marked(mark) == 3
        assert end_marked(mark) == 0
        assert parent.wait(60) == -9
        assert another.poll() is None
        assert bare.poll() is None


def test_an_ordinary_user_ends_what_is_his_beside_what_he_may_not_see(mark: str) -> None:
    with started(["sleep", "600"], os.environ | {MARK: mark}) as of_these_tests:
        done = subprocess.run(
            [sys.executable, "-W", "ignore::ResourceWarning", "-c", OF_AN_ORDINARY_USER, mark, os.environ["PATH"]],
            env={"PYTHONPATH": str(ROOT)},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        # What this user has started is his as well, unless he is root.
        assert done.stdout.split() == (["3", "0", "-9"] if os.getuid() == 0 else ["4", "0", "-9"]), done.stderr
        assert (of_these_tests.poll() is None) == (os.getuid() == 0)
