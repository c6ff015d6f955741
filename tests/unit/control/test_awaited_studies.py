"""A control plane that takes over many studies decides on the first ones before it has read the last."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from orchestrator.control import recovery
from orchestrator.control.controller import MOST_PUT_OFF
from orchestrator.control.ports import Phase
from orchestrator.spec.model import validate
from tests.simulated.course import Course, Talk
from tests.simulated.ledger import Ledger
from tests.simulated.memory_books import MemoryBooks
from tests.simulated.simulation import Simulation

SEARCH: dict[str, Any] = {
    "name": "study-0",
    "objective": "somewhere:objective",
    "trials": 5,
    "max_steps": 4,
    "seed": 3,
    "sampler": {"name": "random"},
    "pruner": {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 1},
    "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
}
NAMES = [f"study-{number}" for number in range(4)]
RING = {b"ring": b"orchestrator:doorbell"}


@pytest.fixture(autouse=True)
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read before the loop begins."""
    monkeypatch.setattr(recovery, "TAKE_UP_SECONDS", -1.0)


def objective(course: Course) -> Talk:
    x = yield from course.float("x")
    for step in range(course.load() + 1, 5):
        yield from course.report(step, x + 1 / step)
        yield from course.save(step)
    return x


def search() -> Simulation:
    world = Simulation(validate(SEARCH, "test"), objective, 8)
    for name in NAMES[1:]:
        MemoryBooks(world.database).create(validate(SEARCH | {"name": name}, "test"), world.now)
    return world


def run_to_end(world: Simulation) -> Simulation:
    world.run_to_end()
    assert {ledger.state for ledger in world.database.ledgers.values()} == {"finished"}
    return world


def results(ledger: Ledger) -> list[tuple[Any, ...]]:
    """The trials' parameters; how far each came depends on which study had which slot when."""
    return [(each.number, each.params) for each in ledger.trials.values()]


def at_hand(world: Simulation) -> set[str]:
    assert world.controller is not None
    return {engine.name for engine in world.controller.studies}


def test_the_study_of_which_workers_speak_is_read_first_and_the_others_after_it() -> None:
    world = search()
    for _ in range(20):
        for slot in world.slots:
            if slot.run is None:
                world.turn(slot)
        world.round()
    world.controller = None
    slot = next(slot for slot in world.slots if slot.run is not None and slot.run.job.study == "study-2")
    world.turn(slot)

    world.start()

    assert at_hand(world) == set()
    assert world.controller is not None
    assert not world.controller.idle
    seen = []
    for _ in NAMES:
        world.round()
        seen.append(at_hand(world))
    assert seen[0] == {"study-2"}
    assert list(map(len, seen)) == [1, 2, 3, 4]
    assert slot.run is not None
    assert world.unconfirmed(slot.run) == []
    run_to_end(world)


def test_what_a_study_at_hand_has_to_do_does_not_wait_for_the_others_to_be_read() -> None:
    world = search()
    world.start()
    assert world.controller is not None
    while not at_hand(world):
        world.round()
    (first,) = at_hand(world)
    while not world.turn(world.slots[0]):
        world.controller.studies.take_answers()
        world.controller.rounds.finish()
    world.round()
    for put_off in range(1, MOST_PUT_OFF):
        assert world.turn(world.slots[0]), put_off
        world.round()
        assert at_hand(world) == {first}
        assert world.slots[0].run is not None
        assert world.unconfirmed(world.slots[0].run) == [], "it was decided on in that round"
    assert world.turn(world.slots[0])
    world.round()
    assert len(at_hand(world)) == 2, "it does not wait for ever"
    run_to_end(world)


def test_a_command_is_applied_as_soon_as_its_study_is_read() -> None:
    world = search()
    world.database.issue("key", "pause", "study-3", {})
    world.redis.add(RING)
    world.start()
    for _ in range(3):
        world.round()
    assert world.database.ledgers["study-3"].state == "paused"
    assert world.redis.answers["key"] == ['{"study": "study-3", "state": "paused"}']


@pytest.mark.parametrize("step", list(Phase))
def test_dying_at_a_step_while_studies_are_read_loses_and_doubles_nothing(step: Phase) -> None:
    undisturbed = run_to_end(search())
    disturbed = search()
    disturbed.kill_when(lambda passing: passing == step and disturbed.passed.count(step) % 7 == 3)
    run_to_end(disturbed)
    assert disturbed.deaths or step is Phase.ANSWERED or step is Phase.REPLIED
    for name in NAMES:
        ledger, expected = (world.database.ledgers[name] for world in (disturbed, undisturbed))
        assert results(ledger) == results(expected)
        started = Counter(run.job.trial for run in disturbed.runs if run.job.study == name)
        assert sorted(started) == list(range(5))
