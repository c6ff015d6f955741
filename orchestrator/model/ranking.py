"""Ranking of completed trials by one objective, with the best one of Optuna's ``Study.best_trial``. Pure.

``sampling.best_trials`` asks Optuna itself about a study in memory. A test holds both to the same answers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import TypeVar

from tasks.constraints import is_feasible

_Trial = TypeVar("_Trial")


def feasible(trials: Iterable[_Trial], constraints: Callable[[_Trial], Collection[float]]) -> Iterator[_Trial]:
    """Yields the trials that satisfy their constraints, of completed ones that come with the best value first.

    The first one counts as long as no constraint is known to be violated, as with Optuna, which looks at the others
    only where it is: so a constraint that is NaN bars all trials but this one.
    """
    for place, trial in enumerate(trials):
        values = constraints(trial)
        if is_feasible(values) or (place == 0 and not any(value > 0 for value in values)):
            yield trial


def by_value(values: Mapping[int, float], *, maximize: bool) -> list[int]:
    """Returns the numbers of trials from the best value to the worst, of equals the first one first; without NaN."""
    sign = -1.0 if maximize else 1.0
    return sorted(
        (number for number, value in values.items() if not math.isnan(value)),
        key=lambda number: (sign * values[number], number),
    )


def ranked(
    values: Mapping[int, float], constraints: Mapping[int, Collection[float]], *, maximize: bool
) -> tuple[list[int], list[int]]:
    """Returns the numbers of the trials that satisfy their constraints, the best one first, and those of the others.

    Args:
        values: Final values of the completed trials, by number.
        constraints: Of those that have any, by number.
        maximize: Which way is better.
    """
    order = by_value(values, maximize=maximize)
    good = list(feasible(order, lambda number: constraints.get(number, ())))
    kept = set(good)
    return good, [number for number in order if number not in kept]
