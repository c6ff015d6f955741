"""Samplers in processes answer as in this one; one that dies, hangs, grows or raises costs its own study alone."""

from __future__ import annotations

import fcntl
import os
import signal
import termios
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FrozenTrial

from orchestrator.common.errors import BadInput
from orchestrator.control.replica_processes import NotAnswered, ReplicaProcesses
from orchestrator.control.watched_process import Limits, ProcessFailed, explained
from orchestrator.model.changeset import Changes
from orchestrator.sampling.questions import Answer, Horizon, Question
from orchestrator.sampling.sampler_replica import Replica
from orchestrator.sampling.study_copy import StudyCopy
from orchestrator.spec import Spec
from orchestrator.spec.model import validate

PATIENCE = 60.0
LIMITS = Limits(answer_seconds=3.0, memory=300 << 20)
SHORT = Limits(start_seconds=4.0, answer_seconds=0.1)
EMPTY = StudyCopy((), {}, {}, {})

MODULE = """
import os, sys, time
import optuna

class Base(optuna.samplers.RandomSampler):
    def sample_independent(self, study, trial, name, distribution):
        self.act()
        return super().sample_independent(study, trial, name, distribution)

class Hangs(Base):
    def act(self):
        while True:
            pass

class Eats(Base):
    def act(self):
        kept = []
        while True:
            kept.append(bytearray(os.urandom(1) * (20 << 20)))
            time.sleep(0.02)

class Exits(Base):
    def act(self):
        os._exit(3)

class Raises(Base):
    def act(self):
        raise ValueError("two\\nlines")

class Pauses(optuna.samplers.RandomSampler):
    def sample_independent(self, study, trial, name, distribution):
        while trial.number == 1 and not os.path.exists(os.environ["UNTIL"]):
            time.sleep(0.01)
        time.sleep(0.002)
        return super().sample_independent(study, trial, name, distribution)

class Tells(Base):
    def act(self):
        pass
    def before_trial(self, study, trial):
        names = sorted(name for name in os.environ if name.startswith("ORCHESTRATOR_"))
        trial_id = trial._trial_id
        study._storage.set_trial_user_attr(trial_id, "names", names)

class Needs(Base):
    def __init__(self, n):
        raise RuntimeError("not with that")
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "processed_samplers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "processed_samplers"


class Asking:
    """The processes, the bell that they ring, and what they have said."""

    def __init__(self) -> None:
        self.bell = threading.Event()
        self.replicas = ReplicaProcesses(self.bell.set, LIMITS, most=1)
        self.said: list[tuple[str, Answer | Exception]] = []
        self.counts: dict[str, int] = {}

    def open(self, spec: Spec) -> None:
        self.replicas.open(spec, 7)
        self.counts[spec.name] = 0

    def ask(self, study: str) -> Question:
        """Creates the next trial, and asks for its parameters."""
        number = self.counts[study]
        self.counts[study] += 1
        changes = Changes()
        changes.add_trial(number, 1.0, waits=False)
        question = Question("trial", number, Horizon(number, number + 1))
        trials = Replica(spec_of(study), 7)
        for made in range(number + 1):
            fed = Changes()
            fed.add_trial(made, 1.0, waits=False)
            trials.apply(feed(fed))
        self.replicas.feed(study, changes)
        self.replicas.ask(study, [question], lambda: StudyCopy(trials._storage.stored_trials(), {}, {}, {}))
        return question

    def hear(self, count: int = 1) -> list[tuple[str, Answer | Exception]]:
        while len(self.said) < count:
            self.bell.clear()
            self.said += self.replicas.take()
            if len(self.said) < count:
                assert self.bell.wait(PATIENCE)
        said, self.said = self.said[:count], self.said[count:]
        return said

    def pids(self) -> list[int]:
        return [process.pid for process in self.replicas._shared]


def wait_until_sent(asking: Asking) -> None:
    """Returns when a question lies in the pipe of the process, which is stopped; from then on its study is at work."""
    (process,) = asking.replicas._shared
    held = bytes(4)
    until = time.monotonic() + PATIENCE
    while not any(held):
        assert time.monotonic() < until
        held = fcntl.ioctl(process._process.pipe.fileno(), termios.TIOCOUTQ, bytes(4))


def feed(changes: Changes) -> Any:
    from orchestrator.sampling.questions import feed_of

    found = feed_of(changes)
    assert found is not None
    return found


@pytest.fixture
def asking() -> Iterator[Asking]:
    before = set(threading.enumerate())
    it = Asking()
    yield it
    it.replicas.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "replicas" and thread not in before]


def spec_of(name: str, sampler: str = "random") -> Spec:
    space = {"x": {"type": "float", "low": 0.0, "high": 1.0}}
    table = {"name": name, "objective": "a:b", "trials": 5, "sampler": {"name": sampler}, "space": space}
    return validate(table, "test")


def expected(number: int, sampler: str = "random") -> float:
    replica = Replica(spec_of("s", sampler), 7)
    for made in range(number + 1):
        changes = Changes()
        changes.add_trial(made, 1.0, waits=False)
        replica.apply(feed(changes))
    return replica.answer(Question("trial", number, Horizon(number, number + 1))).params[0].value


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


def test_one_that_raises_says_so_in_its_answer(module: str, asking: Asking) -> None:
    asking.open(spec_of("s", f"{module}:Raises"))
    asking.ask("s")
    ((_, answer),) = asking.hear()
    assert isinstance(answer, Answer)
    assert answer.error == "ValueError: two lines"


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


def copy_of(trials: int) -> StudyCopy:
    replica = Replica(spec_of("s"), 7)
    for made in range(trials):
        changes = Changes()
        changes.add_trial(made, 1.0, waits=False)
        replica.apply(feed(changes))
    return StudyCopy(replica._storage.stored_trials(), {}, {}, {})


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


def test_what_has_come_is_told_once_however_many_classes_are_checked_meanwhile(module: str, asking: Asking) -> None:
    asking.open(spec_of("a"))
    asking.ask("a")
    while not asking.replicas.has_news:
        assert asking.bell.wait(PATIENCE)
        asking.bell.clear()
    for name in ("b", "c", "d"):
        asking.replicas.check(spec_of(name, f"{module}:Raises"))
    said = asking.replicas.take()
    while not said:
        said = asking.hear()
    assert [study for study, _ in said] == ["a"]


def test_it_is_not_told_where_the_servers_are(module: str, asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", "postgresql://user:password@host/optuna")
    asking.open(spec_of("s", f"{module}:Tells"))
    asking.ask("s")
    ((_, answer),) = asking.hear()
    assert isinstance(answer, Answer)
    assert answer.user_attrs == [(0, "names", [])]


def test_what_a_closed_study_is_told_late_is_dropped(asking: Asking) -> None:
    asking.open(spec_of("a"))
    asking.ask("a")
    asking.open(spec_of("a"))
    asking.ask("a")
    ((study, answer),) = asking.hear()
    assert study == "a"
    assert isinstance(answer, Answer)
    assert answer.trial == 0
    assert asking.replicas.take() == []


def test_the_least_recently_used_replica_is_given_up_and_made_again(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestrator.control.replica_process.MOST_REPLICAS", 2)
    for name in ("a", "b", "c"):
        asking.open(spec_of(name))
        asking.ask(name)
        asking.hear()
    (process,) = asking.replicas._shared
    assert len(process.replicas) == 2
    asking.ask("a")
    ((study, answer),) = asking.hear()
    assert study == "a"
    assert isinstance(answer, Answer)
    assert answer.params[0].value == expected(1)


class Watched(list[FrozenTrial]):
    """Trials that note which threads go through them."""

    def __init__(self, trials: Iterable[FrozenTrial]) -> None:
        super().__init__(trials)
        self.threads: set[str] = set()

    def __iter__(self) -> Iterator[FrozenTrial]:
        self.threads.add(threading.current_thread().name)
        return super().__iter__()


def test_a_whole_study_is_handed_over_by_the_thread_and_not_by_the_loop(asking: Asking) -> None:
    asking.open(spec_of("s"))
    copy = copy_of(200)
    trials = Watched(copy.trials)
    question = Question("trial", 199, Horizon(199, 200))
    asking.replicas.ask("s", [question], lambda: copy._replace(trials=trials))
    ((_, answer),) = asking.hear()
    assert isinstance(answer, Answer)
    assert answer.params[0].value == expected(199)
    assert trials.threads == {"replicas"}


def test_questions_that_go_together_are_answered_in_order_each_when_it_is_there(
    module: str, asking: Asking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UNTIL", str(tmp_path / "go-on"))
    asking.open(spec_of("s", f"{module}:Pauses"))
    questions = [Question("trial", number, Horizon(number, 3)) for number in range(3)]
    asking.replicas.ask("s", questions, lambda: copy_of(3))
    first = asking.hear()
    assert not asking.replicas.has_news
    (tmp_path / "go-on").touch()
    said = [answer for _, answer in first + asking.hear(2) if isinstance(answer, Answer)]
    assert [answer.trial for answer in said] == [0, 1, 2]
