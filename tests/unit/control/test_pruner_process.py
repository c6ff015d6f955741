"""A pruner class of the user's own hangs, dies, eats memory or cannot be had in a process of its own."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.common.errors import BadInput
from orchestrator.control.pruner_process import PrunerProcesses
from orchestrator.control.watched_process import Limits, ProcessFailed
from orchestrator.sampling.remote_pruner import Answer, Operation, Question
from orchestrator.spec import Spec
from orchestrator.spec.model import validate

PATIENCE = 60.0
LIMITS = Limits(answer_seconds=1.0, memory=200 << 20)

MODULE = """
import os, sys, time
from pathlib import Path
import optuna

class Third(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        return trial.last_step >= 2

class Hangs(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        while True:
            pass

class Eats(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        kept = []
        while True:
            kept.append(bytearray(os.urandom(1) * (20 << 20)))
            time.sleep(0.02)

class Exits(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        os._exit(3)

class Raises(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        raise ValueError("two\\nlines")

class Leaves(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        sys.exit(4)

class Writes(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        study.set_user_attr("kept", lambda: None)

class Tells(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        names = sorted(name for name in os.environ if name.startswith("ORCHESTRATOR_"))
        study.set_user_attr("names", names)
        study.set_user_attr("pid", os.getpid())

class Needs(optuna.pruners.BasePruner):
    def __init__(self, n):
        raise RuntimeError("not with that")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "processed_pruners.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "processed_pruners"


class Asking:
    """The pruners, and the bell that they ring."""

    def __init__(self) -> None:
        self.bell = threading.Event()
        self.pruners = PrunerProcesses(self.bell.set, LIMITS)

    def result(self) -> Answer | Exception:
        while not (results := self.pruners.take()):
            assert self.bell.wait(PATIENCE)
            self.bell.clear()
        ((study, result),) = results
        assert study == "s"
        return result


@pytest.fixture
def asking() -> Iterator[Asking]:
    it = Asking()
    yield it
    it.pruners.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pruner-")]


def search(name: str, **arguments: int) -> Spec:
    return validate({"name": "s", "objective": "a:b", "trials": 5, "pruner": {"name": name} | arguments}, "test")


def report(trial: int, step: int, *, new: bool = False) -> Question:
    made = [Operation("storage", "create_new_trial", (0, None), 1.0)] if new else []
    value = Operation("storage", "set_trial_intermediate_value", (trial, step, 0.5), 1.0)
    return Question(trial, (*made, value, Operation("rule", "observe", (trial, step, 0.5))))


def test_it_answers_question_after_question(module: str, asking: Asking) -> None:
    asking.pruners.open(search(f"{module}:Third"))
    for step, expected in enumerate([False, False, True]):
        asking.pruners.ask("s", report(0, step, new=step == 0))
        result = asking.result()
        assert isinstance(result, Answer)
        assert result.decisions["rule"].prune is expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Hangs", "did not answer within 1 s"),
        ("Eats", "took more memory than it may for one answer"),
        ("Exits", "ended with exit code 3"),
        ("Leaves", "ended with exit code 4"),
        ("Raises", "ValueError: two lines"),
        ("Writes", "cannot be stored"),
    ],
)
def test_one_that_misbehaves_is_ended_and_named(module: str, asking: Asking, name: str, message: str) -> None:
    asking.pruners.open(search(f"{module}:{name}"))
    asking.pruners.ask("s", report(0, 0, new=True))
    result = asking.result()
    assert isinstance(result, ProcessFailed)
    assert f"{module}:{name}" in str(result)
    assert message in str(result)
    assert "\n" not in str(result)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{}:Absent", "'{}' has no 'Absent'"),
        ("no_such_module:X", "there is no module 'no_such_module'"),
        ("{}:Needs", "required key missing"),
    ],
)
def test_one_that_cannot_be_had_is_refused_without_waiting(
    module: str, asking: Asking, name: str, message: str
) -> None:
    spec = search(name.format(module))
    assert not asking.pruners.check(spec)
    with pytest.raises(BadInput, match=message.format(module)):
        while not asking.pruners.check(spec):
            assert asking.bell.wait(PATIENCE)
            asking.bell.clear()


def test_what_was_checked_is_used(module: str, asking: Asking) -> None:
    spec = search(f"{module}:Tells")
    while not asking.pruners.check(spec):
        assert asking.bell.wait(PATIENCE)
        asking.bell.clear()
    assert asking.pruners.take() == []
    asking.pruners.open(spec)
    asking.pruners.ask("s", report(0, 0, new=True))
    first = asking.result()
    asking.pruners.open(spec)
    asking.pruners.ask("s", report(0, 0, new=True))
    second = asking.result()
    assert pid_of(first) != pid_of(second)


def test_it_is_not_told_where_the_servers_are(module: str, asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", "postgresql://user:password@host/optuna")
    asking.pruners.open(search(f"{module}:Tells"))
    asking.pruners.ask("s", report(0, 0, new=True))
    result = asking.result()
    assert isinstance(result, Answer)
    assert ("set_study_user_attr", [0, "names", []]) in result.writes


def test_it_ends_with_its_study(module: str, asking: Asking) -> None:
    asking.pruners.open(search(f"{module}:Tells"))
    asking.pruners.ask("s", report(0, 0, new=True))
    pid = pid_of(asking.result())
    asking.pruners.close("s")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_search_without_one_starts_nothing(asking: Asking) -> None:
    spec = validate({"name": "s", "objective": "a:b", "trials": 5, "pruner": {"name": "median"}}, "test")
    assert asking.pruners.check(spec)
    asking.pruners.open(spec)
    asking.pruners.close("s")


def pid_of(result: Answer | Exception) -> int:
    assert isinstance(result, Answer)
    return next(int(arguments[2]) for method, arguments in result.writes if arguments[1] == "pid")
