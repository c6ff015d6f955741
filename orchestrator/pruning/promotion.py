"""Successive halving that promotes: trials pause at a rung, and the best of them go on when a slot is free.

The asynchronous form is algorithm 2 of Li et al., "A System for Massively Parallel Hyperparameter Tuning" (MLSys
2020); the synchronous one is algorithm 1 there, successive halving over a table of known size.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from orchestrator.pruning.base import Decision, Direction, Outcome, Progress
from orchestrator.pruning.pausing import PausingRule, Promotion
from orchestrator.pruning.rung import Rung

RUNG = "asha:rung"


@dataclass(slots=True)
class _Climber(Progress):
    """A trial that has not ended.

    ``at[k]`` is the report of the smallest step at or after rung k. A report beyond a rung is beyond all lower ones
    too, so the list is as long as the trial has reached rungs.
    """

    headed: int = 0
    at: list[tuple[int, float]] = field(default_factory=list)

    def value_at(self, rung: int) -> float:
        return self.at[rung][1] if rung < len(self.at) else math.nan


class PromotionRule(PausingRule):
    """Trials run to a rung and pause there; the best ``1 / reduction_factor`` of a rung are promoted to the next.

    Rung k lies at step ``first * reduction_factor**k``, as far as that is within ``max_resource``; in the last, the top
    rung, a trial runs to its end. A trial's result at a rung is its value at the smallest step reported at or after it;
    a report that comes late corrects it.

    Asynchronous: a paused trial may go on as soon as it is among the best ``floor(results / reduction_factor)`` of its
    rung; results of promoted and of ended trials count. Synchronous: a rung is decided when it is complete, that is
    when the whole table has started and no trial can reach it any more; then of rung k
    ``floor(table / reduction_factor**(k + 1))`` go on, or as many as there are.

    All that the rule knows follows from what is stored: reports, the rung headed for, how trials ended, and which are
    paused. So a trial that ends as PRUNED or FAIL leaves its result in the rung it was headed for if it has reported
    one, whether or not it paused; one that is COMPLETE below the top rung was shorter than its slice and leaves none.

    Args:
        name: The rule's name, for its decisions.
        direction: Which way is better.
        first: Step of rung 0.
        max_resource: R of the paper, in steps.
        reduction_factor: eta of the paper.
        table: How many configurations a synchronous search has; may be set anew later. None: asynchronous.

    Raises:
        ValueError: There is no rung to pause at below ``max_resource``.
    """

    def __init__(
        self,
        name: str,
        direction: Direction,
        first: int,
        max_resource: int,
        reduction_factor: int,
        table: int | None = None,
    ) -> None:
        super().__init__(name)
        steps = [first]
        while (following := steps[-1] * reduction_factor) <= max_resource:
            steps.append(following)
        if len(steps) < 2:
            raise ValueError(f"with rungs at {steps[0]} and {following} no trial ever pauses before {max_resource}")
        self.rungs = tuple(steps)
        self.table = table
        self._eta = reduction_factor
        self._top = len(steps) - 1
        self._rungs = [Rung(direction, step) for step in steps]
        self._headed: dict[int, int] = {}  # of every trial that is known
        self._climbers: dict[int, _Climber] = {}
        self._paused: set[int] = set()
        self._on_rung = [0] * len(steps)
        # The last slice goes on to the trial's end.
        self._ends = (*steps[:-1], max_resource)
        self._running = [0] * len(steps)  # trials in their slice, by the rung they are headed for

    def until(self, trial: int) -> int | None:
        """Returns the step to which the trial's present slice runs; None: to its end."""
        headed = self._headed.get(trial, 0)
        return self.rungs[headed] if headed < self._top else None

    def beyond(self, trial: int) -> int | None:
        """Returns the step of the rung after ``until``; None where that is None."""
        headed = self._headed.get(trial, 0)
        return self.rungs[headed + 1] if headed < self._top else None

    def record(self, trial: int, step: int, value: float) -> None:
        climber = self._climber(trial)
        climber.add(step, value)
        at = climber.at
        reached = bisect_right(self.rungs, step)
        first = min(len(at), reached)
        at.extend([(step, value)] * (reached - len(at)))
        # Steps in `at` never decrease, so what a late report corrects lies side by side.
        while first > 0 and at[first - 1][0] > step:
            first -= 1
            at[first] = (step, value)
        for rung in range(first, reached):
            self._enter(trial, climber, rung)

    def judge(self, trial: int) -> Decision:
        climber = self._climbers[trial]
        return Decision(False, self.name, climber.last, climber.value, None, 0)

    def pause(self, trial: int) -> None:
        """Takes in that a trial's slice has ended. Again, or of an ended trial, it changes nothing.

        Raises:
            ValueError: The trial is in the top rung, where none pauses.
        """
        if trial in self._paused or (trial in self._headed and trial not in self._climbers):
            return
        climber = self._climber(trial)
        if climber.headed == self._top:
            raise ValueError(f"trial {trial} is in the top rung and runs to its end")
        self._paused.add(trial)
        self._on_rung[climber.headed] += 1
        self._running[climber.headed] -= 1
        self._rungs[climber.headed].put(trial, climber.value_at(climber.headed), waits=True)

    def paused(self) -> list[int]:
        """Returns all paused trials in the order of their numbers."""
        return sorted(self._paused)

    def next_up(self) -> int | None:
        found = self._next()
        return None if found is None else found[0]

    def on_rung(self) -> list[int]:
        return self._on_rung

    def first_in_line(self) -> list[int | None]:
        return [rung.first for rung in self._rungs]

    def rest(self, trials: int) -> int | None:
        rest, arriving = 0.0, max(0, trials - len(self._headed))
        starts = (0, *self.rungs[:-1])
        for index, (rung, start, step) in enumerate(zip(self._rungs, starts, self._ends, strict=True)):
            # A trial in its slice is taken to be half-way.
            rest += (step - start) * (arriving + self._running[index] / 2)
            reached = len(rung.results) + arriving + self._running[index]
            share = reached // self._eta if self.table is None else self._share(index)
            arriving = max(0, min(share, reached) - rung.passed)
        return round(rest)

    def promote(self) -> Promotion | None:
        """Returns the trial that goes on now, the best of the highest rung that has one; it is no longer paused."""
        found = self._next()
        if found is None:
            return None
        trial, rung = found
        decision = self._decision(trial, rung, prune=False)
        self._paused.remove(trial)
        self._on_rung[rung] -= 1
        self._rungs[rung].settle(trial)
        self._rungs[rung].passed += 1
        self._running[rung + 1] += 1
        climber = self._climbers[trial]
        self._headed[trial] = climber.headed = rung + 1
        self._enter(trial, climber, rung + 1)
        return Promotion(trial, rung + 1, decision)

    def standing(self, trial: int) -> Decision:
        """Returns why a trial does not go on: its place in the last rung in which it has a result.

        ``peers`` is the number of results there, ``threshold`` the worst value that goes on. A trial without any
        result stands with NaN at the rung it was headed for.
        """
        headed = self._headed.get(trial, 0)
        below = headed > 0 and trial not in self._rungs[headed].results
        return self._decision(trial, headed - below, prune=True)

    def held(self) -> list[tuple[int, int]]:
        """Returns, for each rung, its step and how many results it holds.

        The top rung holds the trials that were promoted into it and reached its step or completed.
        """
        return [(rung.step, len(rung.results)) for rung in self._rungs]

    def finish(self, trial: int, state: Outcome) -> None:
        headed = self._headed.setdefault(trial, 0)
        climber = self._climbers.pop(trial, None)
        if climber is None:
            return
        rung = self._rungs[headed]
        if trial in self._paused:
            self._paused.remove(trial)
            self._on_rung[headed] -= 1
        else:
            self._running[headed] -= 1
        if headed == self._top if state == "COMPLETE" else headed < len(climber.at):
            rung.put(trial, climber.value_at(headed), waits=False)
        else:
            rung.drop(trial)

    def attributes(self, trial: int) -> dict[str, float]:
        headed = self._headed.get(trial, 0)
        return {RUNG: headed} if headed else {}

    def adopt(self, trial: int, attributes: Mapping[str, Any]) -> None:
        headed = min(int(attributes.get(RUNG, 0)), self._top)
        if headed < 1:
            return
        climber = self._climber(trial)
        self._running[climber.headed] -= 1
        self._running[headed] += 1
        self._headed[trial] = climber.headed = headed
        for rung in range(headed + 1):
            self._rungs[rung].passed += rung < headed
            self._enter(trial, climber, rung)

    def _climber(self, trial: int) -> _Climber:
        climber = self._climbers.get(trial)
        if climber is None:
            climber = self._climbers[trial] = _Climber()
            self._headed[trial] = 0
            self._running[0] += 1
        return climber

    def _enter(self, trial: int, climber: _Climber, rung: int) -> None:
        """Makes a rung's result what the reports say, if the trial has passed the rung or pauses there."""
        headed = climber.headed
        waits = rung == headed and trial in self._paused
        # The top rung is never passed: a trial that reports there is in.
        if rung < headed or waits or (rung == headed == self._top and rung < len(climber.at)):
            self._rungs[rung].put(trial, climber.value_at(rung), waits=waits)

    def _share(self, rung: int) -> int:
        """Returns the number of trials of a rung that may go on."""
        if self.table is None:
            return len(self._rungs[rung].results) // self._eta
        shrunk: int = self._eta ** (rung + 1)
        return self.table // shrunk

    def _next(self) -> tuple[int, int] | None:
        """Returns the trial to be promoted and the rung it leaves."""
        if self.table is None:
            for rung in range(self._top - 1, -1, -1):
                trial = self._rungs[rung].best(self._share(rung))
                if trial is not None:
                    return trial, rung
            return None
        if len(self._headed) < self.table:
            return None
        for rung in range(self._top):
            if self._running[rung]:
                return None  # this rung is not complete, nor is any above
            share = self._share(rung)
            # A table that grew may have let others pass before; they have used up places.
            trial = self._rungs[rung].best(share) if self._rungs[rung].passed < share else None
            if trial is not None:
                return trial, rung
        return None

    def _decision(self, trial: int, rung: int, *, prune: bool) -> Decision:
        held = self._rungs[rung]
        value = held.results.get(trial, math.nan)
        return Decision(prune, self.name, held.step, value, held.threshold(self._share(rung)), len(held.results))
