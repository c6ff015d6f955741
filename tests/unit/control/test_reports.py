"""Reports of runs are written one after the other by processes of their own, and what is left of a study goes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.control.report_requests import Reports

SECONDS = 30.0


class Writer:
    """Reports by a program of a test's."""

    def __init__(self, folder: Path, *command: str, longest: float = SECONDS) -> None:
        self.reports = Reports(folder, {"FOLDER": str(folder)}, command, longest)

    def wait_for(self, study: str) -> str:
        begun = time.monotonic()
        while (said := self.reports.ask(study)) is None:
            assert time.monotonic() - begun < SECONDS
            time.sleep(0.01)
        return said


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    program = "import os, sys; print('drawing'); print(os.environ['FOLDER'], sys.argv[1], flush=True)"
    made = Writer(tmp_path, sys.executable, "-c", program)
    yield made
    made.reports.close()


def test_one_after_the_other_each_once(writer: Writer, tmp_path: Path) -> None:
    assert not writer.reports.has_news
    for study in ("a", "b", "a"):
        writer.reports.ask(study)
    assert [writer.wait_for(study) for study in ("b", "a")] == [f"{tmp_path} b", f"{tmp_path} a"]
    assert not writer.reports.has_news


def test_news_are_there_until_they_are_asked_for(writer: Writer) -> None:
    writer.reports.ask("a")
    begun = time.monotonic()
    while not writer.reports.has_news:
        assert time.monotonic() - begun < SECONDS
        time.sleep(0.01)
    assert writer.reports.has_news
    assert writer.reports.ask("a") is not None
    assert not writer.reports.has_news


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import sys; sys.exit('orchestrator: report: needs plotly')", "failed: report: needs plotly"),
        ("import sys; sys.exit(3)", "failed: it said nothing"),
        ("import os; os.kill(os.getpid(), 9)", "failed: it said nothing"),
        ("print('x' * 200_000); raise ValueError('no')", "failed: ValueError: no"),
    ],
)
def test_what_goes_wrong_is_said(tmp_path: Path, program: str, said: str) -> None:
    writer = Writer(tmp_path, sys.executable, "-c", program)
    assert writer.wait_for("a") == said
    writer.reports.close()


def test_one_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    writer = Writer(tmp_path, sys.executable, "-c", "import time; time.sleep(60)", longest=0.1)
    assert writer.wait_for("a") == "failed: not written within 0.1 s"
    writer.reports.close()


def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    writer = Writer(tmp_path, str(tmp_path / "nothing"))
    assert writer.wait_for("a") == "failed: No such file or directory"
    writer.reports.close()


def test_a_leader_that_leaves_ends_what_it_began(tmp_path: Path) -> None:
    writer = Writer(tmp_path, sys.executable, "-c", "import time; time.sleep(60)")
    writer.reports.ask("a")
    begun = time.monotonic()
    writer.reports.close()
    assert time.monotonic() - begun < SECONDS


def test_what_is_left_of_a_study_goes_and_nothing_else(writer: Writer, tmp_path: Path) -> None:
    for study in ("one", "two"):
        for folder in ("reports", "logs", "logs/studies"):
            (tmp_path / folder / study).mkdir(parents=True)
            (tmp_path / folder / study / "file").touch()
    (tmp_path / "logs" / "worker.log").touch()
    for name in ("one", "one", "studies", "worker.log"):
        writer.reports.delete(name)
    begun = time.monotonic()
    while not writer.reports.idle:
        assert time.monotonic() - begun < SECONDS
        time.sleep(0.01)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"reports/two/file", "logs/two/file", "logs/studies/two/file", "logs/worker.log"}
