"""How Optuna keeps the constraints of a trial: among its system attributes, in one of two ways.

Spelled here and not taken from Optuna, where it is private and importing it takes half a second. A test holds both to
the same answers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

KEY: Final = "constraints"
"""Holds a list: what the ``constraints_func`` of a sampler returned."""

PREFIX: Final = f"{KEY}:"
"""Begins the keys that hold one value each: what ``set_constraint`` set."""


def constraints_of(system_attrs: Mapping[str, Any]) -> dict[str, float]:
    """Returns the constraints by name; those of a list are named by their places. What is no number is left out."""
    listed = system_attrs.get(KEY)
    found = dict(enumerate(listed)) if isinstance(listed, list | tuple) else {}
    named = {str(place): value for place, value in found.items()}
    named |= {key.removeprefix(PREFIX): value for key, value in system_attrs.items() if key.startswith(PREFIX)}
    return {name: _number(value) for name, value in named.items() if isinstance(value, int | float)}


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def is_feasible(constraints: Iterable[float]) -> bool:
    """Whether none of these values is violated: each is zero or less."""
    return all(value <= 0 for value in constraints)
