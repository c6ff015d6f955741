"""What workers measure of a trial's attempts is kept with the trial: the highest values, and known ones alone."""

from __future__ import annotations

import json
import math

import pytest
from driver import World, learning, make_spec

from orchestrator.model.attribute_keys import MEASURED
from tasks.contract import (
    PEAK_GPU_MEMORY,
    PEAK_MEMORY,
    Epoch,
    Event,
    Failed,
    Finished,
    Outcome,
    Released,
    Revoked,
    Stopped,
)


def kept(world: World, trial: int) -> object:
    return json.loads(world.ledger.trials[trial].system_attrs.get(MEASURED, "null"))


@pytest.mark.parametrize("rebuild", [False, True])
def test_the_highest_value_of_the_attempts_counts(rebuild: bool) -> None:
    world = World(make_spec(trials=1), learning, rebuild=rebuild)
    world.leave(world.until(Epoch), Released(measured={PEAK_MEMORY: 500.0, PEAK_GPU_MEMORY: 70.0}))
    again = world.until(Epoch)
    assert again.job.attempt == 2
    assert again.job.system_attrs == {}, "an objective is not told"
    world.leave(again, Finished(values=(0.5,), measured={PEAK_MEMORY: 400.0, PEAK_GPU_MEMORY: 90.0}))
    assert kept(world, 0) == {PEAK_MEMORY: 500, PEAK_GPU_MEMORY: 90}


@pytest.mark.parametrize(
    "outcome",
    [
        Failed(cause="died", error="E", message="m", measured={PEAK_MEMORY: 1.0}),
        Stopped(measured={PEAK_MEMORY: 1.0}),
        Finished(pruned=True, measured={PEAK_MEMORY: 1.0}),
    ],
)
def test_every_end_of_an_attempt_carries_them(outcome: Outcome) -> None:
    world = World(make_spec(trials=1), learning)
    world.leave(world.until(Epoch), outcome)
    assert kept(world, 0) == {PEAK_MEMORY: 1}


def test_the_last_attempt_of_a_trial_that_has_ended_is_still_measured() -> None:
    world = World(make_spec(trials=1), learning)
    run = world.until(Epoch)
    world.deliver(Event(token=run.job.token, runner="", seq=0, body=Revoked(running=True)))
    assert world.ledger.trials[0].state == "FAIL"
    world.leave(run, Stopped(measured={PEAK_MEMORY: 3.0}))
    assert kept(world, 0) == {PEAK_MEMORY: 3}


def test_what_is_not_known_or_not_a_number_is_left_out() -> None:
    world = World(make_spec(trials=1), learning)
    measured = {"joules": 7.0, PEAK_MEMORY: math.nan, PEAK_GPU_MEMORY: math.inf}
    world.leave(world.until(Epoch), Finished(values=(0.5,), measured=measured))
    assert kept(world, 0) is None
