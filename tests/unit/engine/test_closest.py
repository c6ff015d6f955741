"""The decision that came closest to ending a trial that went on: one row a trial, whatever is lost in between."""

from __future__ import annotations

import math
from typing import Any

import pytest
from driver import Course, Objective, Talk, World, make_spec
from programs import LADDER, RULES, mixed, noisy, number, saving

from orchestrator.model.changeset import DecisionRow
from orchestrator.sampling import rules
from tasks.contract import Epoch

MEDIAN: dict[str, Any] = {"name": "median", "n_startup_trials": 1}


def curves(*trials: tuple[float, ...]) -> Objective:
    """Trial n reports what the nth of ``trials`` holds."""

    def objective(course: Course) -> Talk:
        for step, value in enumerate(trials[course.number]):
            yield Epoch(step=step, value=value)
        return 0.0

    return objective


def closest(world: World) -> tuple[int, float, float | None]:
    """Of trial 1, which is compared with trial 0 alone."""
    row = world.ledger.closest[1]
    return row.step, row.value, row.threshold


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize(
    ("direction", "first", "second", "step"),
    [
        ("minimize", (9.0, 2.0, 1.5, 7.0), (1.0, 1.0, 1.0, 1.0), 2),
        ("minimize", (2.0, 2.0, 3.0, 2.0), (1.0, 1.0, 1.0, 1.0), 0),
        ("minimize", (9.0, 8.0, 5.0, 1.0), (4.0, 3.0, 2.0, 1.0), 3),
        ("maximize", (1.0, 6.0, 6.5, 2.0), (7.0, 7.0, 7.0, 7.0), 2),
    ],
)
def test_it_is_the_first_one_with_the_smallest_margin(
    direction: str, first: tuple[float, ...], second: tuple[float, ...], step: int, rebuild: bool
) -> None:
    spec = make_spec(trials=2, direction=direction, pruner=MEDIAN)
    world = World(spec, curves(first, second), rebuild=rebuild).run()
    assert closest(world) == (step, second[step], first[step])
    assert world.counts == {"COMPLETE": 2}
    assert list(world.ledger.closest) == [1], "trial 0 had no trial to be compared with"


def test_it_is_rewritten_only_when_one_comes_closer() -> None:
    world = World(make_spec(trials=2, pruner=MEDIAN), curves((5.0, 6.0, 4.0, 4.0), (1.0,) * 4)).run()
    written = [row.step for batch in world.batches for row in batch.changes.closest.values()]
    assert written == [0, 2]


@pytest.mark.parametrize("rebuild", [False, True])
def test_the_decision_that_ends_a_trial_is_not_among_them(rebuild: bool) -> None:
    spec = make_spec(trials=2, pruner=MEDIAN)
    world = World(spec, curves((5.0, 2.0, 0.5), (1.0, 1.0, 1.0)), rebuild=rebuild).run()
    assert world.ledger.trials[1].state == "PRUNED"
    assert closest(world) == (1, 1.0, 2.0)
    assert [(row.action, row.step, row.threshold) for row in world.ledger.of(1)] == [("prune", 2, 0.5)]


@pytest.mark.parametrize("value", [math.nan, -math.inf, math.inf])
def test_what_is_no_finite_number_comes_close_to_nothing(value: float) -> None:
    pruner = {"name": "percentile", "percentile": 100.0, "n_startup_trials": 1}
    values = ((value, value), (value, value), (1.0, value))
    world = World(make_spec(trials=3, pruner=pruner), curves(*values)).run()
    assert not [row for row in world.ledger.closest.values() if not math.isfinite(row.value)]
    rebuilt = World(make_spec(trials=3, pruner=pruner), curves(*values), rebuild=True).run()
    assert rebuilt.ledger.rows() == world.ledger.rows()


def test_a_rule_that_compares_nothing_comes_close_to_nothing() -> None:
    assert not World(make_spec(), noisy).run().ledger.closest
    world = World(make_spec(trials=1, pruner={"name": "median", "n_startup_trials": 5}), noisy).run()
    assert not world.ledger.closest, "too early to compare with any trial"


def test_paused_trials_are_not_compared_with_each_report() -> None:
    """Where trials are promoted, a decision is made at a rung and kept as such."""
    world = World(make_spec(**LADDER), saving(number)).run()
    assert not world.ledger.closest


def test_a_repeated_epoch_is_not_decided_again() -> None:
    world = World(make_spec(trials=2, pruner=MEDIAN), curves((5.0, 5.0), (1.0, 1.0)))
    while not world.ledger.closest:
        world.step()
    world.deliver(world.runs[-1].event(Epoch(step=0, value=4.9)))
    assert world.ledger.redone == [(1, 0, 4.9)]
    assert closest(world) == (0, 1.0, 5.0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("slots", [1, 3])
def test_it_is_the_same_after_a_rebuild_at_any_point(rule: str, slots: int) -> None:
    spec = make_spec(trials=9, max_steps=27, pruner=RULES[rule])
    steady = World(spec, saving(mixed, epochs=12), slots, shuffle=slots).run()
    restarted = World(spec, saving(mixed, epochs=12), slots, shuffle=slots, rebuild=True).run()
    assert steady.ledger.closest, "a rule that compares nothing proves nothing"
    assert restarted.ledger.rows() == steady.ledger.rows()


@pytest.mark.parametrize("rule", RULES)
def test_no_trial_came_closer_than_is_written(rule: str) -> None:
    """Every decision that is compared, made anew by a rule of its own that is told the same."""

    spec = make_spec(trials=9, max_steps=27, pruner=RULES[rule])
    world = World(spec, saving(mixed, epochs=12)).run()
    rule_again = rules.of_spec(spec, spec.pruner)
    best: dict[int, DecisionRow | Any] = {}
    for batch in world.batches:
        for trial, step, value in batch.changes.values:
            decision = rule_again.observe(trial, step, value)
            if not decision.prune and decision.threshold is not None:
                margin = decision.threshold - decision.value
                if margin < best.get(trial, (math.inf,))[0]:
                    best[trial] = (margin, decision.step, decision.value, decision.threshold, decision.peers)
        for trial, end in batch.changes.ends.items():
            rule_again.finish(trial, end.state)  # type: ignore[arg-type]
    written = {trial: (r.step, r.value, r.threshold, r.peers) for trial, r in world.ledger.closest.items()}
    assert written == {trial: found[1:] for trial, found in best.items()}
