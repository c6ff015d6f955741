"""Samplers in processes as tests ask them: studies of one space, classes that misbehave, answers that are expected."""

from __future__ import annotations

import fcntl
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.control.replica_processes import ReplicaProcesses
from orchestrator.control.watched_process import Limits
from orchestrator.model.changeset import Changes
from orchestrator.sampling.questions import Answer, Horizon, Question
from orchestrator.sampling.sampler_replica import Replica
from orchestrator.sampling.study_copy import StudyCopy
from orchestrator.spec import Spec
from orchestrator.spec.model import validate

PATIENCE = 60.0
LIMITS = Limits(answer_seconds=3.0, memory=300 << 20)

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

class Interrupts(Base):
    def act(self):
        raise KeyboardInterrupt

class Leaves(Base):
    def act(self):
        sys.exit(4)

class Groups(Base):
    def act(self):
        raise BaseExceptionGroup("several", [KeyboardInterrupt()])

class Mute(Base):
    def act(self):
        class Silent(Exception):
            def __str__(self):
                raise TypeError("no words")
        raise Silent

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


REFUSED = [
    ("{}:Absent", "'{}' has no 'Absent'"),
    ("no_such_module:X", "there is no module 'no_such_module'"),
    ("{}:Needs", "required key missing"),
]
"""Names of classes that cannot be had, with the module of the test in their place, and why."""


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


def copy_of(trials: int) -> StudyCopy:
    replica = Replica(spec_of("s"), 7)
    for made in range(trials):
        changes = Changes()
        changes.add_trial(made, 1.0, waits=False)
        replica.apply(feed(changes))
    return StudyCopy(replica._storage.stored_trials(), {}, {}, {})
