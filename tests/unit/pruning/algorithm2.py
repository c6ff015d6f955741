"""Successive halving with promotions, plainly: everything is found anew from what happened, each time it is asked.

Written from Li et al., "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020: ``get_job`` of algorithm 2,
and algorithm 1 for a table of known size. Two things are added that the paper leaves out: trials may fail or end
early, and values may be NaN.
"""

from __future__ import annotations

import math

from orchestrator.pruning import Direction, Outcome


class Reference:
    """Knows every trial's reports in their order, where it is headed, whether it is paused and how it ended."""

    def __init__(self, direction: Direction, r: int, R: int, eta: int, s: int = 0, n: int | None = None) -> None:
        self.sign = -1 if direction == "maximize" else 1
        self.eta, self.n = eta, n
        self.steps = [r * eta ** (s + k) for k in range(100) if r * eta ** (s + k) <= R]
        self.top_rung = len(self.steps) - 1
        self.reports: dict[int, dict[int, float]] = {}
        self.headed: dict[int, int] = {}
        self.paused: set[int] = set()
        self.ended: dict[int, Outcome] = {}

    def start(self, trial: int) -> None:
        self.reports[trial] = {}
        self.headed[trial] = 0

    def end(self, trial: int, state: Outcome) -> None:
        self.paused.discard(trial)
        self.ended[trial] = state

    def value(self, trial: int, rung: int) -> float:
        for step, value in sorted(self.reports[trial].items(), key=lambda report: report[0]):
            if step >= self.steps[rung]:
                return value
        return math.nan

    def _is_in(self, trial: int, rung: int) -> bool:
        reported = max(self.reports[trial], default=-1) >= self.steps[rung]
        if self.headed[trial] != rung:
            return self.headed[trial] > rung
        if self.ended.get(trial) == "COMPLETE":
            return rung == self.top_rung
        if trial in self.ended or rung == self.top_rung:
            return reported
        return trial in self.paused

    def rung(self, k: int) -> list[int]:
        """The trials with a result in rung k, best first."""
        values = {trial: self.value(trial, k) for trial in self.headed if self._is_in(trial, k)}
        return sorted(values, key=lambda trial: (math.isnan(values[trial]), self._score(values[trial]), trial))

    def _score(self, value: float) -> float:
        return 0.0 if math.isnan(value) else self.sign * value

    def share(self, k: int) -> list[int]:
        """The trials of rung k that are good enough to go on, best first."""
        rung = self.rung(k)
        return rung[: len(rung) // self.eta if self.n is None else self.n // self.eta ** (k + 1)]

    def candidates(self, k: int) -> list[int]:
        """Those of them that have not gone on yet, and can."""
        return [
            trial
            for trial in self.share(k)
            if self.headed[trial] == k and trial in self.paused and not math.isnan(self.value(trial, k))
        ]

    def get_job(self) -> tuple[int, int] | None:
        """The trial to promote and the rung it goes to; None where a new configuration is wanted, or nothing."""
        for k in reversed(range(self.top_rung)) if self.n is None else range(self.top_rung):
            if self.n is not None and not self._complete(k):
                return None
            candidates = self.candidates(k)
            if self.n is not None and sum(headed > k for headed in self.headed.values()) >= self.n // self.eta ** (
                k + 1
            ):
                continue  # all places are taken
            if candidates:
                return candidates[0], k + 1
        return None

    def promote(self, trial: int) -> None:
        self.paused.remove(trial)
        self.headed[trial] += 1

    def _complete(self, k: int) -> bool:
        """Whether all of the table has been through the rungs up to k."""
        assert self.n is not None
        running = set(self.headed) - set(self.ended) - self.paused
        return len(self.headed) >= self.n and not any(self.headed[trial] <= k for trial in running)

    def held(self) -> list[tuple[int, int]]:
        return [(step, len(self.rung(k))) for k, step in enumerate(self.steps)]
