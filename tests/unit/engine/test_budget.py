"""The budget is met exactly, whatever the number of slots, and a finite space ends the search below it."""

from __future__ import annotations

from typing import Any

import pytest
from driver import World, make_spec
from programs import noisy, silent

from orchestrator.engine import inputs
from orchestrator.engine.study import StudyEngine
from orchestrator.model.lifecycle import AttemptState
from orchestrator.model.progress_events import TakenUp
from tasks.contract import Epoch, Started
from tests.simulated.ledger import Ledger, TrialRow

GRID = {
    "sampler": {"name": "grid"},
    "space": {"x": {"type": "int", "low": 0, "high": 2}, "y": {"type": "categorical", "choices": ["a", "b"]}},
}


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("parallel", [None, 1, 2])
@pytest.mark.parametrize("lookahead", [1, 2, 3])
@pytest.mark.parametrize("trials", [1, 7])
def test_as_many_trials_as_asked_for(slots: int, parallel: int | None, lookahead: int, trials: int) -> None:
    world = World(make_spec(trials=trials, parallel=parallel, lookahead=lookahead), slots=slots).run()
    assert world.counts == {"COMPLETE": trials}
    assert world.state == "finished"
    assert len(world.sent) == trials
    assert not world.engine.attempts.count(*AttemptState), "nothing is looked after any more"


@pytest.mark.parametrize("lookahead", [1, 2, 3])
def test_so_many_trials_wait_ahead_of_the_slots(lookahead: int) -> None:
    world = World(make_spec(trials=9, lookahead=lookahead), slots=2)
    assert len(world.queue) == lookahead
    world.until(Epoch)
    world.until(Started, world.slots[1])
    assert len(world.queue) == lookahead


def test_no_more_at_once_than_parallel() -> None:
    world = World(make_spec(trials=9, parallel=2, lookahead=3), slots=5)
    most = 0
    while world.step():
        most = max(most, sum(slot.run is not None for slot in world.slots))
    assert most == 2
    assert world.counts == {"COMPLETE": 9}


def test_a_slot_that_is_told_to_stop_counts_as_free() -> None:
    spec = make_spec(trials=12, parallel=1, pruner={"name": "asha", "min_resource": 1, "reduction_factor": 2})
    world = World(spec, noisy, slots=2).run()
    assert world.counts["PRUNED"]
    assert sum(world.counts.values()) == 12


def test_a_larger_budget_reopens_a_study_that_has_ended() -> None:
    world = World(make_spec(trials=2)).run()
    world.extend(make_spec(trials=5))
    assert world.state == "running"
    world.run()
    assert world.counts == {"COMPLETE": 5}
    assert world.state == "finished"


def test_a_search_in_two_goes_is_the_search_in_one() -> None:
    whole = World(make_spec(trials=6, sampler={"name": "tpe", "n_startup_trials": 2})).run()
    parts = World(make_spec(trials=3, sampler={"name": "tpe", "n_startup_trials": 2})).run()
    parts.extend(make_spec(trials=6, sampler={"name": "tpe", "n_startup_trials": 2}))
    parts.run()
    assert [row.params for row in parts.ledger.trials.values()] == [row.params for row in whole.ledger.trials.values()]


def test_a_smaller_budget_lets_what_runs_end() -> None:
    world = World(make_spec(trials=9), slots=3)
    world.until(Epoch)
    there = len(world.ledger.trials)
    world.extend(make_spec(trials=1))
    assert world.engine.progress().budget == there, "what there is beside the budget belongs to it"
    world.run()
    assert world.state == "finished"
    assert len(world.ledger.trials) == there
    progress = world.engine.progress()
    assert (progress.complete, progress.budget) == (there, there)


@pytest.mark.parametrize("slots", [1, 2, 8])
@pytest.mark.parametrize("rebuild", [False, True])
def test_a_grid_is_tried_once_and_ends_the_search(slots: int, rebuild: bool) -> None:
    world = World(make_spec(trials=20, **GRID), learning_on_a_grid, slots, rebuild=rebuild).run()
    points = [tuple(value for value, _ in row.params.values()) for row in world.ledger.trials.values()]
    assert world.state == "finished"
    assert sorted(points) == [(x, y) for x in range(3) for y in range(2)]


def learning_on_a_grid(course: Any) -> Any:
    yield Epoch(step=0, value=float(course.number))
    return float(course.number)


def test_a_trial_that_runs_without_an_attempt_is_adopted() -> None:
    """``study.ask()`` in a notebook leaves one; it counts, keeps what it has, and is trained."""
    ledger = Ledger(make_spec(trials=3), 7)
    distribution = '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}'
    ledger.trials[0] = TrialRow(0, 1.0, params={"x": (0.25, distribution)}, steps={0: 9.0})
    world = World(make_spec(trials=3), ledger=ledger)
    assert (world.sent[0].trial, world.sent[0].params["x"].value) == (0, 0.25)
    world.run()
    assert world.counts == {"COMPLETE": 3}
    assert world.ledger.trials[0].params["x"][0] == 0.25
    assert world.ledger.trials[0].steps == {0: 9.0, 1: 0.75, 2: 0.25 + 1 / 3, 3: 0.5}
    assert world.ledger.redone == [(0, 0, 1.25)]


def taken_up(world: World) -> list[tuple[int, ...]]:
    return [notice.numbers for batch in world.batches for notice in batch.notices if isinstance(notice, TakenUp)]


@pytest.mark.parametrize("more", [["extend"], ["enqueue"], ["retry"]])
def test_a_trial_that_was_asked_for_after_the_end_is_not_waited_for(more: list[str]) -> None:
    """The search goes on by whatever command: with the trials that it finds."""
    world = World(make_spec(trials=2)).run()
    assert world.state == "finished"
    world.ledger.trials[2] = TrialRow(2, 1.0)
    world.engine = StudyEngine(world.ledger.snapshot(), world.at)
    assert world.engine.take().notices == [], "it is at rest"
    if more == ["extend"]:
        world.extend(make_spec(trials=4))
    else:
        world.feed(inputs.TrialEnqueued({"x": 0.5}) if more == ["enqueue"] else inputs.TrialRetried(0))
    assert taken_up(world) == [(2,)]
    world.run()
    assert (world.state, world.counts) == ("finished", {"COMPLETE": 4})


def test_who_goes_on_with_the_search_is_told_of_what_was_taken_up_at_its_start() -> None:
    ledger = Ledger(make_spec(trials=3), 7)
    ledger.trials |= {0: TrialRow(0, 1.0), 1: TrialRow(1, 1.0)}
    world = World(make_spec(trials=3), ledger=ledger)
    world.extend(make_spec(trials=3))
    world.extend(make_spec(trials=3))
    assert taken_up(world) == [(0, 1), (0, 1)]
    again = World(make_spec(trials=3), ledger=world.ledger)
    again.extend(make_spec(trials=3))
    assert taken_up(again) == [], "they have attempts by now"


def test_what_is_told_of_taken_up_trials_is_one_line() -> None:
    assert (
        TakenUp(numbers=(2,)).text().startswith("trial 2 was left RUNNING by another program, without an attempt: it")
    )
    many = TakenUp(numbers=tuple(range(30))).text()
    assert "trials 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 20 more were left RUNNING" in many
    assert "\n" not in many


@pytest.mark.parametrize("trials", [1, 2, 4])
def test_enqueued_trials_are_taken_first_and_every_one_is_trained(trials: int) -> None:
    """``study.enqueue_trial`` leaves WAITING ones; a budget below their number does not strand them."""
    ledger = Ledger(make_spec(trials=trials), 7)
    for number, x in enumerate((0.5, 0.75)):
        ledger.trials[number] = TrialRow(number, None, state="WAITING", system_attrs={"fixed_params": f'{{"x": {x}}}'})
    world = World(make_spec(trials=trials), silent, ledger=ledger).run()
    assert world.state == "finished"
    assert world.counts == {"COMPLETE": max(2, trials)}
    assert [world.ledger.trials[number].params["x"][0] for number in (0, 1)] == [0.5, 0.75]


def test_epochs_saved_count_what_pruned_trials_did_not_train() -> None:
    spec = make_spec(trials=12, max_steps=4, pruner={"name": "asha", "min_resource": 1, "reduction_factor": 2})
    world = World(spec, noisy).run()
    pruned = [row for row in world.ledger.trials.values() if row.state == "PRUNED"]
    saved = sum(4 - len(row.steps) for row in pruned)
    trained = sum(len(row.steps) for row in world.ledger.trials.values())
    assert pruned
    assert (world.engine.progress().epochs_saved, world.engine.progress().epochs) == (saved, trained)
    world.rebuild()
    assert (world.engine.progress().epochs_saved, world.engine.progress().epochs) == (saved, trained)


def test_the_best_trial_is_the_best_complete_one() -> None:
    world = World(make_spec(trials=5)).run()
    best = world.engine.progress().best
    assert best is not None
    assert best.value == min(row.values[0] for row in world.ledger.trials.values() if row.values)
