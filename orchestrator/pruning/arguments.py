"""Arguments of a rule as a spec gives them: typed, within bounds, and none left over."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from orchestrator.common.errors import BadInput, did_you_mean
from orchestrator.pruning.base import Direction

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, slots=True)
class Search:
    """What a rule may have to know of the search it belongs to; see ``build``."""

    direction: Direction
    study_name: str | None = None
    max_steps: int | None = None
    trials: int | None = None
    study: optuna.Study | None = None


class Arguments:
    """Hands out a rule's arguments one by one, and refuses in the end what nobody took.

    Stricter than Optuna, which reads a fractional ``min_resource`` as "auto" and true as 1.
    """

    def __init__(self, rule: str, given: Mapping[str, Any], search: Search) -> None:
        self.search = search
        self.direction = search.direction
        self._rule = rule
        self._given = given
        self._known: list[str] = []

    def take(self, name: str, default: Any) -> Any:
        self._known.append(name)
        return self._given.get(name, default)

    def integer(self, name: str, default: int | None, minimum: int) -> int:
        """``default=None`` makes it required."""
        value = self._required(name, default)
        if not _is_integer(value) or value < minimum:
            self.refuse(name, f"is {value!r}", f"it must be an integer of at least {minimum}")
        return int(value)

    def integer_or_auto(self, name: str, minimum: int) -> int | None:
        """None stands for "auto", which is the default."""
        value = self.take(name, "auto")
        if value == "auto":
            return None
        if not _is_integer(value) or value < minimum:
            self.refuse(name, f"is {value!r}", f"it must be 'auto' or an integer of at least {minimum}")
        return int(value)

    def number(self, name: str, default: float | None = None, low: float = -math.inf, high: float = math.inf) -> float:
        """``default=None`` makes it required."""
        value = self._required(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            self.refuse(name, f"is {value!r}", "it must be a number")
        if not low <= value <= high:
            bounds = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
            self.refuse(name, f"is {value!r}", f"it must be a number {bounds}")
        return float(value)

    def choice(self, name: str, known: Collection[str], default: str) -> str:
        value = self.take(name, default)
        if value not in known:
            self.refuse(name, f"is {value!r}", did_you_mean(str(value), known))
        return str(value)

    def optional_number(self, name: str) -> float | None:
        return None if self.take(name, None) is None else self.number(name)

    def done(self) -> None:
        """Refuses what nobody took."""
        for name in self._given:
            if name not in self._known:
                remedy = did_you_mean(name, set(self._known)) if self._known else "it takes none"
                self.refuse(name, f"is no argument of the rule {self._rule!r}", remedy)

    def refuse(self, name: str, problem: str, remedy: str = "") -> NoReturn:
        raise BadInput(f"pruner.{name}", problem, remedy)

    def _required(self, name: str, default: Any) -> Any:
        value = self.take(name, default)
        if value is None:
            self.refuse(name, "required key missing", f"the rule {self._rule!r} needs it")
        return value


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
