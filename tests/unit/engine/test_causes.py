"""How often a trial is attempted goes by what ended its attempts."""

from __future__ import annotations

import json
from typing import get_args

import pytest
from driver import World, make_spec

from tasks.contract import Epoch, Failed, FailureCause, Finished, Released

BEFALLS = ("died", "lost", "out_of_memory", "stalled")
ITS_OWN = ("exception", "nan", "value")


def end(world: World, cause: FailureCause) -> None:
    """The attempt at hand ends for ``cause``, as the worker or, for a loss, the control plane says it."""
    run = world.until(Epoch)
    if cause == "lost":
        world.lose(run)
    elif cause == "nan":
        world.leave(run, Finished(values=(float("nan"),)))
    else:
        world.leave(run, Failed(cause=cause, error="Error", message="why"))


def state(world: World) -> str:
    return world.ledger.trials[0].state


def failure(world: World) -> dict[str, object]:
    found: dict[str, object] = json.loads(world.ledger.trials[0].user_attrs["failure"])
    return found


@pytest.mark.parametrize("cause", BEFALLS)
def test_what_befalls_an_attempt_is_tried_again_up_to_the_cap(cause: FailureCause) -> None:
    world = World(make_spec(trials=2, retry={"max_attempts": 3}))
    for _ in range(2):
        end(world, cause)
        assert state(world) == "RUNNING"
    end(world, cause)
    assert state(world) == "FAIL"
    assert failure(world)["cause"] == cause
    assert str(failure(world)["message"]).startswith("3 attempts, the last one: ")


@pytest.mark.parametrize("cause", ITS_OWN)
def test_what_the_objective_has_done_fails_the_trial_at_once(cause: FailureCause) -> None:
    world = World(make_spec(trials=2))
    end(world, cause)
    assert state(world) == "FAIL"
    assert failure(world)["cause"] == cause
    assert "attempts" not in str(failure(world)["message"])


@pytest.mark.parametrize("cause", BEFALLS + ITS_OWN)
def test_a_number_of_its_own_counts_for_each_cause(cause: FailureCause) -> None:
    world = World(make_spec(trials=2, retry={"max_attempts": 9, cause: 2}))
    end(world, cause)
    assert state(world) == "RUNNING"
    end(world, cause)
    assert state(world) == "FAIL"


def test_attempts_that_ended_for_other_causes_count_too() -> None:
    world = World(make_spec(trials=2, retry={"max_attempts": 9, "out_of_memory": 2}))
    end(world, "died")
    end(world, "out_of_memory")
    assert state(world) == "FAIL"
    assert failure(world)["cause"] == "out_of_memory"


def test_what_was_handed_back_counts_for_nothing() -> None:
    world = World(make_spec(trials=1, retry={"exception": 2}))
    for _ in range(4):
        world.leave(world.until(Epoch), Released())
    end(world, "exception")
    assert state(world) == "RUNNING"
    world.run()
    assert world.counts == {"COMPLETE": 1}


def test_every_cause_that_a_worker_can_name_has_a_number_of_attempts() -> None:
    retry = make_spec(trials=1).retry
    assert {cause: retry.attempts(cause) for cause in get_args(FailureCause)} == {
        **dict.fromkeys(BEFALLS, 3),
        **dict.fromkeys((*ITS_OWN, "import", "checkpoint", "revoked", "time"), 1),
    }
