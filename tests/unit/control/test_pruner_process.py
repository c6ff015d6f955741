"""A pruner class of the user's own hangs, dies, eats memory or cannot be had, at the cost of its own study alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState, create_trial
from replica_asking import REFUSED

from orchestrator.common.errors import BadInput
from orchestrator.control.replica_processes import ReplicaProcesses
from orchestrator.control.watched_process import Limits, ProcessFailed
from orchestrator.model.changeset import Changes
from orchestrator.sampling.questions import RULE, Answer, Horizon, OpenTrial, Question
from orchestrator.sampling.study_copy import StudyCopy
from orchestrator.spec import Spec
from orchestrator.spec.model import validate

PATIENCE = 60.0
LIMITS = Limits(answer_seconds=1.0, memory=200 << 20)

MODULE = """
import os, sys, threading, time
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

class Grows(optuna.pruners.BasePruner):
    kept = []
    def prune(self, study, trial):
        self.kept.append(bytearray(os.urandom(1) * (40 << 20)))
        return False

class Exits(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        os._exit(3)

class Raises(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        raise ValueError("two\\nlines")

class Leaves(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        threading.Thread(target=time.sleep, args=(1000,)).start()
        sys.exit(4)

class Interrupts(optuna.pruners.BasePruner):
    def prune(self, study, trial):
        raise KeyboardInterrupt

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
    """The processes, and the bell that they ring."""

    def __init__(self) -> None:
        self.bell = threading.Event()
        self.processes = ReplicaProcesses(self.bell.set, pruner_limits=LIMITS, most=1)
        self.reports: dict[str, int] = {}

    def open(self, spec: Spec) -> None:
        self.processes.open(spec, 7)
        self.reports[spec.name] = 0

    def report(self, study: str = "s") -> Question:
        """Asks about the next report of the study's only trial."""
        step = self.reports[study]
        self.reports[study] += 1
        changes = Changes()
        changes.add_value(0, step, 0.5)
        self.processes.feed(study, changes)
        question = Question(
            "report", 0, Horizon(step, 1, (OpenTrial(0, step + 1),)), step=step, value=0.5, rules=(RULE,)
        )
        self.processes.ask(study, [question], lambda: copy_of(step + 1))
        return question

    def hear(self, count: int = 1) -> dict[str, Answer | Exception]:
        said: dict[str, Answer | Exception] = {}
        while len(said) < count:
            self.bell.clear()
            if results := self.processes.take():
                said |= dict(results)
            else:
                assert self.bell.wait(PATIENCE)
        return said

    def answer(self) -> Answer | Exception:
        return self.hear()["s"]

    def until_checked(self, spec: Spec) -> None:
        while not self.processes.check(spec):
            self.bell.clear()
            assert self.bell.wait(PATIENCE)


def copy_of(reports: int) -> StudyCopy:
    trial = create_trial(state=TrialState.RUNNING, intermediate_values=dict.fromkeys(range(reports), 0.5))
    trial.number = trial._trial_id = 0
    return StudyCopy([trial], {}, {}, {})


@pytest.fixture
def asking() -> Iterator[Asking]:
    before = set(threading.enumerate())
    it = Asking()
    yield it
    it.processes.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "replicas" and thread not in before]


def search(name: str, study: str = "s", **arguments: int) -> Spec:
    table = {"name": study, "objective": "a:b", "trials": 5, "pruner": {"name": name} | arguments}
    return validate(table, "test")


def test_it_answers_question_after_question(module: str, asking: Asking) -> None:
    asking.open(search(f"{module}:Third"))
    for expected in (False, False, True):
        asking.report()
        result = asking.answer()
        assert isinstance(result, Answer)
        assert result.decisions[RULE].prune is expected


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Hangs", "did not answer within 1 s"),
        ("Eats", "took more memory than it may"),
        ("Exits", "ended with exit code 3"),
        ("Leaves", "SystemExit: 4"),
        ("Interrupts", "KeyboardInterrupt"),
        ("Raises", "ValueError: two lines"),
        ("Writes", "cannot be stored"),
    ],
)
def test_one_that_misbehaves_costs_its_study_alone(module: str, asking: Asking, name: str, message: str) -> None:
    asking.open(search(f"{module}:{name}"))
    asking.open(search(f"{module}:Third", "good"))
    asking.report("s")
    asking.report("good")
    said = asking.hear(2)
    assert isinstance(said["good"], Answer)
    assert isinstance(said["s"], ProcessFailed)
    assert f"{module}:{name}" in str(said["s"])
    assert message in str(said["s"])
    assert "\n" not in str(said["s"])


@pytest.mark.parametrize(("name", "message"), REFUSED)
def test_one_that_cannot_be_had_is_refused_without_waiting(
    module: str, asking: Asking, name: str, message: str
) -> None:
    spec = search(name.format(module))
    assert not asking.processes.check(spec)
    with pytest.raises(BadInput, match=message.format(module)):
        asking.until_checked(spec)


def test_one_that_grows_from_answer_to_answer_is_ended(module: str, asking: Asking) -> None:
    asking.open(search(f"{module}:Grows"))
    answers = []
    while not answers or isinstance(answers[-1], Answer):
        assert len(answers) < 10
        asking.report()
        answers.append(asking.answer())
    assert len(answers) > 2
    assert "took more memory than it may" in str(answers[-1])


def test_what_was_checked_is_used_and_a_study_that_is_read_again_has_a_new_one(module: str, asking: Asking) -> None:
    spec = search(f"{module}:Tells")
    asking.until_checked(spec)
    (checked,) = own_processes(asking)
    assert asking.processes.take() == []
    pids = []
    for _ in range(2):
        asking.open(spec)
        asking.report()
        pids.append(written(asking.answer())["pid"])
    assert pids[0] == checked
    assert pids[1] != checked


def test_it_is_not_told_where_the_servers_are(module: str, asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", "postgresql://user:password@host/optuna")
    asking.open(search(f"{module}:Tells"))
    asking.report()
    assert written(asking.answer())["names"] == []


def test_it_ends_with_its_study(module: str, asking: Asking) -> None:
    asking.open(search(f"{module}:Tells"))
    asking.report()
    pid = written(asking.answer())["pid"]
    asking.processes.close("s")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_search_without_one_starts_nothing(asking: Asking) -> None:
    spec = validate({"name": "s", "objective": "a:b", "trials": 5, "pruner": {"name": "median"}}, "test")
    assert asking.processes.check(spec)
    asking.open(spec)
    assert own_processes(asking) == []


def own_processes(asking: Asking) -> list[int]:
    return [held.process.pid for held in asking.processes._studies.values() if held.process is not None]


def written(result: Answer | Exception) -> dict[str, Any]:
    assert isinstance(result, Answer)
    return result.study_user_attrs
