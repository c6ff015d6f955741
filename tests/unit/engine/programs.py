"""Objectives for the simulated slots."""

from __future__ import annotations

import math

from driver import Course, Talk
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tasks.contract import Epoch, Failed, Finished

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
