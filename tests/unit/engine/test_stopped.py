"""A study that is stopped or interrupted: what never began waits, and takes no place in the budget."""

from __future__ import annotations

import json
from typing import Any

import pytest
from driver import World, learning, make_spec
from programs import conditional, number, saving

from orchestrator.engine import inputs
from orchestrator.engine.inputs import Input
from tasks.contract import Epoch, Failed

SAMPLERS: dict[str, dict[str, Any]] = {
    "space": {"sampler": {"name": "tpe"}},
    "no space": {"sampler": {"name": "tpe"}, "space": None},
    "random": {},
    "grid": {"sampler": {"name": "grid"}, "space": {"x": {"type": "categorical", "choices": [1, 2, 3, 4, 5]}}},
    "brute force": {"sampler": {"name": "brute_force"}, "space": {"x": {"type": "int", "low": 1, "high": 5}}},
    "promotion": {"pruner": {"name": "asha", "mode": "promotion", "min_resource": 1, "reduction_factor": 2}},
    "sync": {"pruner": {"name": "asha", "mode": "sync", "min_resource": 1, "reduction_factor": 2}},
    "index": {"pruner": {"name": "index", "mode": "promotion"}},
    "enqueued": {"enqueue": [{"x": 0.25}, {"x": 0.5}]},
}


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("kind", SAMPLERS)
def test_what_never_began_takes_no_place_in_the_budget_and_keeps_its_parameters(kind: str, rebuild: bool) -> None:
    trials = 5
    spec = make_spec(**{"trials": trials, "lookahead": 3} | SAMPLERS[kind])
    programs = {"promotion": saving(number), "sync": saving(number), "index": saving(number), "no space": conditional}
    world = World(spec, programs.get(kind, learning), slots=2, rebuild=rebuild)
    world.until(Epoch)
    queued = [row.number for row in world.ledger.trials.values() if not row.steps and row.state == "RUNNING"]
    given = {n: dict(world.ledger.trials[n].params) for n in queued if not world.engine.attempts.has_begun(n)}
    world.feed(inputs.StudyStopped())
    world.run()
    waiting = {row.number for row in world.ledger.trials.values() if row.state == "WAITING"}
    assert given.keys() <= waiting
    begun = len(world.ledger.trials) - len(waiting)
    assert world.counts.get("FAIL", 0) + world.counts.get("PRUNED", 0) == begun
    progress = world.engine.progress()
    assert (progress.enqueued, progress.ended, progress.budget) == (len(waiting), begun, trials)
    world.extend(spec)
    world.run()
    assert world.state == "finished"
    assert sum(world.counts.values()) == trials
    assert "WAITING" not in world.counts
    assert len(world.ledger.trials) == trials, "no number is left out"
    for each, params in given.items():
        assert world.ledger.trials[each].params.items() >= params.items()


@pytest.mark.parametrize("kind", ["space", "no space", "random", "enqueued"])
def test_a_search_that_was_stopped_before_it_began_is_the_same_search(kind: str) -> None:
    """With one slot, what waits again is trained as it would have been."""
    spec = make_spec(**{"trials": 4, "lookahead": 2} | SAMPLERS[kind])
    program = conditional if kind == "no space" else learning
    whole = World(spec, program).run()
    world = World(spec, program, slots=0)
    world.feed(inputs.StudyStopped())
    assert set(world.counts) == {"WAITING"}
    world.resize(1)
    world.extend(spec)
    world.run()
    assert [row.params for row in world.ledger.trials.values()] == [row.params for row in whole.ledger.trials.values()]
    assert world.counts == whole.counts


def test_a_trial_that_has_begun_and_waits_for_its_next_attempt_was_stopped() -> None:
    world = World(make_spec(trials=2))
    run = world.until(Epoch)
    world.leave(run, Failed(cause="died", error="TrainingProcessDied", message="signal 9"))
    world.feed(inputs.StudyStopped())
    assert json.loads(world.ledger.trials[0].user_attrs["failure"])["cause"] == "study stopped"
    assert world.ledger.trials[1].state == "WAITING"


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("go_on", [inputs.StudyResumed(), inputs.SpecChanged(make_spec(trials=3).to_json())])
def test_an_interrupted_study_starts_nothing_until_it_goes_on(go_on: Input, rebuild: bool) -> None:
    world = World(make_spec(trials=3), rebuild=rebuild)
    world.feed(inputs.StudyInterrupted())
    asked = len(world.ledger.trials)
    world.run()
    assert (world.state, len(world.ledger.trials)) == ("interrupted", asked)
    world.feed(go_on)
    world.run()
    assert (world.state, world.counts) == ("finished", {"COMPLETE": 3})


def test_what_a_person_has_paused_stays_so_when_its_run_is_interrupted() -> None:
    world = World(make_spec(trials=3))
    world.feed(inputs.StudyPaused())
    world.feed(inputs.StudyInterrupted())
    assert world.state == "paused"
