"""A trial that has trained for as long as a trial may: what it is, and how its time is counted over its attempts."""

from __future__ import annotations

import math
from typing import Any

import pytest
from driver import Course, Talk, World, make_spec

from tasks.contract import Failed

OUT_OF_TIME = Failed(cause="time", error="OutOfTime", message="it has trained for as long as a trial may")


def out_of_time(*values: float) -> Any:
    def objective(course: Course) -> Talk:
        yield from course.float("x")
        for step, value in enumerate(values, start=1):
            yield from course.report(step, value)
        yield OUT_OF_TIME
        return 0.0

    return objective


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize(("direction", "best"), [("minimize", 0.2), ("maximize", 0.7)])
def test_it_is_pruned_with_its_best_value(rebuild: bool, direction: str, best: float) -> None:
    spec = make_spec(trials=2, direction=direction, max_trial_time=60)
    world = World(spec, out_of_time(0.5, 0.2, math.nan, 0.7, 0.6), rebuild=rebuild).run()

    assert world.counts == {"PRUNED": 2}
    assert [trial.value for trial in world.ledger.snapshot().trials] == [best, best]


@pytest.mark.parametrize(
    ("changes", "values"),
    [({}, ()), ({}, (math.nan,)), ({"timed_out": "failed"}, (0.5,))],
    ids=["none", "nan", "failed"],
)
def test_it_fails_where_it_has_no_value_or_the_spec_says_so(changes: dict[str, Any], values: tuple[float, ...]) -> None:
    world = World(make_spec(trials=4, max_trial_time=60, **changes), out_of_time(*values)).run()

    assert world.counts == {"FAIL": 3, "WAITING": 1}
    assert "first 3 trials all failed alike: OutOfTime" in world.engine.reason


def test_time_on_slots_is_counted_over_attempts() -> None:
    def dies_once(course: Course) -> Talk:
        limits.append(course.job.limit)
        yield from course.float("x")
        yield from course.report(1, 0.5)
        if course.job.attempt == 1:
            yield Failed(cause="died", error="TrainingProcessDied", message="", exit_code=-9)
        return 0.5

    limits: list[float | None] = []
    world = World(make_spec(trials=1, max_trial_time=60), dies_once).run()

    (first, second) = sorted(world.engine.attempts, key=lambda row: row.number)
    assert first.started is not None
    assert first.ended is not None
    assert second.started is not None
    assert limits == [60.0, 60.0 - (first.ended - first.started)]
    assert world.counts == {"COMPLETE": 1}


def test_without_a_limit_none_is_sent() -> None:
    world = World(make_spec(trials=1), out_of_time(0.5))

    assert world.queue[0].limit is None
