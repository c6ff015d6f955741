"""The words of a rule: what it compared with what, as sentences for a person."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.common.formatting import count, number
from orchestrator.pruning.base import Decision, Direction
from orchestrator.pruning.expectations import Expectation


class RuleWords:
    """The words of a rule about its decisions. A rule that compares values says more in a subclass of its own.

    Args:
        table: The rule's table of the spec as it is stored; empty where the spec names another rule by now. What it
            does not say is left out of the words.
        direction: Which way is better.
        expectations: How the trial was expected to end, where its rule predicts that.
    """

    def __init__(
        self, table: Mapping[str, Any], direction: Direction, expectations: Sequence[Expectation] = ()
    ) -> None:
        self._table = table
        self.expectations = expectations
        self._maximize = direction == "maximize"

    def place(self, decision: Decision) -> str:
        """Returns ``at epoch 8``."""
        return f"at epoch {decision.step}"

    def against(self, decision: Decision) -> str:
        """Returns the comparison that ended the trial, or would have."""
        value = "" if math.isnan(decision.value) else f" (value {number(decision.value)})"
        return f"the pruner {decision.rule} said so{value}"

    def boundary(self, decision: Decision) -> str:
        """Returns what the threshold is, as a noun: ``the median of 12 completed trials``."""
        return f"the threshold of {decision.rule}"

    def margin(self, decision: Decision) -> str:
        """Returns how close a trial came that went on: ``0.02 above the median of 12 completed trials``."""
        if decision.threshold is None:
            return "nothing to compare with"
        distance = decision.value - decision.threshold
        if distance == 0 or math.isnan(distance):
            return self._at_boundary(decision)
        return f"{number(abs(distance))} {'above' if distance > 0 else 'below'} {self.boundary(decision)}"

    def promoted(self, decision: Decision) -> str:
        """Returns why a paused trial went on from its rung."""
        return f"at epoch {decision.step}: value {number(decision.value)}: promoted"

    def standing(self, decision: Decision, verb: str) -> str:
        """Returns where a paused trial stands; ``verb`` is ``goes on``, or ``went on`` once the study has ended."""
        return f"of {count(decision.peers, 'trial')} there none {verb}"

    def _at_boundary(self, decision: Decision) -> str:
        return f"level with {self.boundary(decision)}"
