"""What a rule compared with what, in words. One place for each rule's way of speaking."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from orchestrator.common.formatting import count, number
from orchestrator.model.changeset import DecisionRow
from orchestrator.pruning import Direction

_RUNGS = ("asha", "hyperband")
_OURS = ("median", "percentile", "asha", "hyperband", "threshold", "patient", "none")


class Grounds:
    """Speaks about the decisions of one rule.

    Args:
        table: The rule's table of the spec, as stored; what it does not say is left out of the words.
        direction: Which way is better.
    """

    def __init__(self, table: Mapping[str, Any], direction: Direction) -> None:
        self._table = table
        self._maximize = direction == "maximize"

    def place(self, row: DecisionRow) -> str:
        """Returns ``at epoch 8``, or ``at epoch 9, a rung``."""
        rung = row.rule in _RUNGS and row.threshold is not None
        return f"at epoch {row.step}, a rung" if rung else f"at epoch {row.step}"

    def against(self, row: DecisionRow) -> str:
        """Returns the comparison that ended the trial, or would have."""
        value, bound = number(row.value), row.threshold
        if row.rule not in _OURS:
            seen = "" if math.isnan(row.value) else f" (value {value})"
            return f"the pruner {row.rule} said so{seen}"
        if bound is None:
            return self._without_bound(row)
        limit = number(bound)
        if row.rule == "threshold":
            return f"value {value}, " + (
                f"above the upper bound {limit}" if row.value > bound else f"below the lower bound {limit}"
            )
        if row.rule == "median":
            return f"best value so far {value}, the median of {_completed(row)} at epoch {row.step} is {limit}"
        if row.rule == "percentile":
            best = f"the best {self._percent()} of {_completed(row)}"
            return f"best value so far {value}, {best} had {limit} or better at epoch {row.step}"
        if row.rule == "patient":
            return self._impatient(row, bound)
        if self._alone(row):
            return f"value {value}, of {_trials(row)} there only the best goes on, which has {limit}"
        return f"value {value}, the last one among the best {self._share(row)} of {_trials(row)} there has {limit}"

    def margin(self, row: DecisionRow) -> str:
        """Returns how close it was for a trial that went on: ``0.02 above the median of 12 completed trials``."""
        if row.threshold is None:
            return "nothing to compare with"
        distance = row.value - row.threshold
        if distance == 0 or math.isnan(distance):
            # At a rung the threshold is one of the values there, its own included.
            return self._boundary(row) if row.rule in _RUNGS else f"level with {self._boundary(row)}"
        return f"{number(abs(distance))} {'above' if distance > 0 else 'below'} {self._boundary(row)}"

    def promoted(self, row: DecisionRow) -> str:
        """Returns why a trial went on from its rung."""
        return f"at epoch {row.step}: value {number(row.value)}, {self._within(row)}: promoted"

    def standing(self, row: DecisionRow, verb: str) -> str:
        """Returns where a paused trial stands; ``verb`` is ``goes on`` or, when all is over, ``went on``."""
        there, bound = _trials(row), row.threshold
        many = verb.replace("goes", "go")
        if bound is None:
            return f"of {there} there nobody {verb}"
        if not math.isnan(row.value) and (row.value >= bound if self._maximize else row.value <= bound):
            return f"{self._within(row)}, and no slot was free for it yet"
        if self._table.get("mode") == "sync":
            return f"of {there} there those with {number(bound)} or better {many}"
        best = row.peers // self._eta(row)
        if best == 1:
            return f"of {there} there the best 1 {verb}, which has {number(bound)}"
        return f"of {there} there the best {best} {many}, the last of them has {number(bound)}"

    def _without_bound(self, row: DecisionRow) -> str:
        if math.isnan(row.value):
            if row.rule in ("median", "percentile"):
                return "no value so far was a number"
            return "its value there is not a number"
        if row.rule in _RUNGS:
            least = self._argument("bootstrap_count")
            more = "" if least is None else f", nobody passes before there are more than {least}"
            return f"{count(row.peers, 'value')} at this rung{more}"
        return f"the rule {row.rule} said so (value {number(row.value)})"

    def _impatient(self, row: DecisionRow, bound: float) -> str:
        patience, forgiven = self._argument("patience"), float(self._argument("min_delta") or 0.0)
        before = bound + forgiven if self._maximize else bound - forgiven
        last = "latest reports" if patience is None else f"last {count(int(patience) + 1, 'report')}"
        bests = f"best of them {number(row.value)}, best of the {row.peers} before them {number(before)}"
        text = f"no improvement in the {last}: {bests}"
        return f"{text} ({number(forgiven)} worse is forgiven)" if forgiven else text

    def _boundary(self, row: DecisionRow) -> str:
        """What the threshold is, as a noun."""
        if row.rule == "median":
            return f"the median of {_completed(row)}"
        if row.rule == "percentile":
            return f"what the best {self._percent()} of {_completed(row)} had"
        if row.rule == "patient":
            return f"the best of its own {row.peers} earlier reports"
        if row.rule in _RUNGS:
            last = "the best" if self._alone(row) else f"the last one among the best {self._share(row)}"
            return f"{last} of {_trials(row)} at that rung"
        return f"the threshold of {row.rule}"

    def _within(self, row: DecisionRow) -> str:
        if self._table.get("mode") == "sync" and row.threshold is not None:
            return f"among those of {_trials(row)} that go on ({number(row.threshold)} or better)"
        return f"within the best {self._share(row)} of {_trials(row)}"

    def _alone(self, row: DecisionRow) -> bool:
        """Whether so few are at the rung that only the best of them goes on."""
        return row.peers < self._eta(row)

    def _share(self, row: DecisionRow) -> str:
        return f"1/{self._eta(row)}"

    def _eta(self, row: DecisionRow) -> int:
        return int(self._argument("reduction_factor") or (3 if row.rule == "hyperband" else 4))

    def _percent(self) -> str:
        percentile = self._argument("percentile")
        return "part" if percentile is None else f"{float(percentile):g} %"

    def _argument(self, name: str) -> Any:
        return self._table.get(name)


def of_rule(row: DecisionRow, table: Mapping[str, Any], direction: Direction) -> Grounds:
    """Returns what speaks about this decision: a patient rule hands on the decisions of the rule inside it."""
    inside = table.get("wrapped")
    if table.get("name") != row.rule and isinstance(inside, Mapping):
        table = inside
    return Grounds(table if table.get("name") == row.rule else {}, direction)


def _completed(row: DecisionRow) -> str:
    return count(row.peers, "completed trial")


def _trials(row: DecisionRow) -> str:
    return count(row.peers, "trial")
