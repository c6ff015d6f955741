"""Commands that notify: run once, within limits, without a shell and without secrets."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path

import pytest
from notifying import PATIENCE, Settled, a_command, notifying

from orchestrator.notify import command as commands
from orchestrator.notify.notifier import Notifier
from orchestrator.notify.policy import Policy

ALLOWED = Policy(commands=True)


def test_a_command_is_given_the_note_and_no_secret(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    environ = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "ORCHESTRATOR_STORAGE_URL": "postgresql://u:hush@h/d"}
    with notifying(ALLOWED, environ | {"AWS_SECRET": "hush", "PGPASSWORD": "hush"}) as notifier:
        script = f'cat; echo; env; echo "$0" > {tmp_path}/zero'
        with caplog.at_level(logging.INFO):
            notifier.owe([a_command("sh", "-c", script, "an argument; with $HOME")])
            assert Settled(notifier).last("uid:1:command")[:3] == ("delivered", 1, "ended with exit code 0")
    (record,) = [each for each in caplog.records if each.__dict__.get("action") == "notify_command"]
    output = record.getMessage().splitlines()
    assert output[0] == "study s: command 'sh' ended with exit code 0:"
    assert output[1] == '{"id": "uid:1"}'
    given = dict(line.split("=", 1) for line in output[2:])
    assert {"ORCHESTRATOR_STUDY", "ORCHESTRATOR_EVENT", "PATH", "LC_ALL"} <= given.keys()
    assert given["ORCHESTRATOR_STUDY"] == "s"
    assert "hush" not in record.getMessage()
    assert (tmp_path / "zero").read_text() == "an argument; with $HOME\n", "no shell has read it"


@pytest.mark.parametrize(
    ("words", "detail"),
    [
        (("sh", "-c", "exit 3"), "ended with exit code 3"),
        (("sh", "-c", "kill -9 $$"), "was ended by signal 9"),
        (("no-such-program",), "cannot be started: No such file or directory"),
    ],
)
def test_a_command_is_run_once(words: tuple[str, ...], detail: str) -> None:
    with notifying(ALLOWED, {"PATH": "/usr/bin:/bin"}) as notifier:
        notifier.owe([a_command(*words)])
        assert Settled(notifier).last("uid:1:command")[:3] == ("failed", 1, detail)


def test_a_command_has_so_much_time(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(commands, "LIMIT", 0.3)
    child = tmp_path / "child"
    with notifying(ALLOWED, {"PATH": "/usr/bin:/bin"}) as notifier:
        notifier.owe([a_command("sh", "-c", f"sleep 600 & echo $! > {child}; wait")])
        assert Settled(notifier).last("uid:1:command")[:3] == ("failed", 1, "took longer than 0.3 s and was ended")
    assert _is_gone(int(child.read_text()))


def test_of_its_output_the_end_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    with notifying(ALLOWED, {"PATH": "/usr/bin:/bin"}) as notifier, caplog.at_level(logging.INFO):
        notifier.owe([a_command("sh", "-c", "yes x | head -c 1000000; echo the end")])
        Settled(notifier).last("uid:1:command")
    (record,) = [each for each in caplog.records if each.__dict__.get("action") == "notify_command"]
    assert record.getMessage().endswith("the end")
    assert len(record.getMessage()) < 5_000


def test_a_command_that_is_cut_off_by_the_end_stays_owed(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    notifier = Notifier(ALLOWED, {"PATH": "/usr/bin:/bin"})
    notifier.owe([a_command("sh", "-c", f"echo $$ > {begun}.new; mv {begun}.new {begun}; sleep 600")])
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not begun.exists():
        assert time.monotonic() < deadline
        pause.wait(0.005)
    notifier.close()
    assert [state.state for state in notifier.take_settled().values()] == ["owed"]
    assert _is_gone(int(begun.read_text()))


def _is_gone(pid: int) -> bool:
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        pause.wait(0.005)
    return False
