"""The rules that are compared: this program's, Optuna's own pruners, and the baseline that every rule must beat."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from typing import Any

from orchestrator.pruning import Decision, Outcome, registry
from orchestrator.pruning.base import RuleBase
from orchestrator.pruning.pausing import PausingRule, Promotion
from orchestrator.sampling import rules
from tests.bench.search.tables import Table

ALL = "all for one epoch, then the best"
RULES: Mapping[str, dict[str, Any]] = {
    "none": {"name": "none"},
    "median, no warm-up": {"name": "median"},
    "median, the default": registry.DEFAULT.model_dump(),
    "median (2, 5, 3)": {"name": "median", "n_startup_trials": 2, "n_warmup_steps": 5, "interval_steps": 3},
    "asha, stopping": {"name": "asha", "min_resource": 1, "reduction_factor": 3},
    "hyperband": {"name": "hyperband", "min_resource": 1, "reduction_factor": 3},
    "asha, promotion": {"name": "asha", "mode": "promotion", "min_resource": 1, "reduction_factor": 3},
    "index, stopping": {"name": "index", "mode": "stopping"},
    "index": {"name": "index"},
}
"""Each [pruner] by the label that it has in the tables; hyperband's ``max_resource`` is the table's length."""

OPTUNAS: Mapping[str, dict[str, Any]] = {
    "Optuna's MedianPruner": {
        "name": "optuna.pruners:MedianPruner",
        "n_startup_trials": 2,
        "n_warmup_steps": 5,
        "interval_steps": 3,
    },
    "Optuna's SuccessiveHalvingPruner": {
        "name": "optuna.pruners:SuccessiveHalvingPruner",
        "min_resource": 1,
        "reduction_factor": 3,
    },
    "Optuna's HyperbandPruner": {
        "name": "optuna.pruners:HyperbandPruner",
        "min_resource": 1,
        "reduction_factor": 3,
    },
}


def make(label: str, table: Table) -> RuleBase:
    """Returns a new rule for a search over a table."""
    if label == ALL:
        return OneEpochRule(table.epochs)
    given = dict(RULES.get(label) or OPTUNAS[label])
    if given["name"].lower().endswith(("hyperband", "hyperbandpruner")):
        given["max_resource"] = table.epochs
    arguments = registry.read(given)
    count = len(table.curves)
    return rules.build(arguments, "maximize", study_name="bench", max_steps=table.epochs, trials=count)


class OneEpochRule(PausingRule):
    """Trains every configuration for one epoch; then the best of them to their end, one after the other."""

    def __init__(self, epochs: int) -> None:
        super().__init__(ALL)
        self.rungs = (1, epochs)
        self._waiting: list[tuple[float, int]] = []
        self._promoted: set[int] = set()
        self._first: dict[int, float] = {}
        self._more = True

    def expect_new(self, more: bool) -> None:
        self._more = more

    def until(self, trial: int) -> int | None:
        return None if trial in self._promoted else 1

    def beyond(self, trial: int) -> int | None:
        return None if trial in self._promoted else self.rungs[1]

    def record(self, trial: int, step: int, value: float) -> None:
        if step == 1:
            self._first[trial] = value

    def judge(self, trial: int) -> Decision:
        return Decision(False, self.name, 1, self._first[trial], None, 0)

    def pause(self, trial: int) -> None:
        if not math.isnan(self._first[trial]):
            heapq.heappush(self._waiting, (-self._first[trial], trial))

    def paused(self) -> list[int]:
        return sorted(trial for _, trial in self._waiting)

    def next_up(self) -> int | None:
        return self._waiting[0][1] if self._waiting and not self._more else None

    def on_rung(self) -> list[int]:
        return [len(self._waiting), 0]

    def first_in_line(self) -> list[int | None]:
        return [self.next_up(), None]

    def promote(self) -> Promotion | None:
        trial = self.next_up()
        if trial is None:
            return None
        heapq.heappop(self._waiting)
        self._promoted.add(trial)
        return Promotion(trial, 1, self.judge(trial))

    def standing(self, trial: int) -> Decision:
        return self.judge(trial)

    def held(self) -> list[tuple[int, int]]:
        return [(1, len(self._first)), (self.rungs[1], len(self._promoted))]

    def finish(self, trial: int, state: Outcome) -> None:
        """A trial that has ended is in no heap."""
