"""A search in the loop of a rule over a table: what it has found after so many epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from orchestrator.pruning.base import RuleBase
from orchestrator.queries.curve_loop import Curve, CurveLoop
from tests.bench.search.tables import Table


@dataclass(frozen=True)
class Setting:
    """How a search runs.

    Attributes:
        slots: So many trials are trained side by side.
        noise: Standard deviation of what is added to each report, in units of the table's scale.
        resume: Price of going on from a checkpoint in another slot or later, in epochs.
    """

    slots: int
    noise: float = 0.0
    resume: int = 0


@dataclass(frozen=True)
class Outcome:
    """What a search came to.

    Attributes:
        regret: At each mark, distance of the best value seen so far to the best final value, in the table's scale.
            With noise it is the true value of the report that looked best.
        reached: Epochs to a value that only the best 1 % of the configurations end with; ``None``: not reached.
        lost: How many of the best 1 % had started and were stopped, or paused at the last mark.
    """

    regret: tuple[float, ...]
    reached: int | None
    lost: int


def search(table: Table, rule: RuleBase, setting: Setting, seed: int, marks: Sequence[int]) -> Outcome:
    """Runs a search up to the last mark; each epoch costs 1. Seed and table draw the order of the configurations."""
    draw = np.random.default_rng([seed, crc32(table.name.encode())])
    order = draw.permutation(len(table.curves))
    values = table.curves[order]
    shown = values + draw.normal(0, setting.noise * table.scale, values.shape) if setting.noise else values
    curves = [_curve(trial, shown[trial].tolist()) for trial in range(len(shown))]
    loop = CurveLoop(rule, curves, setting.slots)
    left = list(marks)
    regret: list[float] = []
    spent, best, looks, reached = 0, float(np.nanmin(values[:, 0])), -np.inf, None
    for epoch in loop.run():
        spent += 1 + (setting.resume if epoch.resumed else 0)
        while left and spent > left[0]:
            regret.append(_regret(table, best))
            left.pop(0)
        if not left:
            break
        if epoch.value > looks:
            looks, best = epoch.value, float(values[epoch.trial, epoch.step - 1])
            if reached is None and best >= table.good:
                reached = spent
    regret += [_regret(table, best)] * len(left)
    good = [trial for trial in loop.stopped if values[trial, -1] >= table.good]
    return Outcome(tuple(regret), reached, len(good))


def _regret(table: Table, best: float) -> float:
    """Returns how far a value is from the best final one; 0 if it is better, as a value in between may be."""
    return max(0.0, table.best - best) / table.scale


def _curve(trial: int, values: list[float]) -> Curve:
    """Returns a curve that fails where a value is no number."""
    diverged = next((place for place, value in enumerate(values) if value != value), None)
    end = len(values) if diverged is None else diverged + 1
    return Curve(trial, list(enumerate(values[:end], 1)), "COMPLETE" if diverged is None else "FAIL")
