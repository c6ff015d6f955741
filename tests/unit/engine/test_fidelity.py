"""Replaying a study's own rule over what its engine recorded makes the very same decisions."""

from __future__ import annotations

from typing import Any

import pytest
from driver import Slot, World, make_spec
from programs import noisy

from orchestrator.model.records import RecordedTrial, Recording, StudyFacts
from orchestrator.queries.replay import Candidate, compare
from orchestrator.spec import Spec
from tasks.contract import Epoch

RULES: dict[str, dict[str, Any]] = {
    "median": {"name": "median", "n_startup_trials": 2},
    "percentile": {"name": "percentile", "percentile": 30.0, "n_startup_trials": 1, "interval_steps": 2},
    "asha": {"name": "asha", "min_resource": 1, "reduction_factor": 2},
    "asha that settles": {"name": "asha", "reduction_factor": 2},
    "hyperband": {"name": "hyperband", "reduction_factor": 2},
    "patient": {"name": "patient", "patience": 1, "wrapped": {"name": "median", "n_startup_trials": 1}},
    "threshold": {"name": "threshold", "upper": 1.4},
}


def recording_of(world: World) -> Recording:
    """What the database would have, as a look into it finds it."""
    spec: Spec = world.ledger.spec
    trials = {
        number: RecordedTrial(row.state, row.values[0] if row.values else None, row.start, row.end)
        for number, row in world.ledger.trials.items()
    }
    completed = {number: each.value for number, each in trials.items() if each.state == "COMPLETE"}
    kept = [row for batch in world.batches for row in (*batch.changes.decisions, *batch.changes.closest.values())]
    return Recording(
        study=StudyFacts(
            spec.name,
            spec.direction,
            spec.to_json(),
            world.state,
            "",
            len(trials),
            {number: value for number, value in completed.items() if value is not None},
        ),
        trials=trials,
        reports=[report for batch in world.batches for report in batch.changes.values],
        moments={(row.trial, row.step): row.at for row in kept if row.action in ("keep", "prune", "audit", "shadow")},
    )


def decisions(world: World) -> dict[int, int]:
    rows = [row for batch in world.batches for row in batch.changes.decisions]
    return {row.trial: row.step for row in rows if row.action in ("prune", "audit")}


def returning_at_once(world: World) -> World:
    """Runs to the end, each slot saying one epoch at a time and whatever comes right after its last one."""

    def talk(slot: Slot) -> bool:
        said = False
        while world.turn(slot):
            said = True
            run = slot.run
            last = run is not None and bool(run.said) and isinstance(run.said[-1].body, Epoch)
            if run is None or (last and len([each for each in run.said if isinstance(each.body, Epoch)]) < 4):
                break
        return said

    while sum(talk(slot) for slot in list(world.slots)):
        pass
    return world


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())
@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_same_trials_are_pruned_at_the_same_epochs(rule: dict[str, Any], slots: int, direction: str) -> None:
    spec = make_spec(trials=40, pruner=rule, direction=direction)
    world = returning_at_once(World(spec, noisy, slots))
    assert world.state == "finished"
    assert decisions(world), "a rule that prunes no trial proves nothing"
    recorded, replayed = compare(recording_of(world), [Candidate("its own", spec.pruner)])
    assert replayed.pruned == decisions(world)
    assert recorded.pruned == replayed.pruned
    assert (replayed.saved, replayed.cut, replayed.winner_pruned) == (0, 0, None)


@pytest.mark.parametrize("seed", range(5))
def test_audited_trials_are_condemned_again_where_they_were(seed: int) -> None:
    spec = make_spec(trials=40, pruner=RULES["median"], audit=0.5)
    world = returning_at_once(World(spec, noisy, 2, seed=seed))
    audited = [row for batch in world.batches for row in batch.changes.decisions if row.action == "audit"]
    assert audited
    (_, replayed) = compare(recording_of(world), [Candidate("its own", spec.pruner)])
    assert replayed.pruned == decisions(world)
    assert replayed.saved == sum(
        sum(trial == row.trial and step > row.step for trial, step, _ in recording_of(world).reports) for row in audited
    )


def test_restarts_of_the_control_plane_do_not_show() -> None:
    spec = make_spec(trials=30, pruner=RULES["asha"])
    world = returning_at_once(World(spec, noisy, 1, rebuild=True))
    (_, replayed) = compare(recording_of(world), [Candidate("its own", spec.pruner)])
    assert replayed.pruned == decisions(world)
