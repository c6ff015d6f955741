"""Samplers in processes answer as in this one; one that dies, hangs, grows or raises costs its own study alone."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from replica_asking import (
    LIMITS,
    PATIENCE,
    REFUSED,
    Asking,
    copy_of,
    expected,
    spec_of,
    wait_until_sent,
)

from orchestrator.common.errors import BadInput
from orchestrator.control.replica_processes import NotAnswered, ReplicaProcesses
from orchestrator.control.watched_process import Limits, ProcessFailed, explained
from orchestrator.sampling.questions import Answer, Horizon, Question

SHORT = Limits(start_seconds=4.0, answer_seconds=0.1)


def test_studies_share_a_process_and_get_the_answers_that_they_would_get_here(asking: Asking) -> None:
    asking.open(spec_of("a"))
    asking.open(spec_of("b", "tpe"))
    for study in ("a", "b", "a"):
        asking.ask(study)
    found = asking.hear(3)
    assert len(asking.pids()) == 1
    values = [answer.params[0].value for _, answer in found if isinstance(answer, Answer)]
    assert values == [expected(0), expected(0, "tpe"), expected(1)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Hangs", "did not answer within 3 s"),
        ("Eats", "took more memory than it may"),
        ("Exits", "ended with exit code 3"),
    ],
)
def test_one_that_misbehaves_costs_its_study_alone(module: str, asking: Asking, name: str, message: str) -> None:
    asking.open(spec_of("bad", f"{module}:{name}"))
    asking.open(spec_of("good"))
    asking.ask("bad")
    asking.ask("good")
    said = dict(asking.hear(2))
    assert isinstance(said["good"], Answer)
    assert isinstance(said["bad"], ProcessFailed)
    assert message in str(said["bad"])
    assert "\n" not in str(said["bad"])


def test_what_a_process_said_before_it_ended_does_not_hide_why_it_ended(
    module: str, asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, looked = threading.Event(), threading.Event()

    def explained_later(*args: Any) -> Exception:
        ended.set()
        assert looked.wait(PATIENCE)
        return explained(*args)

    monkeypatch.setattr("orchestrator.control.replica_process.explained", explained_later)
    asking.open(spec_of("bad", f"{module}:Exits"))
    asking.ask("bad")
    assert ended.wait(PATIENCE)
    assert not asking.replicas.take(), "the copy was made, and nothing else is known yet"
    looked.set()
    ((_, why),) = asking.hear()
    assert "ended with exit code 3" in str(why)


def test_whatever_it_raises_is_said_in_its_answer(module: str, asking: Asking) -> None:
    raised = {
        "Raises": "ValueError: two lines",
        "Interrupts": "KeyboardInterrupt",
        "Leaves": "SystemExit: 4",
        "Groups": "BaseExceptionGroup: several (1 sub-exception)",
        "Mute": "Silent",
    }
    for name in raised:
        asking.open(spec_of(name, f"{module}:{name}"))
        asking.ask(name)
    found = dict(asking.hear(len(raised)))
    assert {name: getattr(answer, "error", answer) for name, answer in found.items()} == raised


def test_when_a_shared_process_dies_the_study_at_work_fails_and_the_others_ask_again(asking: Asking) -> None:
    asking.open(spec_of("a"))
    asking.open(spec_of("b"))
    asking.ask("a")
    asking.ask("b")
    asking.hear(2)
    (pid,) = asking.pids()
    os.kill(pid, signal.SIGSTOP)
    asking.ask("a")
    question = asking.ask("b")
    wait_until_sent(asking)
    os.kill(pid, signal.SIGKILL)
    said = dict(asking.hear(2))
    assert isinstance(said["a"], ProcessFailed)
    assert "signal 9" in str(said["a"])
    assert isinstance(said["b"], NotAnswered)
    asking.replicas.ask("b", [question], lambda: copy_of(2))
    ((study, answer),) = asking.hear()
    assert study == "b"
    assert isinstance(answer, Answer)
    assert answer.params[0].value == expected(1)
    assert asking.pids() != [pid]


def test_when_a_shared_process_has_ended_that_did_nothing_no_study_is_to_blame(asking: Asking) -> None:
    asking.open(spec_of("a"))
    asking.ask("a")
    asking.hear()
    (process,) = asking.replicas._shared
    os.kill(process.pid, signal.SIGKILL)
    process._process.wait()
    question = asking.ask("a")
    ((study, news),) = asking.hear()
    assert study == "a"
    assert isinstance(news, NotAnswered)
    asking.replicas.ask("a", [question], lambda: copy_of(2))
    ((_, answer),) = asking.hear()
    assert isinstance(answer, Answer)
    assert answer.params[0].value == expected(1)


@pytest.mark.parametrize(("name", "message"), REFUSED)
def test_one_that_cannot_be_had_is_refused_without_waiting(
    module: str, asking: Asking, name: str, message: str
) -> None:
    spec = spec_of("s", name.format(module))
    assert not asking.replicas.check(spec)
    with pytest.raises(BadInput, match=message.format(module)):
        while not asking.replicas.check(spec):
            asking.bell.clear()
            assert asking.bell.wait(PATIENCE)


@pytest.mark.parametrize(
    ("line", "limits", "message"),
    [
        ("os._exit(3)", LIMITS, "ended with exit code 3"),
        ("time.sleep(1)", replace(SHORT, start_seconds=60.0), "has no 'X'"),
        ("time.sleep(1000)", SHORT, "did not answer within 4 s"),
    ],
)
def test_one_that_misbehaves_at_its_import_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asking: Asking, line: str, limits: Limits, message: str
) -> None:
    (tmp_path / "never_imported.py").write_text(f"import os, time\n{line}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    asking.replicas = ReplicaProcesses(asking.bell.set, limits)
    spec = spec_of("s", "never_imported:X")
    with pytest.raises(BadInput, match=message):
        while not asking.replicas.check(spec):
            asking.bell.clear()
            assert asking.bell.wait(PATIENCE)


def test_one_that_hangs_at_its_import_fails_however_large_its_study_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asking: Asking
) -> None:
    (tmp_path / "never_imported.py").write_text("import time\ntime.sleep(1000)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    asking.replicas = ReplicaProcesses(asking.bell.set, SHORT)
    asking.open(spec_of("s", "never_imported:X"))
    large = copy_of(1)._replace(user_attrs={"note": "x" * 5_000_000})
    asking.replicas.ask("s", [Question("trial", 0, Horizon(0, 1))], lambda: large)
    ((_, why),) = asking.hear()
    assert "did not answer within 4 s" in str(why)
