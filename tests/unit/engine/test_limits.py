"""A search that has had enough lets what runs end, and starts nothing new."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from driver import Course, Talk, World, make_spec
from programs import number, saving

from orchestrator.engine import inputs
from tasks.contract import Epoch, Finished, Started

TRIALS = 20


def scoring(*values: float) -> Callable[[Course], Talk]:
    """Each trial ends with the value of its number, the last one with all that are behind."""

    def objective(course: Course) -> Talk:
        value = values[min(course.number, len(values) - 1)]
        for step in range(2):
            yield Epoch(step=step, value=value)
        return value

    return objective


def search(objective: Callable[[Course], Talk], slots: int = 1, *, rebuild: bool = False, **limits: Any) -> World:
    return World(make_spec(trials=TRIALS, **limits), objective, slots, rebuild=rebuild)


def unstarted(world: World) -> int:
    return world.counts.get("WAITING", 0)


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize(
    ("direction", "values", "target", "ends"),
    [("maximize", (0.1, 0.5, 0.9, 0.2), 0.5, 1), ("minimize", (0.9, 0.5, 0.1, 0.8), 0.1, 2)],
)
def test_a_target_that_is_met(
    direction: str, values: tuple[float, ...], target: float, ends: int, rebuild: bool
) -> None:
    world = search(scoring(*values), direction=direction, target=target, rebuild=rebuild).run()
    assert (world.state, world.ledger.reason) == ("finished", f"target is reached: {target:g} by trial {ends}")
    assert world.counts == {"COMPLETE": ends + 1, "WAITING": 1}
    assert unstarted(world) == 1


def test_a_target_that_is_missed_ends_nothing() -> None:
    world = search(scoring(0.1, 0.49), direction="maximize", target=0.5).run()
    assert (world.state, world.ledger.reason) == ("finished", "")
    assert world.counts == {"COMPLETE": TRIALS}


@pytest.mark.parametrize("rebuild", [False, True])
def test_patience_counts_from_the_best_trial(rebuild: bool) -> None:
    world = search(scoring(5.0, 3.0, 4.0, 1.0, 2.0), patience=3, rebuild=rebuild).run()
    assert world.ledger.reason == "patience is reached: 3 trials after trial 3 were not better"
    assert world.counts == {"COMPLETE": 7, "WAITING": 1}


def test_pruned_trials_try_patience_and_failed_ones_do_not() -> None:
    def objective(course: Course) -> Talk:
        if course.number in (1, 2):
            yield Finished(values=(float("nan"),))
        yield Epoch(step=0, value=float(course.number))
        yield Epoch(step=1, value=float(course.number))
        return float(course.number)

    median = {"name": "median", "n_startup_trials": 1}
    world = search(objective, patience=4, pruner=median).run()
    assert world.ledger.reason == "patience is reached: 4 trials after trial 0 were not better"
    assert world.counts == {"COMPLETE": 1, "PRUNED": 4, "FAIL": 2, "WAITING": 1}


def test_what_ends_late_and_was_asked_for_before_the_best_one_does_not_count() -> None:
    world = search(scoring(2.0, 1.0, 3.0), slots=2, patience=2)
    world.run()
    judged = [trial.number for trial in world.ledger.trials.values() if trial.values]
    assert judged == [0, 1, 2, 3]


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("slots", [1, 3])
def test_epochs_are_counted_over_all_trials(slots: int, rebuild: bool) -> None:
    world = search(scoring(1.0), slots, max_total_steps=9, rebuild=rebuild).run()
    assert world.state == "finished"
    assert world.ledger.reason == "max_total_steps is reached: 9 epochs are recorded"
    epochs = sum(len(trial.steps) for trial in world.ledger.trials.values())
    # What runs at that moment ends: of each other slot at most two epochs.
    assert 9 <= epochs <= 9 + 2 * slots - 1
    assert world.counts["COMPLETE"] == epochs / 2


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_timeout_begins_with_the_first_trial_and_ends_the_search_without_any_event(rebuild: bool) -> None:
    world = search(scoring(1.0), timeout=100, rebuild=rebuild)
    assert world.engine.deadline is None
    world.at += 1_000.0
    world.until(Started)
    deadline = world.at + 100
    assert world.engine.deadline == deadline
    world.feed(inputs.TimePassed())
    assert world.state == "running"
    world.at = deadline
    world.feed(inputs.TimePassed())
    assert (world.state, world.engine.deadline) == ("ending", None)
    world.run()
    assert (world.state, world.ledger.reason) == ("finished", "timeout is reached: 100 s since the first trial began")
    assert world.counts == {"COMPLETE": 1, "WAITING": 1}


def test_a_paused_search_whose_timeout_is_over_ends_when_it_is_resumed() -> None:
    world = search(scoring(1.0), timeout=100)
    world.until(Started)
    world.feed(inputs.StudyPaused())
    world.run()
    assert (world.state, world.engine.deadline) == ("paused", None)
    world.at += 200
    world.feed(inputs.TimePassed())
    assert world.state == "paused"
    world.feed(inputs.StudyResumed())
    assert world.state == "finished"


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_raised_limit_takes_the_search_up_again(rebuild: bool) -> None:
    world = search(scoring(3.0, 2.0, 1.0), target=2.0, rebuild=rebuild).run()
    assert world.counts == {"COMPLETE": 2, "WAITING": 1}
    world.extend(make_spec(trials=TRIALS, target=2.0))
    world.run()
    assert world.counts == {"COMPLETE": 2, "WAITING": 1}, "submitted again as it is, it has nothing to do"
    assert world.ledger.reason == "target is reached: 2 by trial 1"
    world.extend(make_spec(trials=TRIALS, target=1.0))
    world.run()
    assert (world.state, world.ledger.reason) == ("finished", "target is reached: 1 by trial 2")


def test_an_enqueued_trial_waits_for_a_higher_limit() -> None:
    world = search(scoring(3.0, 2.0, 1.0), target=2.0).run()
    world.feed(inputs.TrialEnqueued({"x": 0.5}))
    world.run()
    assert world.state == "finished"
    assert world.ledger.trials[3].state == "WAITING"
    world.extend(make_spec(trials=TRIALS, target=0.0))
    world.run()
    assert world.ledger.trials[3].params["x"][0] == 0.5
    assert world.counts == {"COMPLETE": TRIALS + 1}


@pytest.mark.parametrize("limits", [{"max_total_steps": 5}, {"target": 3.0}, {"timeout": 30}])
@pytest.mark.parametrize("mode", ["promotion", "sync"])
def test_paused_trials_are_not_promoted_any_more(mode: str, limits: dict[str, Any]) -> None:
    asha = {"name": "asha", "mode": mode, "min_resource": 1, "reduction_factor": 2}
    spec = make_spec(trials=TRIALS, max_steps=8, pruner=asha, direction="maximize", **limits)
    world = World(spec, saving(number), 2).run()
    assert world.state == "finished"
    assert world.ledger.reason
    assert not world.engine.trials.paused
    assert sum(world.counts.values()) == len(world.ledger.trials)
