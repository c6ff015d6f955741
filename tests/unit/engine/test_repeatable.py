"""The same seed gives the same search, across restarts too, and batch boundaries never change results."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
from driver import Objective, World, learning, make_spec
from programs import conditional, finite, noisy, two_values

from orchestrator.engine.study import StudyEngine
from tests.simulated.ledger import Ledger

MEDIAN = {"name": "median", "n_startup_trials": 2, "n_warmup_steps": 1}
ASHA = {"name": "asha", "min_resource": 1, "reduction_factor": 2}
TPE = {"name": "tpe", "n_startup_trials": 3}
TWO: dict[str, Any] = {"directions": ["minimize", "maximize"], "trials": 12, "max_steps": None, "space": None}

SEARCHES: dict[str, tuple[Objective, dict[str, Any]]] = {
    "tpe-median": (noisy, {"trials": 14, "sampler": TPE, "pruner": MEDIAN}),
    "tpe-asha-auto": (noisy, {"trials": 14, "sampler": TPE, "pruner": {"name": "asha"}}),
    "random-asha": (noisy, {"trials": 10, "pruner": ASHA}),
    "target": (noisy, {"trials": 14, "sampler": TPE, "pruner": MEDIAN, "target": 0.2}),
    "patience": (noisy, {"trials": 30, "pruner": MEDIAN, "patience": 4}),
    "max_total_steps": (noisy, {"trials": 14, "pruner": ASHA, "max_total_steps": 17}),
    "percentile": (noisy, {"trials": 10, "pruner": {"name": "percentile", "percentile": 25.0}}),
    "suggested-tpe": (noisy, {"trials": 12, "sampler": TPE, "pruner": MEDIAN, "space": None}),
    "conditional-tpe": (conditional, {"trials": 14, "sampler": TPE, "pruner": MEDIAN, "space": None}),
    "conditional-grouped-tpe": (
        conditional,
        {"trials": 14, "sampler": TPE | {"multivariate": True, "group": True}, "space": None},
    ),
    "eager-tpe": (conditional, {"sampler": {"name": "tpe", "n_startup_trials": 0}, "space": None}),
    "univariate-tpe": (conditional, {"sampler": TPE | {"multivariate": False}, "space": None}),
    "conditional-nsgaii": (
        conditional,
        {"trials": 12, "sampler": {"name": "nsgaii", "population_size": 4}, "space": None},
    ),
    "qmc": (conditional, {"sampler": {"name": "qmc"}, "space": None}),
    "brute_force": (finite, {"trials": 20, "sampler": {"name": "brute_force"}, "space": None}),
    "declared-brute_force": (
        learning,
        {"trials": 9, "sampler": {"name": "brute_force"}, "space": {"x": {"type": "int", "low": 0, "high": 3}}},
    ),
    "cmaes": (noisy, {"trials": 10, "sampler": {"name": "cmaes"}, "space": None}),
    "gp": (noisy, {"trials": 5, "sampler": {"name": "gp", "n_startup_trials": 3}, "space": None}),
    "two-tpe": (two_values, {"sampler": TPE} | TWO),
    "two-nsgaii": (two_values, {"sampler": {"name": "nsgaii", "population_size": 4}} | TWO),
    "two-nsgaiii": (two_values, {"sampler": {"name": "nsgaiii", "population_size": 4}} | TWO),
    "two-gp": (two_values, {"sampler": {"name": "gp", "n_startup_trials": 4}} | TWO | {"trials": 6}),
    "grid": (
        learning,
        {"trials": 9, "sampler": {"name": "grid"}, "space": {"x": {"type": "int", "low": 0, "high": 3}}},
    ),
}


@pytest.fixture(params=SEARCHES)
def search(request: pytest.FixtureRequest) -> Callable[..., World]:
    objective, changes = SEARCHES[request.param]

    def run(slots: int = 1, *, lookahead: int = 1, **arguments: Any) -> World:
        return World(make_spec(**changes, lookahead=lookahead), objective, slots, **arguments).run()

    return run


def test_one_seed_one_search(search: Callable[..., World]) -> None:
    first, second = search(seed=3), search(seed=3)
    assert first.state == "finished"
    assert first.ledger.rows() == second.ledger.rows()


@pytest.mark.parametrize(("slots", "lookahead"), [(1, 1), (3, 1), (3, 2)])
def test_an_engine_made_anew_after_every_batch_goes_on_as_the_old_one(
    search: Callable[..., World], slots: int, lookahead: int
) -> None:
    steady = search(slots, lookahead=lookahead, shuffle=5)
    restarted = search(slots, lookahead=lookahead, shuffle=5, rebuild=True)
    assert restarted.ledger.rows() == steady.ledger.rows()


@functools.cache
def in_single_batches(search: str) -> World:
    """Returns a finished search, each input of which was a batch; it is only read."""
    objective, changes = SEARCHES[search]
    return World(make_spec(**changes, lookahead=1), objective, 3, shuffle=1).run()


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("size", [2, 7, 10_000])
def test_batch_boundaries_change_nothing(name: str, size: int) -> None:
    world = in_single_batches(name)
    ledger = Ledger(world.ledger.spec, world.ledger.seed)
    engine = StudyEngine(ledger.snapshot(), 1_700_000_000.0)
    for index, record in enumerate(world.records, 1):
        engine.apply(record.input, record.at)
        if index % size == 0:
            ledger.commit(engine.take().changes)
    ledger.commit(engine.take().changes)
    assert ledger.rows() == world.ledger.rows()


def test_another_seed_is_another_search() -> None:
    rows = {World(make_spec(), seed=seed).run().ledger.rows(times=False) for seed in range(3)}
    assert len(rows) == 3


def test_the_stored_seed_counts_and_not_the_one_in_the_spec() -> None:
    """A spec without a seed is given one when the study is created; it must be the one that is used."""
    unset = World(make_spec(sampler={"name": "qmc"}), seed=11).run()
    same = World(make_spec(sampler={"name": "qmc"}, seed=99), seed=11).run()
    assert unset.ledger.trials == same.ledger.trials


def test_every_parameter_has_randomness_of_its_own() -> None:
    space = {name: {"type": "float", "low": 0.0, "high": 1.0} for name in ("a", "b")}
    world = World(make_spec(space={"x": space["a"], **space}, trials=3)).run()
    drawn = [value for row in world.ledger.trials.values() for value, _ in row.params.values()]
    assert len(drawn) == 9
    assert len(set(drawn)) == 9
