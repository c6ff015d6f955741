"""Parameters stand in the order in which they are asked for, on the screen and in the database."""

from __future__ import annotations

from typing import Any

import pytest
from driver import Course, Talk, World, make_spec
from optuna.distributions import FloatDistribution

from tasks.contract import Epoch

NAMES = ["z", "a", "m", "b"]
SPACE = {name: {"type": "float", "low": 0.0, "high": 1.0} for name in NAMES}


def in_its_own_order(course: Course) -> Talk:
    total = 0.0
    for name in NAMES:
        total += yield from course.suggest(name, FloatDistribution(0.0, 1.0))
        yield Epoch(step=len(name), value=total)
    return total


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("space", [None, SPACE], ids=["asked", "declared"])
@pytest.mark.parametrize("sampler", [{"name": "random"}, {"name": "tpe", "multivariate": True, "n_startup_trials": 1}])
def test_it_is_that_of_the_objective(sampler: dict[str, Any], space: Any, rebuild: bool) -> None:
    world = World(
        make_spec(trials=8, sampler=sampler, space=space, pruner={"name": "none"}), in_its_own_order, rebuild=rebuild
    )
    while world.step():
        best, leading = world.engine.progress().best, world.engine.progress().leading
        assert best is None or list(best.params) == NAMES
        assert leading is None or list(leading.params) == NAMES[: len(leading.params)]
    assert [list(row.params) for row in world.ledger.trials.values()] == [NAMES] * 8
    ended = [notice for batch in world.batches for notice in batch.notices if hasattr(notice, "params")]
    assert [list(notice.params) for notice in ended] == [NAMES] * 8
