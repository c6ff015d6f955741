"""While a pruner class of the user's own thinks, the events of its study wait, and the rows are the same."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.control.ports import Phase
from orchestrator.control.watched_process import ProcessFailed
from orchestrator.model.attribute_keys import JUDGED
from orchestrator.spec import Spec
from orchestrator.spec.model import validate
from tests.simulated.course import Course, Talk
from tests.simulated.simulation import HEARTBEAT, Simulation

WATCHING = {"name": "tests.simulated.own_pruners:Watching"}
SEARCH: dict[str, Any] = {
    "name": "search",
    "objective": "somewhere:objective",
    "trials": 8,
    "max_steps": 4,
    "seed": 3,
    "sampler": {"name": "random"},
    "pruner": WATCHING,
    "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
}
SLOW = 5 * HEARTBEAT
SHADOWED = {
    "pruner": {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 1},
    "shadow": {"name": "tests.simulated.own_pruners:Median", "n_startup_trials": 1, "n_warmup_steps": 1},
}
KINDS: list[dict[str, Any]] = [{}, {"audit": 0.5}, {"pruner": {"name": "patient", "patience": 0, "wrapped": WATCHING}}]


def spec(**changes: Any) -> Spec:
    return validate(SEARCH | changes, "test")


def objective(course: Course) -> Talk:
    x = yield from course.float("x")
    for step in range(1, 5):
        yield from course.report(step, x + (step % 2))
    return x


def rows(simulation: Simulation) -> list[Any]:
    return [
        (row.state, row.params, row.steps, row.values, row.user_attrs, row.system_attrs)
        for row in simulation.ledger.trials.values()
    ]


def judged(simulation: Simulation) -> list[int]:
    return [number for number, row in simulation.ledger.trials.items() if JUDGED in row.system_attrs]


@pytest.mark.parametrize("changes", KINDS)
def test_a_slow_pruner_gives_the_rows_of_a_fast_one(changes: dict[str, Any]) -> None:
    fast = Simulation(spec(**changes), objective).run_to_end()
    slow = Simulation(spec(**changes), objective, slow_pruner=SLOW).run_to_end()
    assert rows(slow) == rows(fast)
    assert not judged(slow)


def test_a_slow_shadow_keeps_no_trial_waiting_and_notes_the_same() -> None:
    fast = Simulation(spec(**SHADOWED), objective).run_to_end()
    slow = Simulation(spec(**SHADOWED), objective, slow_pruner=SLOW).run_to_end()
    assert rows(slow) == rows(fast)
    assert any("shadow_pruned_by" in row.user_attrs for row in slow.ledger.trials.values())
    assert slow.now - fast.now < 3 * SLOW, "no event waited for the shadow"


@pytest.mark.parametrize("changes", [*KINDS, SHADOWED])
@pytest.mark.parametrize("step", [Phase.COMMITTED, Phase.CONFIRMED, Phase.DECIDED])
def test_dying_while_it_thinks_changes_nothing(step: Phase, changes: dict[str, Any]) -> None:
    undisturbed = Simulation(spec(**changes), objective, slow_pruner=SLOW).run_to_end()
    for nth in (2, 5, 9):
        disturbed = Simulation(spec(**changes), objective, slow_pruner=SLOW)
        disturbed.kill_when(lambda passing, it=disturbed, nth=nth: passing == step and it.passed.count(step) == nth)  # type: ignore[misc]
        disturbed.run_to_end()
        assert rows(disturbed) == rows(undisturbed), f"at {step} {nth}"


def stopped_while_it_thinks() -> Simulation:
    simulation = Simulation(spec(), objective, slow_pruner=SLOW)
    for _ in range(500):
        if judged(simulation):
            break
        simulation.turn(simulation.slots[0])
        simulation.round()
    simulation.database.issue("key", "stop", "search", {})
    simulation.redis.add({b"ring": b"orchestrator:doorbell"})
    simulation.round()
    assert simulation.ledger.state == "stopped"
    assert judged(simulation), "the stop does not wait for the pruner"
    return simulation


def test_a_study_is_stopped_while_it_thinks() -> None:
    simulation = stopped_while_it_thinks()
    simulation.run_to_end()
    assert not judged(simulation)


def test_a_study_that_is_stopped_comes_to_its_end_when_its_pruner_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    simulation = stopped_while_it_thinks()
    assert simulation.controller is not None
    failed = [[("search", ProcessFailed("the pruner did not answer within 10 s"))]]
    replicas = simulation.controller.ports.replicas
    monkeypatch.setattr(replicas, "take", lambda: failed.pop() if failed else [])
    simulation.run_to_end()
    assert simulation.ledger.state == "stopped"
    assert not simulation.database.suspended
    assert not judged(simulation)
