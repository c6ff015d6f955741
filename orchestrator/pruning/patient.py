"""Holds another rule back while a trial still gets better."""

from __future__ import annotations

import math
from bisect import bisect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializeAsAny

from orchestrator.common.faults import Fault
from orchestrator.common.field_types import CountOrZero
from orchestrator.common.formatting import count, number
from orchestrator.pruning.arguments import RuleArguments, Search
from orchestrator.pruning.base import Decision, Direction, Outcome, RuleBase
from orchestrator.pruning.words import RuleWords


class PatientWords(RuleWords):
    """Compares the latest reports with those before them."""

    def against(self, decision: Decision) -> str:
        if decision.threshold is None:
            return super().against(decision)
        patience, forgiven = self._table.get("patience"), float(self._table.get("min_delta") or 0.0)
        before = decision.threshold + forgiven if self._maximize else decision.threshold - forgiven
        last = "latest reports" if patience is None else f"last {count(int(patience) + 1, 'report')}"
        bests = f"best of them {number(decision.value)}, best of the {decision.peers} before them {number(before)}"
        text = f"no improvement in the {last}: {bests}"
        return f"{text} ({number(forgiven)} worse is forgiven)" if forgiven else text

    def boundary(self, decision: Decision) -> str:
        return f"the best of its own {decision.peers} earlier reports"


def _check_wrapped(inside: RuleArguments) -> RuleArguments:
    if inside.name == "none":
        raise Fault("'none' never stops a trial", "leave 'wrapped' out to stop for want of patience alone", ("name",))
    if isinstance(inside, PatientArguments):
        raise Fault("'patient' cannot stand inside itself", "give one of them the larger patience", ("name",))
    if inside.promotes:
        problem = "pauses trials, and a patient rule can only hold back one that stops them"
        raise Fault(problem, "use 'stopping'", ("mode",))
    if inside.learns:
        problem = f"'{inside.name}' learns from every report, and a patient rule asks it about a few"
        raise Fault(problem, f"use '{inside.name}' by itself, or another rule inside", ("name",))
    return inside


class PatientArguments(RuleArguments):
    """As ``optuna.pruners.PatientPruner``: asks the rule inside, if any, only about trials that stopped improving.

    Attributes:
        patience: Number of reports without improvement that are forgiven.
        min_delta: How much worse still counts as no worse.
        wrapped: The rule inside, written like ``[pruner]``; any but ``none``, ``patient`` and ``index``, and none
            that pauses trials. Without one, a trial that stops improving is stopped.

    Example:
        [pruner]
        name = "patient"
        patience = 3

        [pruner.wrapped]
        name = "median"
    """

    words = PatientWords

    name: Literal["patient"] = "patient"
    patience: CountOrZero
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    wrapped: Annotated[SerializeAsAny[RuleArguments], AfterValidator(_check_wrapped)] | None = None

    @property
    def own_class(self) -> bool:
        return self.wrapped is not None and self.wrapped.own_class

    def build(self, search: Search) -> PatientRule:
        return PatientRule(self, None if self.wrapped is None else self.wrapped.build(search), search.direction)

    def check_steps(self, max_steps: int | None, key: tuple[str, ...]) -> None:
        if self.wrapped is not None:
            self.wrapped.check_steps(max_steps, (*key, "wrapped"))


@dataclass(slots=True)
class _Running:
    """A trial's reports in the order of their steps: the last few, and the best of those before them."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    earlier: int = 0
    best_earlier: float = math.nan


class PatientRule(RuleBase):
    """Asks the rule inside only about trials that have stopped improving.

    A trial has stopped when the best of its last ``patience + 1`` reports (by step) is worse than the best of those
    before them by more than ``min_delta``. NaN values are passed over; where all of either part are NaN the trial goes
    on. Without a rule inside such a trial is pruned. A decision is this rule's own while it holds back, and that of the
    rule inside, under that rule's name, once it asks.

    The rule inside is told every report, but decides, and leaves traces such as asha's rung values, only when asked.

    Args:
        arguments: See ``PatientArguments``.
        inside: The rule held back; None for plain early stopping.
        direction: Which way is better.
    """

    def __init__(self, arguments: PatientArguments, inside: RuleBase | None, direction: Direction) -> None:
        super().__init__(arguments.name)
        self._inside = inside
        self._maximize = direction == "maximize"
        self._window = arguments.patience + 1
        self._min_delta = arguments.min_delta
        self._running: dict[int, _Running] = {}

    def record(self, trial: int, step: int, value: float) -> None:
        running = self._running.setdefault(trial, _Running())
        place = bisect(running.steps, step)  # nearly always the end
        running.steps.insert(place, step)
        running.values.insert(place, value)
        if len(running.steps) > self._window:
            del running.steps[0]
            running.earlier += 1
            running.best_earlier = self._better(running.best_earlier, running.values.pop(0))
        if self._inside is not None:
            self._inside.record(trial, step, value)

    def judge(self, trial: int) -> Decision:
        running = self._running[trial]
        latest = math.nan
        for value in running.values:
            latest = self._better(latest, value)
        # NaN, and so never worse, while there are no earlier reports.
        threshold = running.best_earlier + (-self._min_delta if self._maximize else self._min_delta)
        worse = latest < threshold if self._maximize else latest > threshold
        if worse and self._inside is not None:
            return self._inside.judge(trial)
        known = None if math.isnan(threshold) else threshold
        return Decision(worse, self.name, running.steps[-1], latest, known, running.earlier)

    def _better(self, one: float, other: float) -> float:
        if math.isnan(one):
            return other
        if self._maximize:
            return other if other > one else one
        return other if other < one else one

    def result(self, trial: int, value: float) -> None:
        if self._inside is not None:
            self._inside.result(trial, value)

    def finish(self, trial: int, state: Outcome) -> None:
        self._running.pop(trial, None)
        if self._inside is not None:
            self._inside.finish(trial, state)

    def attributes(self, trial: int) -> dict[str, Any]:
        return {} if self._inside is None else self._inside.attributes(trial)

    def study_attributes(self) -> dict[str, Any]:
        return {} if self._inside is None else self._inside.study_attributes()

    def restore_study(self, attributes: Mapping[str, Any]) -> None:
        if self._inside is not None:
            self._inside.restore_study(attributes)

    def adopt(self, trial: int, attributes: Mapping[str, Any]) -> None:
        if self._inside is not None:
            self._inside.adopt(trial, attributes)
