"""Rungs that trials climb and are compared on: what asha and Hyperband have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import insort
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from orchestrator.common.faults import Fault
from orchestrator.common.field_types import LARGEST_INTEGER, CountOrZero, check_auto_or_count, kind
from orchestrator.common.formatting import count, number
from orchestrator.pruning.arguments import RuleArguments
from orchestrator.pruning.base import Decision, Direction, Outcome, Progress, RuleBase
from orchestrator.pruning.words import RuleWords


class RungWords(RuleWords):
    """Compares with the results of other trials at the same rung."""

    default_factor: ClassVar[int]
    """``reduction_factor`` where the stored table does not say."""

    def place(self, decision: Decision) -> str:
        place = super().place(decision)
        return place if decision.threshold is None else f"{place}, a rung"

    def against(self, decision: Decision) -> str:
        if decision.threshold is None:
            if math.isnan(decision.value):
                return "its value there is not a number"
            least = self._table.get("bootstrap_count")
            more = "" if least is None else f", none passes before there are more than {least}"
            return f"{count(decision.peers, 'value')} at this rung{more}"
        value, limit = number(decision.value), number(decision.threshold)
        if self._best_alone(decision):
            return f"value {value}, of {self._trials(decision)} there only the best goes on, which has {limit}"
        return f"value {value}, the last one among {self._best(decision)} there has {limit}"

    def boundary(self, decision: Decision) -> str:
        if self._best_alone(decision):
            return f"the best of {self._trials(decision)} at that rung"
        return f"the last one among {self._best(decision)} at that rung"

    def _at_boundary(self, decision: Decision) -> str:
        # The trial's own value is one of those at the rung: it is the threshold itself.
        return self.boundary(decision)

    def _best_alone(self, decision: Decision) -> bool:
        """Whether so few are at the rung that only the best of them goes on."""
        return decision.peers < self._factor

    def _best(self, decision: Decision) -> str:
        return f"the best 1/{self._factor} of {self._trials(decision)}"

    def _trials(self, decision: Decision) -> str:
        return count(decision.peers, "trial")

    @property
    def _factor(self) -> int:
        return int(self._table.get("reduction_factor") or self.default_factor)


def _check_resource(value: Any) -> Any:
    return check_auto_or_count(value, LARGEST_INTEGER)


Resource = Annotated[Any, BeforeValidator(_check_resource), kind('`"auto"`, or integer, at least 1')]
Factor = Annotated[int, Field(ge=2, le=LARGEST_INTEGER)]


class RungArguments(RuleArguments):
    """What the rules with rungs have in common.

    Attributes:
        reduction_factor: One of so many trials gets beyond a rung, and each rung lies so many times as far as the last.
        bootstrap_count: A rung lets no trial pass before it holds more than so many values.
    """

    reduction_factor: Factor
    bootstrap_count: CountOrZero = 0

    def _check_bootstrap(self, resource: str) -> None:
        """Refuses ``bootstrap_count`` beside an automatic resource; ``resource`` is its key."""
        if self.bootstrap_count and getattr(self, resource) == "auto":
            problem = f'is {self.bootstrap_count}, which cannot go with {resource} = "auto"'
            raise Fault(problem, f"give {resource} a number", ("bootstrap_count",))


def check_first_rung(min_resource: int, max_steps: int, key: tuple[str, ...]) -> None:
    """Refuses a first rung that lies beyond a full trial.

    Raises:
        Fault: with the key under ``key``, which is the table's.
    """
    if min_resource > max_steps:
        problem = f"is {min_resource}, above max_steps, which is {max_steps}"
        raise Fault(problem, "no trial would ever be pruned", (*key, "min_resource"))


def rung_key(rung: int) -> str:
    """The system attribute under which Optuna keeps a trial's value at a rung."""
    return f"completed_rung_{rung}"


class Ladder:
    """One race of asynchronous successive halving, in its stopping form.

    Rung k lies at step ``first * reduction_factor**k``. A trial that gets there enters its value for good, whatever
    becomes of the trial, and goes on only if the value is among the best ``1 / reduction_factor`` of all that were
    entered so far (Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020, algorithm 2, where
    trials are paused and promoted instead). Among fewer than ``reduction_factor`` values only the best goes on.

    Args:
        direction: Which way is better.
        first: Step of rung 0.
        reduction_factor: Called eta in the paper.
        bootstrap_count: A rung lets no trial pass before it holds more values than this.
    """

    def __init__(self, direction: Direction, first: int, reduction_factor: int, bootstrap_count: int) -> None:
        self._maximize = direction == "maximize"
        self._first = first
        self._reduction_factor = reduction_factor
        self._bootstrap_count = bootstrap_count
        self._rungs: list[list[float]] = []

    def enter(self, rung: int, value: float) -> list[float]:
        """Enters a value and returns all values of the rung in order, this one included."""
        while len(self._rungs) <= rung:
            self._rungs.append([])
        values = self._rungs[rung]
        insort(values, value)
        return values

    def climb(self, rule: str, progress: Progress, reached: dict[str, float]) -> Decision:
        """Takes a trial up all the rungs that its last step has come to; it may be several after a gap.

        Args:
            rule: Name for the decision.
            progress: Where the trial stands.
            reached: Its values at the rungs so far, by attribute name; the new ones are added.
        """
        step, value = progress.last, progress.value
        threshold, peers = None, 0
        while step >= self._first * self._reduction_factor ** len(reached):
            if math.isnan(value):
                return Decision(True, rule, step, value, None, 0)
            rung = len(reached)
            reached[rung_key(rung)] = value
            values = self.enter(rung, value)
            peers = len(values)
            if peers <= self._bootstrap_count:
                return Decision(True, rule, step, value, None, peers)
            if peers == 1:
                threshold = None  # the first trial has no other to be compared with
                continue
            threshold = self._cut(values)
            if value < threshold if self._maximize else value > threshold:
                return Decision(True, rule, step, value, threshold, peers)
        return Decision(False, rule, step, value, threshold, peers)

    def _cut(self, values: list[float]) -> float:
        """Returns the worst value that still goes on."""
        winners = max(len(values) // self._reduction_factor, 1)
        return values[-winners] if self._maximize else values[winners - 1]


class RungRule(RuleBase):
    """A rule whose trials climb ladders; a subclass says which trial climbs which.

    A trial's rung values are its attributes ``completed_rung_K``, the ones that Optuna's pruners read and write. They
    cannot be found again from the reports alone: the value entered is that of the report which reached the rung, and
    with a gap in the steps several rungs hold the same one.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._running: dict[int, Progress] = {}
        self._reached: dict[int, dict[str, float]] = {}
        self._longest = -1  # largest step of a completed trial

    @abstractmethod
    def _ladder(self, trial: int) -> Ladder | None:
        """Returns the ladder of a trial; None while there is none yet."""

    def _settle(self) -> None:
        """Fixes what is still open; called before each decision."""

    def record(self, trial: int, step: int, value: float) -> None:
        progress = self._running.get(trial)
        if progress is None:
            progress = self._running[trial] = Progress()
        progress.add(step, value)

    def judge(self, trial: int) -> Decision:
        self._settle()
        progress = self._running[trial]
        ladder = self._ladder(trial)
        if ladder is None:
            return Decision(False, self.name, progress.last, progress.value, None, 0)
        return ladder.climb(self.name, progress, self._reached.setdefault(trial, {}))

    def finish(self, trial: int, state: Outcome) -> None:
        progress = self._running.pop(trial, None)
        if state == "COMPLETE" and progress is not None:
            self._longest = max(self._longest, progress.last)

    def attributes(self, trial: int) -> dict[str, float]:
        return dict(self._reached.get(trial, ()))

    def adopt(self, trial: int, attributes: Mapping[str, Any]) -> None:
        reached: dict[str, float] = {}
        while (key := rung_key(len(reached))) in attributes:
            reached[key] = float(attributes[key])
        if reached:
            self._reached[trial] = reached
            self._enter_again(trial)

    def _enter_all_again(self) -> None:
        """Fills new ladders with the rung values that trials have from before."""
        for trial in self._reached:
            self._enter_again(trial)

    def _enter_again(self, trial: int) -> None:
        ladder = self._ladder(trial)
        if ladder is not None:
            for rung, value in enumerate(self._reached[trial].values()):
                ladder.enter(rung, value)
