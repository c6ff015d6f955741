"""The control plane dies between any two steps of a round, and the search comes to the same end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from typing import Any

import pytest

from orchestrator.control.ports import Phase
from orchestrator.spec import Spec
from orchestrator.spec.model import validate
from tests.simulated.course import Course, Talk
from tests.simulated.simulation import Simulation

SEARCH: dict[str, Any] = {
    "name": "search",
    "objective": "somewhere:objective",
    "trials": 6,
    "max_steps": 4,
    "seed": 3,
    "sampler": {"name": "random"},
    "pruner": {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 1},
    "notify": {"endpoint": "team", "on": ["finished", "failed", "best"], "command": ["true"]},
}
SPACE = {"x": {"type": "float", "low": 0.0, "high": 1.0}}


def spec(**changes: Any) -> Spec:
    return validate(SEARCH | changes, "test")


def objective(course: Course) -> Talk:
    x = yield from course.float("x")
    y = yield from course.float("y")
    for step in range(course.load() + 1, 5):
        yield from course.report(step, x + y / step)
        yield from course.save(step)
    return x + y


def search(**changes: Any) -> Simulation:
    """``x`` is sampled ahead, ``y`` is asked for; a command waits to be applied."""
    made = Simulation(spec(space=SPACE, **changes), objective)
    made.database.issue("key", "enqueue", "search", {"params": {"x": 0.25}})
    made.redis.add({b"ring": b"orchestrator:doorbell"})
    return made


def notifications(simulation: Simulation) -> list[tuple[str, str, Any]]:
    """Who is owed what, without when: the end once, and the better trials."""
    notes = [(note.event, note.kind, json.loads(note.body)) for _, note, _ in simulation.database.notes.values()]
    assert [(event, kind) for event, kind, _ in notes if event != "best"] == [
        ("finished", "post"),
        ("finished", "command"),
    ]
    return [(event, kind, body["best"]) for event, kind, body in notes]


def rows(simulation: Simulation) -> str:
    """All rows. A pruner of the user's own answers later, so that a trial may have finished before it hears that it is
    to stop: with one, the rows of attempts are left out."""
    ledger = simulation.ledger
    return replace(ledger, attempts={} if ledger.spec.pruner.own_class else ledger.attempts).rows(times=False)


def nth_time(simulation: Simulation, step: Phase, nth: int) -> Callable[[Phase], bool]:
    return lambda passing: passing == step and simulation.passed.count(step) == nth


PRUNERS: dict[str, dict[str, Any]] = {
    "median": SEARCH["pruner"],
    "promotion": {"name": "asha", "min_resource": 1, "reduction_factor": 2, "mode": "promotion"},
    "own": {"name": "tests.simulated.own_pruners:Median", "n_startup_trials": 1, "n_warmup_steps": 1},
}


@pytest.mark.parametrize("pruner", sorted(PRUNERS))
@pytest.mark.parametrize("step", list(Phase))
def test_dying_at_a_step_changes_nothing(step: Phase, pruner: str) -> None:
    undisturbed = search(pruner=PRUNERS[pruner]).run_to_end()
    times = Counter(undisturbed.passed)[step]
    assert times or (step, pruner) == (Phase.REVOKED, "promotion"), f"an undisturbed search never passes '{step}'"
    for nth in range(1, times + 1, max(1, times // 5)):
        disturbed = search(pruner=PRUNERS[pruner])
        disturbed.kill_when(nth_time(disturbed, step, nth))
        disturbed.run_to_end()
        assert disturbed.deaths == [step]
        assert rows(disturbed) == rows(undisturbed), f"at {step} {nth}"
        assert disturbed.database.answers == undisturbed.database.answers
        assert notifications(disturbed) == notifications(undisturbed)


def search_on_one_host(step: Phase | None = None, nth: int = 0) -> Simulation:
    """Control plane, slot and queues share a host, which dies at the ``nth`` time of ``step``. A free slot takes a task
    as soon as one is sent."""
    made = search()
    made.beside_control = True

    def host_dies(passing: Phase) -> bool:
        dies = passing == step and made.passed.count(step) == nth
        if dies:
            made.kill_host()
        elif passing == Phase.ENQUEUED and made.slots[0].run is None:
            made.turn(made.slots[0])
        return dies

    made.kill_when(host_dies)
    return made.run_to_end()


@pytest.mark.parametrize("step", list(Phase))
def test_a_host_that_dies_at_a_step_changes_no_row(step: Phase) -> None:
    undisturbed = search_on_one_host()
    for nth in range(1, undisturbed.passed.count(step) + 1):
        disturbed = search_on_one_host(step, nth)
        assert disturbed.deaths == [step]
        started, in_order = (list(groupby(run.job.trial for run in each.runs)) for each in (disturbed, undisturbed))
        assert [trial for trial, _ in started] == [trial for trial, _ in in_order], f"at {step} {nth}"
        found, wanted = (
            replace(each.ledger, attempts={}, redone=[]).rows(times=False) for each in (disturbed, undisturbed)
        )
        assert found == wanted, f"at {step} {nth}"


@pytest.mark.parametrize("pruner", sorted(PRUNERS))
def test_dying_at_every_step_in_turn_changes_nothing(pruner: str) -> None:
    undisturbed = search(pruner=PRUNERS[pruner]).run_to_end()
    disturbed = search(pruner=PRUNERS[pruner])
    disturbed.kill_when(lambda _: len(disturbed.passed) % 11 == 0)
    disturbed.run_to_end()
    assert len(disturbed.deaths) > 10
    assert len(set(disturbed.deaths)) > 2
    assert rows(disturbed) == rows(undisturbed)
    assert notifications(disturbed) == notifications(undisturbed)
