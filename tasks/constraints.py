"""Constraints of a trial in Optuna's system attributes, which hold them in one of two forms.

Optuna's own code for it is private, and its import takes half a second. A test compares both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

KEY: Final = "constraints"
"""Key of the list that the ``constraints_func`` of a sampler returned."""

PREFIX: Final = f"{KEY}:"
"""Prefix of the keys with one value each, of ``set_constraint``."""


def constraints_of(system_attrs: Mapping[str, Any]) -> dict[str, float]:
    """Returns the constraints by name; those of a list have their index as name. Skips values that are no numbers."""
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
