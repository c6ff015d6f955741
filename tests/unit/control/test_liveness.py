"""Late is not dead: however far behind the control plane is, and whatever its clock says; in the simulation."""

from __future__ import annotations

from typing import Any

import optuna
import pytest

from orchestrator.common.clock import Clock
from orchestrator.control import controller
from orchestrator.control.ports import Phase
from orchestrator.messaging.event_stream import BATCH
from orchestrator.spec.model import validate
from tests.simulated.course import Course, Talk
from tests.simulated.simulation import LEASE, Simulation

SLOTS = 12
HOUR = 3_600.0


def objective(course: Course) -> Talk:
    for step in range(1, 5):
        yield from course.report(step, 1.0 / step)
    return 0.0


def search(*, slots: int = SLOTS, slow_pruner: float = 0.0, **changes: Any) -> Simulation:
    table = {
        "name": "search",
        "objective": "somewhere:objective",
        "trials": 2 * SLOTS,
        "seed": 3,
        "sampler": {"name": "random"},
        "pruner": {"name": "none"},
    }
    return Simulation(validate(table | changes, "test"), objective, slots=slots, slow_pruner=slow_pruner)


def underway(simulation: Simulation) -> None:
    """Every slot trains."""
    for _ in range(100):
        for slot in simulation.slots:
            if slot.run is None:
                simulation.turn(slot)
        simulation.round()
        if all(slot.run for slot in simulation.slots):
            return
    raise AssertionError("not every slot has something to train")


def spend(simulation: Simulation, step: Phase, seconds: float) -> None:
    """From now on each such step takes so long."""

    def passing(passed: Phase) -> bool:
        if passed is step:
            simulation.pass_time(seconds)
        return False

    simulation.kill_when(passing)


def attempts(simulation: Simulation) -> int:
    return len(simulation.ledger.attempts)


def flood(simulation: Simulation, entries: int) -> None:
    """Fills the stream with what a runner has said before."""
    run = simulation.slots[0].run
    assert run is not None
    for _ in range(entries):
        simulation.redis.publish(run.said[0])


def test_an_ask_that_is_longer_than_the_lease_loses_no_runner() -> None:
    simulation = search()
    underway(simulation)
    spend(simulation, Phase.DECIDED, 4 * LEASE)
    for _ in range(20):
        for slot in simulation.slots:
            simulation.turn(slot)
        simulation.round()
    simulation.kill_when(lambda _: False)
    simulation.run_to_end()
    assert attempts(simulation) == 2 * SLOTS


def test_a_commit_that_is_longer_than_the_lease_loses_no_runner() -> None:
    simulation = search()
    underway(simulation)
    spend(simulation, Phase.COMMITTED, 4 * LEASE)
    for _ in range(20):
        for slot in simulation.slots:
            simulation.turn(slot)
        simulation.round()
    simulation.kill_when(lambda _: False)
    simulation.run_to_end()
    assert attempts(simulation) == 2 * SLOTS


def test_a_backlog_that_is_longer_than_the_lease_loses_no_runner() -> None:
    """Each batch takes a second to fold, and the heartbeats wait behind many of them."""
    simulation = search()
    underway(simulation)
    flood(simulation, 40 * BATCH)
    spend(simulation, Phase.DECIDED, 1.0)
    for _ in range(60):
        simulation.round()
    simulation.kill_when(lambda _: False)
    simulation.run_to_end()
    assert attempts(simulation) == 2 * SLOTS


def test_one_that_is_dead_is_found_although_the_stream_is_never_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controller, "MOST_EVENTS", BATCH)
    simulation = search()
    underway(simulation)
    run = simulation.slots[-1].run
    assert run is not None
    simulation.kill_keeper(run)
    spend(simulation, Phase.DECIDED, 1.0)
    for _ in range(40):
        flood(simulation, 2 * BATCH)
        simulation.round()
    assert len(simulation.redis.entries) > BATCH
    lost = [row.token for row in simulation.ledger.attempts.values() if row.state == "lost"]
    assert lost == [run.job.token]


def test_what_a_dead_runner_said_before_is_read_before_it_is_lost() -> None:
    """Its last word waits in a backlog that is longer than the lease."""
    simulation = search()
    underway(simulation)
    slot = simulation.slots[-1]
    run = slot.run
    assert run is not None
    flood(simulation, 30 * BATCH)
    while slot.run is run:
        simulation.turn(slot)
    simulation.dead.add(run.runner)
    spend(simulation, Phase.DECIDED, 1.0)
    for _ in range(60):
        simulation.round()
    row = simulation.ledger.attempts[run.job.token]
    assert (row.state, row.cause) == ("done", "finished")


class Wall:
    """The wall's clock of a simulation, which can be set."""

    def __init__(self, simulation: Simulation) -> None:
        self.shift = 0.0
        simulation.clock = Clock(lambda: simulation.now + self.shift, lambda: simulation.now, simulation.pass_time)


@pytest.mark.parametrize("shift", [-HOUR, HOUR])
def test_a_clock_that_is_set_during_a_search_delays_nothing(shift: float) -> None:
    simulation = search(timeout=2 * HOUR / 3)
    wall = Wall(simulation)
    underway(simulation)
    wall.shift = shift
    # What waits for a slot is lost by the broker.
    simulation.redis.queues.clear()
    begun = simulation.now
    simulation.run_to_end()
    assert simulation.now - begun < 10 * LEASE
    assert attempts(simulation) == 2 * SLOTS, "its timeout did not end it"


@pytest.mark.parametrize("shift", [-HOUR, HOUR])
def test_a_clock_that_is_set_between_two_control_planes_delays_nothing(shift: float) -> None:
    simulation = search()
    wall = Wall(simulation)
    underway(simulation)
    simulation.controller = None
    simulation.redis.queues.clear()
    wall.shift = shift
    simulation.start()
    simulation.round()
    begun = simulation.now
    assert simulation.redis.queues[simulation.spec.queue], "what was lost is sent at the start"
    simulation.redis.queues.clear()
    simulation.run_to_end()
    assert simulation.now - begun < 10 * LEASE
    assert attempts(simulation) == 2 * SLOTS


class Slow(optuna.pruners.BasePruner):
    """A pruner of the user's own, which the simulation makes slow."""

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        del study, trial
        return False


def test_a_pruner_that_is_slower_than_the_lease_loses_no_runner() -> None:
    """What begins while it thinks is bound only when it has answered; its heartbeats count meanwhile."""
    name = f"{__name__}:{Slow.__name__}"
    simulation = search(pruner={"name": name}, trials=2, slots=2, slow_pruner=2 * LEASE)
    for slot in simulation.slots:
        for _ in range(200):
            if slot.run is None or slot is simulation.slots[0]:
                simulation.turn(slot)
            simulation.pass_time(LEASE / 50)
            simulation.round()
            if slot is simulation.slots[0] and _asked(simulation):
                break
    simulation.run_to_end()
    assert attempts(simulation) == 2


def _asked(simulation: Simulation) -> bool:
    assert simulation.controller is not None
    return any(engine.trials.questions.awaits_kind("report") for engine in simulation.controller.studies)
