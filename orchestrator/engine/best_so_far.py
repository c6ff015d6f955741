"""The best trial of a study so far, and the unfinished one that leads."""

from __future__ import annotations

import math
from heapq import heapify, heappop, heappush

import optuna
from optuna.trial import FrozenTrial

from orchestrator.model.progress_events import Best, Leading
from orchestrator.sampling.best_trials import BestTrials
from orchestrator.sampling.staged_storage import StagedStorage

_SPARE = 64


class BestSoFar:
    """Follows ends and reports; neither costs more where more trials are open.

    Args:
        study: The study as Optuna's own code reads it.
        storage: Its storage.
        maximize: Whether larger values are better; ``None`` where there are several objectives, which reports say
            nothing of.
    """

    def __init__(self, study: optuna.Study, storage: StagedStorage, *, maximize: bool | None) -> None:
        self._best = BestTrials(study)
        self._storage = storage
        self._sign = None if maximize is None else (-1.0 if maximize else 1.0)
        # Of each open trial its last step and score, the smallest score the best; and a heap in which some are stale.
        self._last: dict[int, tuple[int, float]] = {}
        self._heap: list[tuple[float, int]] = []

    def add(self, trial: FrozenTrial) -> None:
        """Takes in a trial that has completed."""
        self._best.add(trial)

    def read(self) -> tuple[Best | None, int | None]:
        """Returns the best trial, and the size of the Pareto front where there are several objectives."""
        return self._best.read()

    def restore(self, trial: FrozenTrial) -> None:
        """Takes in the reports of a stored trial that has not ended."""
        if (step := trial.last_step) is not None and not trial.state.is_finished():
            self.report(trial.number, step, trial.intermediate_values[step])

    def report(self, number: int, step: int, value: float) -> None:
        """Takes in a report; one of an earlier step than the trial's last one changes nothing."""
        if self._sign is None or step < self._last.get(number, (step, 0.0))[0]:
            return
        score = math.inf if math.isnan(value) else self._sign * value
        self._last[number] = step, score
        heappush(self._heap, (score, number))
        if len(self._heap) > 2 * len(self._last) + _SPARE:
            self._heap = [(kept, each) for each, (_, kept) in self._last.items()]
            heapify(self._heap)

    def drop(self, number: int) -> None:
        """Forgets the reports of a trial that has ended."""
        self._last.pop(number, None)

    def leading(self) -> Leading | None:
        """Returns the open trial whose last report is better than the best trial, and than those of all others."""
        heap, best = self._heap, self.read()[0]
        while heap and self._last.get(heap[0][1], (0, None))[1] != heap[0][0]:
            heappop(heap)
        if not heap or self._sign is None or math.isinf(heap[0][0]):
            return None
        score, number = heap[0]
        if best is not None and self._sign * best.value <= score:
            return None
        trial, ahead = self._storage.get_trial(number), self._storage.ahead(number)
        return Leading(
            number=number,
            value=self._sign * score,
            step=self._last[number][0],
            params={name: value for name, value in trial.params.items() if name not in ahead},
        )
