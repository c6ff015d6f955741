"""Whatever goes wrong in one study suspends that one: the study beside it ends as it does alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from orchestrator.control import rounds
from orchestrator.control.ports import NullNotifier
from orchestrator.engine.inputs import (
    AttemptLost,
    EventReceived,
    Input,
    SlotsCounted,
    StudyPaused,
    TaskMissing,
    TimePassed,
    TrialEnqueued,
)
from orchestrator.engine.study import StudyEngine
from orchestrator.model.progress_events import Progress, decode
from orchestrator.spec.model import validate
from tests.simulated.course import Course, Talk
from tests.simulated.ledger import Ledger
from tests.simulated.memory import MemoryBroker, MemoryStream
from tests.simulated.memory_books import MemoryBooks
from tests.simulated.memory_files import MemoryFiles
from tests.simulated.simulation import LEASE, Simulation

pytestmark = pytest.mark.usefixtures("shell")

SEARCH: dict[str, Any] = {
    "name": "good",
    "objective": "somewhere:objective",
    "trials": 3,
    "max_steps": 4,
    "seed": 3,
    "sampler": {"name": "random"},
    "pruner": {"name": "asha", "min_resource": 1, "reduction_factor": 2, "mode": "promotion"},
}
BAD = SEARCH | {"name": "bad", "timeout": 1.0, "notify": {"command": ["true"]}}
RING = {b"ring": b"orchestrator:doorbell"}


def objective(course: Course) -> Talk:
    x = yield from course.float("x")
    for step in range(course.load() + 1, 5):
        yield from course.report(step, x + step)
        yield from course.save(step)
    return x


def results(ledger: Ledger) -> list[tuple[Any, ...]]:
    """What a study has come to, without who did it and when."""
    return [(each.number, each.state, each.values, each.params, each.steps) for each in ledger.trials.values()]


def alone() -> list[tuple[Any, ...]]:
    return results(Simulation(validate(SEARCH, "test"), objective, 2).run_to_end().ledger)


def both(**changes: Any) -> Simulation:
    world = Simulation(validate(SEARCH, "test"), objective, 2)
    MemoryBooks(world.database).create(validate(BAD | changes, "test"), world.now)
    return world


def go_on(world: Simulation, until: Callable[[], bool], rounds: int = 400) -> None:
    for _ in range(rounds):
        for slot in list(world.slots):
            world.turn(slot)
        world.round(wait=True)
        if until():
            return
    raise AssertionError(f"it does not come to that: {world.database.suspended}, {world.ledger.rows()}")


def command(world: Simulation, operation: str, **payload: Any) -> Callable[[], Any]:
    """Issues a command for the bad study; returns what gives its answer."""
    key = f"key-{len(world.database.commands)}"
    world.database.issue(key, operation, "bad", payload)
    world.redis.add(RING)

    def answer() -> Any:
        texts = world.redis.answers[key]
        return json.loads(texts[0]) if texts else None

    return answer


def has_ended(world: Simulation, name: str) -> Callable[[], bool]:
    return lambda: world.database.ledgers[name].state == "finished"


@dataclass
class Fault:
    """Raises in a method, for the bad study alone, while it is ``armed``."""

    owner: Any
    method: str
    is_bad: Callable[..., bool]
    provoke: Callable[[Simulation], object] = field(default=lambda _: None)
    error: Exception = field(default_factory=lambda: RuntimeError("staged \ud800\n\x1b[31m"))
    changes: dict[str, Any] = field(default_factory=dict)
    armed: bool = True
    raised: int = 0

    def install(self, patch: pytest.MonkeyPatch) -> None:
        original = getattr(self.owner, self.method)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            if self.armed and self.is_bad(*args):
                self.raised += 1
                raise self.error
            return original(*args, **kwargs)

        patch.setattr(self.owner, self.method, wrapped)


def of_engine(engine: StudyEngine, *_: Any) -> bool:
    return engine.name == "bad"


def given(*kinds: type[Input]) -> Callable[..., bool]:
    """Whether the bad study is given an input of one of these kinds."""
    return lambda engine, input, *_: engine.name == "bad" and isinstance(input, kinds)


def kill_a_keeper(world: Simulation) -> None:
    go_on(world, lambda: any(slot.run and slot.run.job.study == "bad" for slot in world.slots))
    world.kill_keeper(next(slot.run for slot in world.slots if slot.run and slot.run.job.study == "bad"))


def let_time_pass(world: Simulation) -> None:
    """Nothing is heard of the bad study until its time is over."""
    kill_a_keeper(world)
    for slot in world.slots:
        if slot.run and slot.run.job.study == "bad":
            world.kill_keeper(slot.run)
    world.redis.queues["trials"] = [job for job in world.redis.queues["trials"] if job.study != "bad"]
    world.pass_time(2.0)


def lose_tasks(world: Simulation) -> None:
    def waiting() -> list[Any]:
        return [job for job in world.redis.queues["trials"] if job.study == "bad"]

    go_on(world, lambda: bool(waiting()))
    for job in waiting():
        world.redis.queues["trials"].remove(job)


CAUSES: dict[str, Callable[[], Fault]] = {
    "load": lambda: Fault(MemoryBooks, "load", lambda _, name: name == "bad"),
    "open": lambda: Fault(StudyEngine, "__init__", lambda _, snapshot, __: snapshot.spec.name == "bad"),
    "fold": lambda: Fault(StudyEngine, "apply", given(EventReceived), error=RecursionError("too deep")),
    "lose": lambda: Fault(StudyEngine, "apply", given(AttemptLost), kill_a_keeper, KeyError("token")),
    "resend": lambda: Fault(StudyEngine, "apply", given(TaskMissing), lose_tasks, changes={"timeout": 1000.0}),
    "count slots": lambda: Fault(
        StudyEngine, "apply", given(SlotsCounted), error=ConnectionError("of the user's code")
    ),
    "timeout": lambda: Fault(StudyEngine, "apply", given(TimePassed), let_time_pass),
    "take": lambda: Fault(StudyEngine, "take", of_engine, error=StopIteration()),
    "commit": lambda: Fault(
        MemoryBooks,
        "commit",
        lambda _, batches, *__: bool(batches.get("bad")),
        error=OverflowError("Python int too large to convert to SQLite INTEGER"),
    ),
    "confirm": lambda: Fault(
        MemoryStream,
        "confirm",
        lambda _, all: any(each.runner in BAD_RUNNERS for each in all.values()),
        # Its trials wait for nothing, as nothing can be said to them.
        changes={"space": {"x": {"type": "float", "low": 0.0, "high": 1.0}}},
    ),
    "reply": lambda: Fault(
        MemoryStream,
        "reply",
        lambda _, replies: any(each.runner in BAD_RUNNERS for each in list(replies)),
        error=UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    ),
    "send": lambda: Fault(MemoryBroker, "send", lambda _, job, __: job.study == "bad", error=MemoryError()),
    "progress": lambda: Fault(StudyEngine, "progress", of_engine),
    "log": lambda: Fault(rounds, "log_batch", lambda name, _: name == "bad"),
    "notify": lambda: Fault(NullNotifier, "owe", lambda _, owed: any(each.study == "bad" for each in list(owed))),
    "pause": lambda: Fault(StudyEngine, "apply", given(StudyPaused), lambda world: command(world, "pause")),
    "enqueue": lambda: Fault(
        StudyEngine, "apply", given(TrialEnqueued), lambda world: command(world, "enqueue", params={"x": 0.5})
    ),
    "sweep": lambda: Fault(MemoryFiles, "delete_folder", lambda _, uid: uid == "uid-of-bad"),
}
BAD_RUNNERS: set[str] = set()


@pytest.fixture(autouse=True)
def runners(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Notes which runners are of the bad study."""
    original = Simulation.start_run

    def start_run(world: Simulation, slot: Any, job: Any) -> Any:
        event = original(world, slot, job)
        if job.study == "bad":
            BAD_RUNNERS.add(event.runner)
        return event

    monkeypatch.setattr(Simulation, "start_run", start_run)
    yield
    BAD_RUNNERS.clear()


@pytest.mark.parametrize("cause", CAUSES)
def test_a_fault_in_one_study_suspends_it_alone_and_a_person_takes_it_up_again(
    cause: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected = alone()
    fault = CAUSES[cause]()
    world = both(**fault.changes)
    fault.install(monkeypatch)
    world.start()
    fault.provoke(world)
    go_on(world, lambda: has_ended(world, "good")() and "bad" in world.database.suspended)
    assert world.controller is not None
    assert results(world.ledger) == expected
    suspension = world.database.suspended["bad"]
    assert suspension.cause.startswith(type(fault.error).__name__)
    assert suspension.cause.isprintable()
    (line,) = [each for each in caplog.records if getattr(each, "action", "") == "study_suspended"]
    assert "'orchestrator resume bad' takes it up again" in line.getMessage()

    # Resends are dropped: neither does the stream grow, nor is anything written, said or folded for it.
    raised, lines = fault.raised, len(caplog.records)
    before = world.database.ledgers["bad"].rows()
    for _ in range(20):
        world.round(wait=True)
        world.pass_time(LEASE)
    world.round()
    assert len(world.redis.entries) <= len(world.slots)
    assert (fault.raised, len(caplog.records), world.database.ledgers["bad"].rows()) == (raised, lines, before)

    # A restart does not loop.
    world.start()
    world.round()
    assert fault.raised <= raised + (cause == "notify"), "what people are to be told is tried anew"
    assert [each.action for each in caplog.records[lines:]] == ["study_still_suspended"]  # type: ignore[attr-defined]

    # The cause is still there; then it is not.
    answer = command(world, "resume")
    if cause in ("load", "open"):
        go_on(world, lambda: answer() is not None)
        assert "study 'bad': is suspended" in answer()["error"]
        assert "bad" in world.database.suspended
        answer = command(world, "resume")
    fault.armed = False
    go_on(world, has_ended(world, "bad"))
    assert answer()["study"] == "bad"
    assert world.database.suspended == {}
    assert sum(world.database.ledgers["bad"].counts().values()) >= 1


def suspended(monkeypatch: pytest.MonkeyPatch) -> tuple[Simulation, Fault]:
    world, fault = both(), CAUSES["fold"]()
    fault.install(monkeypatch)
    world.start()
    go_on(world, lambda: "bad" in world.database.suspended)
    return world, fault


@pytest.mark.parametrize(
    ("operation", "payload"), [("pause", {}), ("enqueue", {"params": {"x": 1}}), ("retry", {"trial": 0}), ("?", {})]
)
def test_what_a_suspended_study_cannot_take_is_answered(
    operation: str, payload: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, _ = suspended(monkeypatch)
    answer = command(world, operation, **payload)
    go_on(world, lambda: answer() is not None)
    assert answer()["error"] == (
        "study 'bad': is suspended: RecursionError: too deep; 'orchestrator resume bad' takes it up again"
    )


def test_a_suspended_study_is_stopped_where_it_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    world, fault = suspended(monkeypatch)
    fault.armed = False
    answer = command(world, "stop")
    go_on(world, lambda: answer() is not None)
    assert answer() == {"study": "bad", "state": "stopped"}
    assert world.database.suspended == {}


def test_watchers_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    world, _ = suspended(monkeypatch)
    last = decode(world.redis.notices["bad"][-1])
    assert isinstance(last, Progress)
    assert last.state == "suspended"
    assert last.reason == "RecursionError: too deep; 'orchestrator resume bad' takes it up again"


def test_a_cause_that_cannot_be_written_is_kept_in_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unwritable = Fault(MemoryBooks, "suspend", lambda *_: True)
    unwritable.install(monkeypatch)
    world, fault = both(), CAUSES["fold"]()
    fault.install(monkeypatch)
    world.start()
    go_on(world, lambda: has_ended(world, "good")() and bool(unwritable.raised))
    raised = fault.raised, unwritable.raised
    go_on(world, lambda: True)
    assert (fault.raised, unwritable.raised) == raised
    assert "why study bad is suspended cannot be written" in caplog.text


def test_no_runner_is_taken_for_dead_that_was_not_listened_to(monkeypatch: pytest.MonkeyPatch) -> None:
    world, fault = both(trials=1, timeout="1h", pruner={"name": "none"}), CAUSES["fold"]()
    fault.is_bad = lambda engine, event, _: engine.name == "bad" and event.seq == 3
    fault.install(monkeypatch)
    world.start()
    go_on(world, lambda: "bad" in world.database.suspended)
    for _ in range(10):
        world.round(wait=True)
    fault.armed = False
    answer = command(world, "resume")
    go_on(world, lambda: answer() is not None)
    go_on(world, has_ended(world, "bad"))
    assert {str(each.state) for each in world.database.ledgers["bad"].attempts.values()} == {"done"}
    assert world.database.ledgers["bad"].counts() == {"COMPLETE": 1}
