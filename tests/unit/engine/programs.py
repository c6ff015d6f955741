"""Objectives for the simulated slots."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import optuna
from driver import Course, Objective, Run, Talk, World
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tasks.contract import Attribute, Checkpoint, Epoch, Failed, Finished

FLAT = {"trials": 8, "space": None}
"""Nothing declared: the objective suggests for itself."""


def noisy(course: Course, epochs: int = 4) -> Talk:
    """Curves that cross each other, so that a median rule has something to do."""
    x = yield from course.float("x")
    value = 1.0
    for step in range(epochs):
        value = math.sin(40 * x + step) + x
        yield Epoch(step=step, value=value)
    return value


def conditional(course: Course) -> Talk:
    """Which parameters there are depends on the first one; none is asked for in alphabetical order."""
    kind = yield from course.suggest("z", CategoricalDistribution(["deep", "wide"]))
    rate = yield from course.suggest("rate", FloatDistribution(1e-4, 1.0, log=True))
    yield Epoch(step=0, value=rate)
    name = "layers" if kind == "deep" else "units"
    size = yield from course.suggest(name, IntDistribution(1, 9))
    yield Epoch(step=1, value=rate + size / 10)
    drop = yield from course.float("drop", 0.0, 0.5)
    for step in range(2, 4):
        yield Epoch(step=step, value=rate + size / 10 + drop / step)
    return rate + size / 10 + drop


def finite(course: Course) -> Talk:
    """Seven combinations, of which the objective knows how they hang together."""
    kind = yield from course.suggest("kind", CategoricalDistribution(["int", "float"]))
    if kind == "int":
        return (yield from course.suggest("n", IntDistribution(1, 3)))
    x = yield from course.suggest("x", FloatDistribution(0.0, 0.5, step=0.5))
    return x + (yield from course.suggest("more", IntDistribution(0, 1)))


def two_values(course: Course) -> Talk:
    """Size against error; one of three is too large."""
    size = yield from course.suggest("size", IntDistribution(1, 9))
    error = 1 / size + (yield from course.suggest("rate", FloatDistribution(0.0, 0.5)))
    yield Attribute(key="memory", value=str(size - 6), kind="constraint")
    return size, error


def silent(course: Course) -> Talk:
    """Reports nothing."""
    return (yield from course.float("x"))


def broken(course: Course) -> Talk:
    """Always raises the same."""
    yield Failed(cause="exception", error="RuntimeError", message=f"no\ndata for {course.number}")


def pruning_itself(course: Course) -> Talk:
    """Raises ``TrialPruned`` by its own will, in every second trial after a report."""
    yield from course.float("x")
    if course.number % 2:
        yield Epoch(step=3, value=0.25)
    yield Finished(pruned=True)


PROMOTION: dict[str, Any] = {"name": "asha", "mode": "promotion", "min_resource": 1, "reduction_factor": 3}
RESTART = PROMOTION | {"restart": True}
SYNC = PROMOTION | {"mode": "sync"}
RULES: dict[str, dict[str, Any]] = {
    "median": {"name": "median", "n_startup_trials": 1},
    "asha": {"name": "asha", "min_resource": 1, "reduction_factor": 2},
    "hyperband": {"name": "hyperband", "reduction_factor": 2},
    "patient": {"name": "patient", "patience": 1, "wrapped": {"name": "median", "n_startup_trials": 1}},
}
"""Rules that stop trials."""
LADDER: dict[str, Any] = {"trials": 27, "max_steps": 27, "pruner": PROMOTION}
"""27 configurations, with rungs at steps 1, 3, 9 and 27."""


def number(course: Course, step: int) -> float:  # noqa: ARG001
    """The first trial is the best."""
    return float(course.number)


def mixed(course: Course, step: int) -> float:
    """The best trial cannot be foreseen, and changes from step to step."""
    return math.sin(12.9898 * course.number + 0.1 * step) * 43758.5453 % 1.0


def saving(
    value: Callable[[Course, int], float] = number, *, epochs: int = 27, save: str = "after", every: int = 1
) -> Objective:
    """Reports the steps 1 to ``epochs``, from the newest checkpoint on; saves every ``every`` of them, "after" the
    report, "before" it, or "never"."""

    def objective(course: Course) -> Talk:
        yield from course.float("x")
        for step in range(course.load() + 1, epochs + 1):
            if save == "before" and step % every == 0:
                yield from course.save(step)
            yield from course.report(step, value(course, step))
            if save == "after" and step % every == 0:
                yield from course.save(step)
        return value(course, epochs)

    return objective


class Raising(optuna.pruners.BasePruner):
    """Cannot be asked about a second trial."""

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:  # noqa: ARG002
        if trial.number:
            raise LookupError("no\nsuch rung")
        return False


class Behind(optuna.pruners.BasePruner):
    """Prunes what is far behind the best result."""

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        ended = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
        return any(trial.intermediate_values[trial.last_step] > other.value + 10 for other in ended)


def reach(world: World, trial: int, kind: type, step: int) -> Run:
    """Goes on until ``trial`` has said a ``kind`` of event about ``step``."""
    while True:
        run = world.until(kind)
        body = run.said[-1].body
        at = body.ref.step if isinstance(body, Checkpoint) else body.step  # type: ignore[attr-defined]
        if (run.job.trial, at) == (trial, step):
            return run
