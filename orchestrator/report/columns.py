"""The parameters of trials in a form that Optuna's plots and evaluators accept.

A user may enqueue a value outside of the searched range; an objective may offer lists as choices, or another range or
kind of parameter from trial to trial. Optuna's plots and evaluators raise for some of that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from orchestrator.report.facts import LARGEST
from orchestrator.report.value_axis import ValueAxis, of_points
from orchestrator.spec.configuration import contains


class Column:
    """One parameter of some trials.

    Args:
        name: The parameter.
        trials: Those that do not have it are left out.
        label: Makes a text safe and short for a plot.

    Attributes:
        kind: One distribution that holds every value, as ``shown`` returns it.
        axis: The axis of a parameter that is a number.
        is_own: Whether the parameter is a number, and every value lies in the distribution that its own trial has.
    """

    def __init__(self, name: str, trials: Sequence[FrozenTrial], label: Callable[[str], str] = str) -> None:
        having = [trial for trial in trials if name in trial.params]
        values = [trial.params[name] for trial in having]
        kinds = [trial.distributions[name] for trial in having]
        is_numeric = all(map(_is_number, values)) and not any(
            isinstance(kind, CategoricalDistribution) for kind in kinds
        )
        searched = list(map(contains, kinds, values)) if is_numeric else []
        self.is_own = is_numeric and all(searched)
        self._choices: list[Any] = []
        self._texts: list[Any] = []
        self.axis = ValueAxis()
        if is_numeric:
            # What was enqueued may lie anywhere; what was sampled is what the plot is about.
            kept = [value for value, is_searched in zip(values, searched, strict=True) if is_searched]
            is_log = all(getattr(kind, "log", False) for kind in kinds)
            self.axis = of_points(values, log=is_log, kept=kept)
            self.kind = kinds[0] if self.is_own and all(kind == kinds[0] for kind in kinds) else _around(values, kinds)
            return
        offered = [kind.choices for kind in _distinct(kinds) if isinstance(kind, CategoricalDistribution)]
        self._choices = _distinct(choice for choices in (*offered, values) for choice in choices)
        as_they_are = all(
            choice is None or isinstance(choice, str | bool) or _is_number(choice) for choice in self._choices
        )
        for index, choice in enumerate(self._choices):
            text = choice if as_they_are and not isinstance(choice, str) else label(_text(choice))
            # Two long texts may begin alike.
            self._texts.append(f"{text} {index}" if text in self._texts else text)
        self.kind = CategoricalDistribution(self._texts)

    def shown(self, value: Any) -> Any:
        """Returns the value as it stands in ``kind``."""
        return self._texts[_place(self._choices, value)] if self._choices else value


def _around(values: Sequence[float], kinds: Sequence[BaseDistribution]) -> BaseDistribution:
    """Returns a range that holds the values; logarithmic where that of every trial is."""
    low, high = min(values), max(values)
    log = low > 0 and all(getattr(kind, "log", False) for kind in kinds)
    if all(
        isinstance(kind, IntDistribution) and isinstance(value, int) for kind, value in zip(kinds, values, strict=True)
    ):
        return IntDistribution(int(low), int(high), log=log)
    return FloatDistribution(low, high, log=log)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _distinct(items: Iterable[Any]) -> list[Any]:
    """Returns each item once, in order; items need not be hashable, since a choice may be a list."""
    found: list[Any] = []
    for item in items:
        if _place(found, item) == len(found):
            found.append(item)
    return found


def _place(items: Sequence[Any], item: Any) -> int:
    """Returns the index of an item, or the length if it is missing. ``True`` is not 1, and a NaN equals a NaN."""
    for index, each in enumerate(items):
        if each is item or (type(each) is type(item) and (each == item or (_is_nan(each) and _is_nan(item)))):
            return index
    return len(items)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
