"""A trial's log: found, or said where it is; shown from a line on; followed to its end; harmless to a terminal."""

from __future__ import annotations

import io
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from orchestrator.common.errors import BadInput
from orchestrator.model.changeset import AttemptRow
from orchestrator.model.records import StudyFacts, TrialFacts
from orchestrator.queries import logs
from orchestrator.queries.logs import TrialLog, last_lines, log_file
from orchestrator.terminal.log_printer import Printer, print_log
from tasks.trial_files import trial_log


def attempt(number: int = 1, **changes: Any) -> AttemptRow:
    given: dict[str, Any] = {"host": socket.gethostname(), "slot": "w@h/0", "state": "done"}
    return AttemptRow(token=f"t{number}", trial=3, number=number, created=0.0, **given | changes)


def facts(*attempts: AttemptRow, state: str = "COMPLETE") -> TrialFacts:
    study = StudyFacts("s", "minimize", {}, "running", "", 9, {})
    return TrialFacts(study, 3, state, (), {}, {}, attempts=attempts)


def write(data: Path, content: bytes) -> Path:
    path = log_file(data, "s", 3)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def shown(data: Path, trial: TrialFacts, *, terminal: bool = False, lines: int | None = None) -> bytes:
    output = io.BytesIO()
    print_log(TrialLog(data, lambda: trial, lines=lines), Printer(output, terminal))
    return output.getvalue()


def test_it_is_shown_as_it_is(tmp_path: Path) -> None:
    content = b"one\n\x00\xff\x1b[2J two\r\nthree"
    write(tmp_path, content)
    assert shown(tmp_path, facts(attempt())) == content


@pytest.mark.parametrize(("state", "says"), [("COMPLETE", "nothing\n"), ("RUNNING", "nothing yet\n")])
def test_an_objective_that_prints_nothing(
    state: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, b"")
    assert shown(tmp_path, facts(attempt(state="done" if state == "COMPLETE" else "running"), state=state)) == b""
    assert capsys.readouterr().err == f"trial 3 has printed {says}"


def test_a_terminal_gets_nothing_that_could_move_its_cursor(tmp_path: Path) -> None:
    write(tmp_path, "10%\r20%\r\n\x1b[2J\x07\tä\u202e".encode() + b"\xff\n")
    text = shown(tmp_path, facts(attempt()), terminal=True).decode()
    assert text == "10%\n20%\n\\x1b[2J\\x07\tä\\u202e\\xff\n"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [(0, b""), (1, b"c\n"), (2, b"b\nc\n"), (3, b"a\nb\nc\n"), (9, b"a\nb\nc\n"), (None, b"a\nb\nc\n")],
)
def test_so_many_lines_from_the_end(tmp_path: Path, lines: int | None, expected: bytes) -> None:
    write(tmp_path, b"a\nb\nc\n")
    assert shown(tmp_path, facts(attempt()), lines=lines) == expected


def test_the_last_lines_of_a_long_log_are_found_across_blocks() -> None:
    rows = [b"%d " % number * 50 + b"\n" for number in range(5_000)]
    for content in (b"".join(rows), b"".join(rows)[:-1]):
        for count in (1, 7, 900, 5_000, 6_000):
            file = io.BytesIO(content)
            last_lines(file, count)
            assert file.read() == content[len(b"".join(rows[: max(0, 5_000 - count)])) :]


def test_one_that_an_earlier_version_wrote_is_found(tmp_path: Path) -> None:
    earlier = tmp_path / "logs" / "s" / "trial-00003.log"
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(b"before\n")
    assert shown(tmp_path, facts(attempt())) == b"before\n"
    now = trial_log(tmp_path, "s", 3)
    now.parent.mkdir(parents=True)
    now.write_bytes(b"now\n")
    assert shown(tmp_path, facts(attempt())) == b"now\n"


@pytest.mark.parametrize("study", ["worker.log", "serve.log", "studies", "slot-0.log", "x" * 128, "Digits", "digits"])
def test_no_study_has_the_log_of_another_one_or_of_a_process(tmp_path: Path, study: str) -> None:
    path = log_file(tmp_path, study, 1)
    path.parent.mkdir(parents=True)
    path.touch()
    assert path.parent.parent == tmp_path / "logs" / "studies"
    others = {log_file(tmp_path, other, 1) for other in ("digits", "Digits", "DIGITS", "other") if other != study}
    assert str(path).lower() not in {str(other).lower() for other in others}


def test_where_it_is_when_it_is_not_here(tmp_path: Path) -> None:
    trial = facts(attempt(host="box1"), attempt(2, host="box2", slot="w@box2/1"))
    with pytest.raises(BadInput) as caught:
        shown(tmp_path, trial)
    text = str(caught.value)
    assert "is not on this host; it ran on box1, slot w@h/0; box2, slot w@box2/1 (attempt 2)" in text
    assert "look for logs/studies/s/trial-00003.log in the data folder there" in text


def test_a_trial_that_has_not_begun_has_no_log(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no worker has begun it, so there is no log yet"):
        shown(tmp_path, facts(attempt(host="", state="sent"), state="RUNNING"))


def test_what_another_host_has_of_it_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, b"here\n")
    assert shown(tmp_path, facts(attempt(host="box1"), attempt(2))) == b"here\n"
    assert capsys.readouterr().err == "trial 3 also ran on box1, slot w@h/0\n"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(logs, "PAUSE_SECONDS", 0.01)


@pytest.mark.usefixtures("quick")
def test_it_is_followed_until_the_trial_has_ended_and_its_process_has_left(tmp_path: Path) -> None:
    """The file is not there yet when it begins, and the last words come after the trial was pruned."""
    states = [facts(attempt(state="sent", host=""), state="RUNNING")]
    output = io.BytesIO()

    def follow() -> None:
        print_log(TrialLog(tmp_path, lambda: states[-1], follow=True), Printer(output, False))

    follower = threading.Thread(target=follow)
    follower.start()
    path = write(tmp_path, b"first\n")
    states.append(facts(attempt(state="running"), state="RUNNING"))
    wait(lambda: output.getvalue() == b"first\n")
    states.append(facts(attempt(state="stopping"), state="PRUNED"))
    with path.open("ab") as file:
        file.write(b"second\n")
    wait(lambda: output.getvalue() == b"first\nsecond\n")
    assert follower.is_alive(), "its process is still leaving"
    with path.open("ab") as file:
        file.write(b"last\n")
    states.append(facts(attempt(), state="PRUNED"))
    follower.join(10)
    assert not follower.is_alive()
    assert output.getvalue() == b"first\nsecond\nlast\n"


@pytest.mark.usefixtures("quick")
def test_following_ends_where_no_more_output_can_come(tmp_path: Path) -> None:
    for trial in (facts(attempt(host="box1", state="running"), state="RUNNING"), facts(attempt(host="box1"))):
        with pytest.raises(BadInput, match="is not on this host"):
            TrialLog(tmp_path, lambda trial=trial: trial, follow=True)  # type: ignore[misc]


def wait(condition: Any) -> None:
    pause = threading.Event()
    for _ in range(1_000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("waited 10 s in vain")
