"""What has a mark is ended, whatever it is doing; what has none is let alone."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tasks.keeper.leftovers import MARK, end_marked

ROUNDS = 200


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
