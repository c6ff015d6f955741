"""Learns how the study's curves go on, and spends each epoch where it is worth the most."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from orchestrator.common.faults import Fault
from orchestrator.common.field_types import Count
from orchestrator.common.formatting import count, number
from orchestrator.pruning.arguments import RuleArguments, Search
from orchestrator.pruning.base import Decision, RuleBase
from orchestrator.pruning.expectations import Expectation
from orchestrator.pruning.words import RuleWords


class IndexWords(RuleWords):
    """Tells how a trial was expected to end, and what that was compared with."""

    def place(self, decision: Decision) -> str:
        return f"{super().place(decision)}, a rung"

    def against(self, decision: Decision) -> str:
        if math.isnan(decision.value):
            return "its value there is not a number"
        return f"{self._outlook(decision, 'was')}: {self._worth(decision, past=True)}"

    def promoted(self, decision: Decision) -> str:
        following = self._expected(decision)
        until = "" if following is None else f" for {count(following.following - following.step, 'more epoch')}"
        return f"at epoch {decision.step}: {self._outlook(decision, 'was')}: went on{until}"

    def standing(self, decision: Decision, verb: str) -> str:
        if math.isnan(decision.value):
            return "its value there is not a number"
        past = verb == "went on"
        return f"{self._outlook(decision, 'was' if past else 'is')}: {self._worth(decision, past=past)}"

    def _outlook(self, decision: Decision, tense: str) -> str:
        expected = self._expected(decision)
        end = "its end is not known"
        if expected is not None:
            end = expected.text()
        best = "" if decision.threshold is None else f"; the best {tense} {number(decision.threshold)}"
        return end + best

    def _worth(self, decision: Decision, *, past: bool) -> str:
        expected = self._expected(decision)
        if expected is not None and expected.following - expected.step == 1:
            return f"the next epoch {'was' if past else 'is'} not worth as much as one of a new trial"
        epochs = "more epochs" if expected is None else f"the next {expected.following - expected.step} epochs"
        return f"{epochs} {'were' if past else 'are'} not worth as much as those of a new trial"

    def _expected(self, decision: Decision) -> Expectation | None:
        return next((each for each in self.expectations if each.step == decision.step), None)


class IndexArguments(RuleArguments):
    """Learns within the study how values go on from rung to rung, and spends each epoch where it is worth the most. A
    trial runs to a rung; from there it goes on if that is worth more than every other trial, and than a new one. Needs
    ``max_steps``.

    Attributes:
        mode: With ``"promotion"`` trials pause at the rungs, and go on from a checkpoint when it is their turn. With
            ``"stopping"`` a trial whose rest is worth less than a new trial ends.
        min_resource: The first rung's step.
        spacing: Each rung lies so many times as far as the last, and at least one step further.
        restart: A trial that goes on is trained from its first step again, not from a checkpoint.

    Example:
        [pruner]
        name = "index"
        mode = "promotion"
    """

    words = IndexWords
    learns = True
    rung_keys = ("min_resource", "spacing")

    name: Literal["index"] = "index"
    mode: Literal["promotion", "stopping"] = "promotion"
    min_resource: Count = 1
    spacing: Annotated[float, Field(ge=1.1, le=100)] = 1.5
    restart: bool = False

    @model_validator(mode="after")
    def _check(self) -> IndexArguments:
        if self.restart and not self.promotes:
            raise Fault("is true, but stopped trials never start again", "take it out", ("restart",))
        return self

    @property
    def promotes(self) -> bool:
        return self.mode == "promotion"

    @property
    def needs_max_steps(self) -> bool:
        return True

    @property
    def restarts(self) -> bool:
        return self.restart

    def rungs(self, max_steps: int) -> tuple[int, ...]:
        """Returns the steps of the rungs: the last one is ``max_steps``, and the one before lies well below it."""
        place, steps = float(self.min_resource), [self.min_resource]
        while (place := max(place * self.spacing, place + 1)) <= max_steps / math.sqrt(self.spacing):
            steps.append(round(place))
        return (*steps, max_steps)

    def build(self, search: Search) -> RuleBase:
        # numpy takes a while to import, and most commands need no rule.
        from orchestrator.pruning.index_rule import IndexRule, IndexStoppingRule

        if search.max_steps is None:
            raise ValueError("rule 'index' needs max_steps, which the spec checks")
        rule: Any = IndexRule if self.promotes else IndexStoppingRule
        built: RuleBase = rule(self.name, search.direction, self.rungs(search.max_steps))
        return built

    def check_steps(self, max_steps: int | None, key: tuple[str, ...]) -> None:
        if max_steps is None:
            problem = "is 'index', which needs max_steps: it predicts how trials end there"
            raise Fault(problem, "write max_steps = … at the top of the spec", (*key, "name"))
        if self.min_resource >= max_steps:
            problem = (
                f"is {self.min_resource}, and max_steps is {max_steps}: no trial would come to a rung before its end"
            )
            raise Fault(problem, f"it must be below {max_steps}", (*key, "min_resource"))
