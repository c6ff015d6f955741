"""Events that decode but make no sense harm their own trial at most."""

from __future__ import annotations

import contextlib
import json
import math

import pytest
from driver import World, make_spec

from tasks.contract import Attribute, Body, Epoch, Event, Failed, Finished, Started, Unreadable

TAKEN_BY_THE_CONTROLLER = (ValueError, KeyError, TypeError, ArithmeticError)
"""Whatever else the core raises would end the control plane, and end it again after each restart."""

NO_JSON = ["", "{", "\x00", "nul", "[" * 100_000, '{"a":' * 50_000, "1" * 5_000]


def poison(world: World, event: Event) -> None:
    """What the controller does with an event: one that cannot be folded is kept aside, the batch is committed."""
    with contextlib.suppress(*TAKEN_BY_THE_CONTROLLER):
        world.deliver(event)
    world.commit()


def goes_on(world: World) -> None:
    """What comes after is recorded, restarted or not."""
    world.rebuild()
    world.run()
    assert world.state == "finished"
    assert world.counts == {"COMPLETE": 3}


@pytest.mark.parametrize("text", NO_JSON)
@pytest.mark.parametrize("kind", ["user", "constraint"])
def test_an_attribute_that_is_no_json_is_dropped(text: str, kind: str) -> None:
    world = World(make_spec(trials=3))
    run = world.until(Started)
    poison(world, run.event(Attribute(key="key", value=text, kind=kind)))  # type: ignore[arg-type]
    assert "key" not in world.ledger.trials[0].user_attrs
    assert "constraints:key" not in world.ledger.trials[0].system_attrs
    goes_on(world)


@pytest.mark.parametrize("text", ['"x"', "null", "[1]", "{}", "NaN", "true"])
def test_a_constraint_that_is_no_number_is_dropped(text: str) -> None:
    """A sampler that meets one would raise for every later trial."""
    world = World(make_spec(trials=3, sampler={"name": "tpe", "n_startup_trials": 1}))
    run = world.until(Started)
    poison(world, run.event(Attribute(key="key", value=text, kind="constraint")))
    goes_on(world)


def test_those_behind_an_unreadable_event_do_not_wait_for_it() -> None:
    world = World(make_spec(trials=3))
    run = world.until(Started)
    poison(world, run.event(Unreadable(reason="step -1")))
    poison(world, run.event(Epoch(step=1, value=0.5)))
    assert world.confirmations[run.job.token].seq == 3
    assert world.ledger.trials[0].steps == {1: 0.5}
    assert world.engine.counts["unreadable"] == 1
    goes_on(world)


@pytest.mark.parametrize("values", [(), (math.nan,), (1.0, 2.0), (math.nan, 1.0)])
def test_a_result_that_is_no_value_fails_the_trial(values: tuple[float, ...]) -> None:
    """A worker checks this itself; a NaN in Optuna's table would make the study unreadable on SQLite."""
    world = World(make_spec(trials=3))
    run = world.until(Epoch)
    world.slots[0].run = None
    poison(world, run.event(Finished(values=values)))
    world.run()
    assert world.state == "finished"
    assert world.counts == {"COMPLETE": 2, "FAIL": 1}
    cause = "nan" if any(map(math.isnan, values)) else "value"
    assert json.loads(world.ledger.trials[0].user_attrs["failure"])["cause"] == cause


def test_infinity_is_a_result_as_in_optuna() -> None:
    world = World(make_spec(trials=2, direction="maximize"))
    world.leave(world.until(Epoch), Finished(values=(-math.inf,)))
    world.run()
    assert world.ledger.trials[0].values == (-math.inf,)
    best = world.engine.progress().best
    assert best is not None
    assert best.number == 1


@pytest.mark.parametrize("value", ["NaN", "Infinity", '"\\ud800"', '"\\u0000"', "1e400", "[1, {}]", "-0.0"])
def test_every_json_value_can_be_an_attribute(value: str) -> None:
    world = World(make_spec(trials=3))
    run = world.until(Started)
    world.deliver(run.event(Attribute(key="key", value=value)))
    stored = json.loads(world.ledger.trials[0].user_attrs["key"])
    assert repr(stored) == repr(json.loads(value))
    goes_on(world)


@pytest.mark.parametrize(
    "body",
    [
        Failed(cause="exception", error="", message=""),
        Failed(cause="died", error="", message="\x00\n", exit_code=2**40),
        Failed(cause="value", error="ValueError", message="x" * 100_000, traceback="\x00"),
    ],
)
def test_a_failure_may_say_anything(body: Body) -> None:
    world = World(make_spec(trials=1, retry={"max_attempts": 1}))
    world.leave(world.until(Epoch), body)
    assert world.counts == {"FAIL": 1}
    assert world.state in ("failed", "finished")


def test_an_attribute_set_twice_has_the_last_value_and_a_constraint_the_first() -> None:
    world = World(make_spec(trials=1))
    run = world.until(Started)
    for value in ("1", "2"):
        world.deliver(run.event(Attribute(key="key", value=value)))
        world.deliver(run.event(Attribute(key="key", value=value, kind="constraint")))
    assert world.ledger.trials[0].user_attrs["key"] == "2"
    assert json.loads(world.ledger.trials[0].system_attrs["constraints:key"]) == 1.0
