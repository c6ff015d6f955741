"""A grid that Optuna began, with a seed or an order of its own, is continued with the cells that are missing."""

from __future__ import annotations

import itertools
import random
import warnings
from typing import Any

import optuna
import pytest
from driver import World, answer_all, make_spec
from optuna.trial import FrozenTrial, TrialState

from orchestrator.engine import inputs
from orchestrator.engine.state import Snapshot
from orchestrator.engine.study import StudyEngine
from orchestrator.spec import Spec
from tests.simulated.course import Course, Talk

SPACE: dict[str, dict[str, Any]] = {
    "depth": {"type": "int", "low": 1, "high": 3},
    "lr": {"type": "float", "low": 0.0, "high": 0.3, "step": 0.1},
    "kind": {"type": "categorical", "choices": ["a", True, 2]},
}
VALUES = {"depth": [1, 2, 3], "lr": [0.0, 0.1, 0.2, 0.1 + 0.2], "kind": ["a", True, 2]}
CELLS = 3 * 4 * 3


def suggest(trial: optuna.Trial) -> float:
    trial.suggest_int("depth", 1, 3)
    trial.suggest_float("lr", 0.0, 0.5)
    trial.suggest_categorical("kind", ["a", True, 2])
    return 0.0


def begun(seed: int, many: int, *, shuffled: bool = False) -> list[FrozenTrial]:
    """Has Optuna try the first cells of its own order."""
    space = dict(reversed(VALUES.items())) if shuffled else VALUES
    space = {name: random.Random(seed).sample(values, len(values)) for name, values in space.items()}
    study = optuna.create_study(sampler=optuna.samplers.GridSampler(space, seed=seed))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study.optimize(suggest, n_trials=many)
    return study.trials


def cell(params: dict[str, Any]) -> tuple[Any, ...]:
    return params["depth"], round(params["lr"], 9), repr(params["kind"])


def every() -> set[tuple[Any, ...]]:
    return {cell(dict(zip(VALUES, values, strict=True))) for values in itertools.product(*VALUES.values())}


def answering(snapshot: Snapshot) -> StudyEngine:
    engine = StudyEngine(snapshot, 1.0)
    answer_all(engine, snapshot.seed)
    return engine


def search() -> Spec:
    return make_spec(trials=CELLS, sampler={"name": "grid"}, space=SPACE)


def asked(trials: list[FrozenTrial], *, rebuild: bool = False) -> list[FrozenTrial]:
    """Goes on until nothing is left to ask for; returns all trials."""
    engine = answering(Snapshot(spec=search(), uid="u", seed=3, trials=trials))
    for _ in range(CELLS):
        for row in engine.attempts.in_state("sent"):
            engine.trials.complete(row.trial, [0.0], 1.0)
            engine.end_attempt(row, "finished", 1.0)
        if rebuild:
            found = engine.storage.get_all_trials(0, deepcopy=True)
            engine = answering(Snapshot(spec=search(), uid="u", seed=3, trials=found))
        else:
            engine.apply(inputs.TimePassed(), 1.0)
            answer_all(engine, 3)
    return engine.storage.get_all_trials(0)


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize(
    ("seed", "many", "shuffled"), [(0, 5, False), (1, 5, False), (7, 30, True), (9, CELLS - 1, True)]
)
def test_the_cells_that_are_missing_are_tried_once_each(seed: int, many: int, shuffled: bool, rebuild: bool) -> None:
    found = asked(begun(seed, many, shuffled=shuffled), rebuild=rebuild)
    assert len(found) == CELLS
    assert {cell(trial.params) for trial in found} == every()


def test_nothing_is_left_of_a_grid_that_optuna_has_finished() -> None:
    assert len(asked(begun(4, CELLS))) == CELLS


def test_a_trial_that_failed_before_it_had_asked_has_tried_nothing() -> None:
    trials = begun(2, 3)
    trials[1] = FrozenTrial(
        number=1,
        trial_id=1,
        state=TrialState.FAIL,
        value=None,
        datetime_start=trials[1].datetime_start,
        datetime_complete=trials[1].datetime_complete,
        params={},
        distributions={},
        user_attrs={},
        system_attrs=trials[1].system_attrs,
        intermediate_values={},
    )
    spec = search().model_copy(update={"trials": CELLS + 9})
    engine = answering(Snapshot(spec=spec, uid="u", seed=3, trials=trials))
    for _ in range(CELLS + 9):
        for row in engine.attempts.in_state("sent"):
            engine.trials.complete(row.trial, [0.0], 1.0)
            engine.end_attempt(row, "finished", 1.0)
        engine.apply(inputs.TimePassed(), 1.0)
        answer_all(engine, 3)
    complete = engine.storage.get_all_trials(0, states=(TrialState.COMPLETE,))
    assert sorted(cell(trial.params) for trial in complete) == sorted(every())


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_grid_of_our_own_comes_in_the_order_that_it_always_had(rebuild: bool) -> None:
    def objective(course: Course) -> Talk:
        yield from ()
        return float(course.number)

    world = World(search(), objective, rebuild=rebuild).run()
    spec_grid = {"depth": [1, 2, 3], "lr": [0.0, 0.1, 0.2, 0.3], "kind": ["a", True, 2]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(sampler=optuna.samplers.GridSampler(spec_grid, seed=0))
        study.optimize(suggest, n_trials=CELLS)
    assert [cell(trial.params) for trial in world.engine.storage.get_all_trials(0)] == [
        cell(trial.params) for trial in study.trials
    ]
