"""A search in the loop of a rule over learning curves that are known already: nothing is trained.

Slots run in step: each trains one epoch in turn, and asks for its next trial as soon as its trial pauses or ends. So it
knows what the slots before it have reported in this turn, and not what those after it will.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.pruning import Outcome, RuleBase
from orchestrator.pruning.pausing import PausingRule


@dataclass(frozen=True)
class Curve:
    """The recorded facts of a trial.

    Attributes:
        trial: Its number.
        reports: (step, value) in the order of recording.
        state: How it ended after the last of them; one that did not end counts as PRUNED there.
        final: Its final value, if it is COMPLETE.
    """

    trial: int
    reports: Sequence[tuple[int, float]]
    state: Outcome = "COMPLETE"
    final: float | None = None


class Epoch(NamedTuple):
    """One report; ``resumed`` is whether the trial went on in another slot than before, or later, to make it."""

    trial: int
    step: int
    value: float
    resumed: bool


class CurveLoop:
    """Runs a search.

    Args:
        rule: A new rule.
        curves: Trials start in this order.
        slots: So many run side by side.

    Attributes:
        stopped: Step at which the rule ended a trial, by its number; of one that is paused, where it is.
        ended: Trials that came to the end of their curve.
    """

    def __init__(self, rule: RuleBase, curves: Sequence[Curve], slots: int) -> None:
        self.stopped: dict[int, int] = {}
        self.ended: set[int] = set()
        self._rule = rule
        self._pausing = rule if isinstance(rule, PausingRule) else None
        self._curves = {curve.trial: curve for curve in curves}
        self._waiting = [curve.trial for curve in reversed(curves)]
        self._place = dict.fromkeys(self._curves, 0)  # reports made so far
        self._slots = slots

    def run(self) -> Iterator[Epoch]:
        """Yields each report after the rule has judged it, until there is nothing left to do."""
        running: list[tuple[int, bool] | None] = [self._choose(None) for _ in range(self._slots)]
        while True:
            for slot in range(self._slots):
                # A slot that found nothing to do asks again: another one's report may have changed that.
                now = running[slot] or self._choose(None)
                if now is None:
                    continue
                trial, resumed = now
                epoch = self._train(trial, resumed)
                running[slot] = (trial, False) if self._goes_on(trial, epoch) else self._choose(trial)
                if epoch is not None:
                    yield epoch
            if running == [None] * self._slots and not self._could_choose():
                return

    def _could_choose(self) -> bool:
        if self._waiting:
            return True
        if self._pausing is None:
            return False
        self._pausing.expect_new(False)
        return self._pausing.may_promote()

    def _choose(self, before: int | None) -> tuple[int, bool] | None:
        """Returns the trial that a free slot trains next, and whether that means to resume it; None: there is none.

        Args:
            before: The trial that the slot has trained until now; going on with it is not to resume it.
        """
        if self._pausing is not None:
            self._pausing.expect_new(bool(self._waiting))
            if (promotion := self._pausing.promote()) is not None:
                self.stopped.pop(promotion.trial)
                return promotion.trial, promotion.trial != before
        if not self._waiting:
            return None
        trial = self._waiting.pop()
        if self._pausing is not None:
            self._pausing.start(trial)
        return trial, False

    def _train(self, trial: int, resumed: bool) -> Epoch | None:
        reports, place = self._curves[trial].reports, self._place[trial]
        if place == len(reports):
            return None
        self._place[trial] = place + 1
        step, value = reports[place]
        decision = self._rule.observe(trial, step, value)
        if decision.prune:
            self.stopped[trial] = decision.step
        return Epoch(trial, step, value, resumed)

    def _goes_on(self, trial: int, epoch: Epoch | None) -> bool:
        """Returns whether the trial keeps its slot; otherwise tells the rule how the trial goes on."""
        curve = self._curves[trial]
        if trial in self.stopped:
            self._rule.finish(trial, "PRUNED")
            return False
        if self._place[trial] == len(curve.reports):
            if curve.final is not None:
                self._rule.result(trial, curve.final)
            self._rule.finish(trial, curve.state)
            self.ended.add(trial)
            return False
        until = None if self._pausing is None else self._pausing.until(trial)
        if self._pausing is not None and until is not None and epoch is not None and epoch.step >= until:
            self._pausing.pause(trial)
            self.stopped[trial] = epoch.step
            return False
        return True
