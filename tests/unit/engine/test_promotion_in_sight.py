"""What a person sees of a search that promotes: who leads, who stands where, who goes on next, how much is left."""

from __future__ import annotations

import math
from typing import Any

import pytest
from driver import World, make_spec
from programs import LADDER, PROMOTION, SYNC, number, saving
from test_promoting import drawn

from orchestrator.model.progress_events import Progress
from orchestrator.model.study_status import counts_epochs, soonest, trials_done

INDEX = {"name": "index"}
RULES: dict[str, dict[str, Any]] = {"promotion": PROMOTION, "sync": SYNC, "index": INDEX}


def leads(world: World, *, maximize: bool) -> tuple[int, float, int] | None:
    """(trial, value, step) of the unfinished trial that leads, found by looking at all of them."""
    sign = 1.0 if maximize else -1.0
    rows = world.ledger.trials.values()
    ended = [sign * row.values[0] for row in rows if row.state == "COMPLETE" and row.values]
    last = [
        (sign * row.steps[max(row.steps)], -row.number, max(row.steps))
        for row in rows
        if row.state == "RUNNING" and row.steps and not math.isnan(row.steps[max(row.steps)])
    ]
    if not last or (ended and max(ended) >= max(last)[0]):
        return None
    value, low, step = max(last)
    return -low, sign * value, step


def check(world: World, found: Progress, *, maximize: bool) -> None:
    leading = found.leading
    assert (leading and (leading.number, leading.value, leading.step)) == leads(world, maximize=maximize)
    paused = {row.trial for row in world.ledger.attempts.values() if row.state == "paused"}
    assert sum(rung.on_it for rung in found.rungs) == found.paused == len(paused)
    for rung in found.rungs:
        assert rung.next_up is None or rung.next_up in paused
        assert rung.on_it or rung.next_up is None
    assert sum(rung.ready for rung in found.rungs) == (world.engine.trials.may_promote())
    begun = {row.trial for row in world.ledger.attempts.values() if row.started is not None}
    assert found.begun == len(begun)
    assert [rung.reached for rung in found.rungs] == sorted((rung.reached for rung in found.rungs), reverse=True)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_it_is_what_the_rows_say(rule: str, rebuild: bool, direction: str) -> None:
    spec = make_spec(**LADDER | {"trials": 9, "pruner": RULES[rule], "direction": direction})
    world = World(spec, drawn(3), slots=2, rebuild=rebuild)
    seen = []
    while world.step():
        found = world.engine.progress()
        check(world, found, maximize=direction == "maximize")
        seen.append(found)
    assert any(each.leading for each in seen)
    assert any(rung.next_up is not None for each in seen for rung in each.rungs)
    last = seen[-1]
    assert (last.state, last.leading, last.rest or 0) == ("finished", None, 0)


@pytest.mark.parametrize("rule", ["promotion", "sync"])
def test_what_is_left_is_known_from_the_first_epoch(rule: str) -> None:
    world = World(make_spec(**LADDER | {"pruner": RULES[rule]}), saving(number), slots=2)
    told = []
    while world.step():
        found = world.engine.progress()
        told.append((found.epochs, found.rest))
    total = world.engine.progress().epochs
    assert told[0] == (0, total)
    # A trial in its slice counts as half of it, which is up to nine epochs for each of two slots.
    assert all(left is not None and abs(total - epochs - left) <= 18 for epochs, left in told)


def test_a_limit_of_epochs_is_the_budget_where_it_comes_first() -> None:
    world = World(make_spec(**LADDER | {"pruner": PROMOTION, "max_total_steps": 20}), saving(number))
    seen = []
    while world.step():
        seen.append(world.engine.progress())
    some = seen[len(seen) // 2]
    assert soonest(some, 100.0, 2.0) == 2.0 * (20 - some.epochs), "sooner than all that the rule would promote"
    assert soonest(some, None, None) is None
    assert counts_epochs(some) == (some.epochs / 20 >= some.begun / 27)
    assert trials_done(some) == some.begun >= some.ended


def test_without_promotion_an_unfinished_trial_leads_too() -> None:
    world = World(make_spec(trials=3, direction="maximize"), slots=2)
    told = set()
    while world.step():
        found = world.engine.progress()
        leading = found.leading
        assert (leading and (leading.number, leading.value, leading.step)) == leads(world, maximize=True)
        told.add(leading is None)
        assert (found.rungs, found.promotes, found.rest) == ((), False, None)
    assert told == {True, False}
