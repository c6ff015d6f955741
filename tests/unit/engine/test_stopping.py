"""Pruning verdicts: what is recorded, what goes out, and what a trial says that is told to stop."""

from __future__ import annotations

import json
import math

import pytest
from driver import Course, Talk, World, make_spec
from programs import noisy, pruning_itself

from orchestrator.model.lifecycle import AttemptState
from tasks.contract import Epoch, Finished, Stopped, Verdict

ASHA = {"name": "asha", "min_resource": 1, "reduction_factor": 2}
NAN = math.nan


def constant(course: Course) -> Talk:
    """Each trial is worse than the one before."""
    for step in range(4):
        yield Epoch(step=step, value=course.number + step / 10)
    return course.number


def with_verdict() -> tuple[World, str]:
    """A search whose trial 1 has just been pruned at step 1."""
    world = World(make_spec(trials=3, pruner={"name": "median", "n_startup_trials": 1, "n_warmup_steps": 1}), constant)
    while not world.ledger.decisions:
        assert world.step()
    return world, world.ledger.attempts_of(1)[0].token


def test_a_pruned_trial_has_all_that_optuna_would_give_it() -> None:
    world, _ = with_verdict()
    row = world.ledger.trials[1]
    assert (row.state, row.values, row.steps) == ("PRUNED", (1.1,), {0: 1.0, 1: 1.1})
    # The best value so far of this trial against the median of the best of the others.
    reason = {"rule": "median", "step": 1, "value": 1.0, "threshold": 0.1, "peers": 1}
    assert json.loads(row.user_attrs["pruned_by"]) | {"threshold": 0.1, "value": 1.0} == reason
    [decision] = world.ledger.of(1)
    assert (decision.trial, decision.rule, decision.step, decision.peers) == (1, "median", 1, 1)


def test_the_epoch_and_the_decision_drawn_from_it_are_in_one_batch() -> None:
    world, token = with_verdict()
    batch = world.batches[-1]
    assert batch.changes.values == [(1, 1, 1.1)]
    assert [row.trial for row in batch.changes.decisions] == [1]
    assert batch.changes.ends[1].state == "PRUNED"
    assert [revoke.token for revoke in batch.revokes] == [token]
    assert batch.confirmations[token].verdict == Verdict(cause="pruned", step=1)
    assert batch.confirmations[token].seq == 3
    assert batch.changes.attempts[token].state == AttemptState.STOPPING


def test_the_notice_says_what_was_compared() -> None:
    world, _ = with_verdict()
    (notice,) = world.batches[-1].notices
    assert (notice.number, notice.state, notice.epochs) == (1, "PRUNED", 2)
    assert notice.detail.startswith("median at step 1: value ")


def test_stopped_ends_the_attempt_with_its_timings() -> None:
    world, token = with_verdict()
    run = next(slot.run for slot in world.slots if slot.run)
    world.leave(run, Stopped(latency=0.5, signal_latency=0.25))
    row = world.ledger.attempts[token]
    assert (row.state, row.cause, row.latency, row.signal_latency) == ("done", "obeyed", 0.5, 0.25)
    assert len(world.ledger.attempts_of(1)) == 1


def test_epochs_after_the_verdict_are_late() -> None:
    world, token = with_verdict()
    run = next(slot.run for slot in world.slots if slot.run)
    world.deliver(run.event(Epoch(step=2, value=0.0)))
    assert world.engine.counts["late"] == 1
    assert world.values(1) == [1.0, 1.1]
    assert world.confirmations[token].seq == 4


def test_a_trial_that_finishes_while_its_verdict_is_on_the_way_stays_pruned() -> None:
    world, token = with_verdict()
    run = next(slot.run for slot in world.slots if slot.run)
    world.leave(run, Finished(values=(-5.0,)))
    assert (world.ledger.trials[1].state, world.ledger.trials[1].values) == ("PRUNED", (1.1,))
    assert world.engine.counts["late"] == 1
    assert world.ledger.attempts[token].state == "done"
    world.run()
    assert sum(world.counts.values()) == 3


def test_a_backlog_is_decided_at_the_step_it_was_due_at() -> None:
    """The consumer was behind: the whole trial is in one batch, and the rule says stop in the middle of it."""
    one_by_one, _ = with_verdict()
    one_by_one.run()
    behind = World(one_by_one.ledger.spec, constant)
    while len(behind.ledger.trials) < 2 or behind.ledger.trials[0].state == "RUNNING":
        behind.step()
    behind.step()
    behind.hold = True
    behind.until(Finished)
    behind.hold = False
    behind.commit()
    assert behind.ledger.trials[1].steps == {0: 1.0, 1: 1.1}
    assert behind.ledger.trials[1].state == "PRUNED"
    behind.run()
    for number in range(3):
        left, right = behind.ledger.trials[number], one_by_one.ledger.trials[number]
        assert (left.state, left.values, left.steps) == (right.state, right.values, right.steps)


def test_a_slot_goes_on_with_the_next_trial_at_once() -> None:
    world, _ = with_verdict()
    world.step()
    assert world.queue, "the next trial was sent before the stop was obeyed"
    world.step()
    assert world.ledger.attempts_of(2)[0].state == "running"


def test_asha_prunes_at_its_rungs_and_stores_them_as_optuna_does() -> None:
    world = World(make_spec(trials=12, pruner=ASHA), noisy, slots=2).run()
    assert world.counts["PRUNED"] >= 3
    for row in world.ledger.trials.values():
        rungs = {key for key in row.system_attrs if key.startswith("completed_rung_")}
        assert rungs == {f"completed_rung_{index}" for index in range(len(rungs))}
    assert {row.step for row in world.ledger.decisions.values()} <= {1, 2}


def test_asha_settles_its_first_rung_for_the_whole_study() -> None:
    world = World(make_spec(trials=4, pruner={"name": "asha"}), noisy).run()
    assert json.loads(world.ledger.study_system_attrs["asha_min_resource"]) == 1


@pytest.mark.parametrize(("state", "value"), [("PRUNED", 0.25), ("PRUNED", None)])
def test_an_objective_may_prune_itself(state: str, value: float | None) -> None:
    world = World(make_spec(trials=2), pruning_itself).run()
    row = world.ledger.trials[1 if value else 0]
    assert (row.state, row.values) == (state, None if value is None else (value,))
    assert world.ledger.decisions == {}
    assert "pruned_by" not in row.user_attrs


@pytest.mark.parametrize("value", [NAN, math.inf, -math.inf, 1e308, -0.0])
def test_every_value_an_epoch_can_have_is_recorded(value: float) -> None:
    def objective(course: Course) -> Talk:  # noqa: ARG001
        yield Epoch(step=0, value=value)
        return 1.0

    world = World(make_spec(trials=2), objective).run()
    assert repr(world.values(0)) == repr([value])
    assert world.counts == {"COMPLETE": 2}


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_trial_of_nan_epochs_is_pruned_and_has_no_value(direction: str) -> None:
    def objective(course: Course) -> Talk:
        for step in range(3):
            yield Epoch(step=step, value=NAN if course.number == 1 else float(step))
        return 1.0

    pruner = {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 0}
    world = World(make_spec(trials=3, direction=direction, pruner=pruner), objective).run()
    assert (world.ledger.trials[1].state, world.ledger.trials[1].values) == ("PRUNED", None)
    assert json.loads(world.ledger.trials[1].user_attrs["pruned_by"])["value"] is None
    best = world.engine.progress().best
    assert best is not None
    assert best.number == 0


def test_the_value_of_a_pruned_trial_is_that_of_its_largest_step() -> None:
    def objective(course: Course) -> Talk:  # noqa: ARG001
        yield Epoch(step=7, value=0.7)
        yield Epoch(step=3, value=0.3)
        yield Finished(pruned=True)

    world = World(make_spec(trials=1), objective).run()
    assert world.ledger.trials[0].values == (0.7,)
