"""Hyperband: several ladders that start at different steps, and trials dealt out among them."""

from __future__ import annotations

import math
from binascii import crc32
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from orchestrator.pruning.base import Direction
from orchestrator.pruning.ladder import Climbing, Ladder

MAX_RESOURCE = "hyperband_max_resource"


class HyperbandRule(Climbing):
    """Hedges asha's choice of the first rung (Li et al., "Hyperband", JMLR 18, 2018, algorithm 1).

    There are ``floor(log_eta(max_resource / min_resource)) + 1`` brackets; bracket b is a ladder whose rung 0
    lies at ``min_resource * eta**b``. A trial belongs to one of them for life, drawn by a checksum of study
    name and trial number, exactly as Optuna draws it (samplers that look at brackets must agree), with odds
    as the paper allots trials.

    With ``max_resource`` left open it is one more than the last step of the longest completed trial, as known
    at the first decision after the first completion; until then nobody is pruned. It then stays, as a study
    attribute.

    Args:
        direction: Which way is better.
        study_name: Name of the study, for the draw.
        min_resource: r of the paper.
        max_resource: R of the paper times ``min_resource``; None estimates it.
        reduction_factor: eta of the paper.
        bootstrap_count: See ``Ladder``.

    Attributes:
        max_resource: As given, or as it was settled; None until then.
    """

    name = "hyperband"

    def __init__(
        self,
        direction: Direction,
        study_name: str,
        min_resource: int = 1,
        max_resource: int | None = None,
        reduction_factor: int = 3,
        bootstrap_count: int = 0,
    ) -> None:
        super().__init__()
        self._direction = direction
        self._study_name = study_name
        self._estimates = max_resource is None
        self.min_resource = min_resource
        self.reduction_factor = reduction_factor
        self._bootstrap_count = bootstrap_count
        self.max_resource: int | None = None
        self._brackets: list[Ladder] = []
        self._shares: list[int] = []
        if max_resource is not None:
            self._put_up(max_resource)

    def _put_up(self, max_resource: int) -> None:
        self.max_resource = max_resource
        eta = self.reduction_factor
        # Rounding included: log(243, 3) is a hair below 5, and Optuna has one bracket less there, too.
        count = math.floor(math.log(max_resource / self.min_resource, eta)) + 1
        for bracket in range(count):  # none at all where no trial can reach min_resource
            first = self.min_resource * eta**bracket
            self._brackets.append(Ladder(self._direction, first, eta, self._bootstrap_count))
        rungs = range(count, 0, -1)
        self._shares = list(accumulate(math.ceil(count * eta ** (left - 1) / left) for left in rungs))
        self._enter_all_again()

    def bracket(self, trial: int) -> int:
        """Which ladder a trial climbs, once there are any."""
        drawn = crc32(f"{self._study_name}_{trial}".encode()) % self._shares[-1]
        return bisect_right(self._shares, drawn)

    def _ladder(self, trial: int) -> Ladder | None:
        return self._brackets[self.bracket(trial)] if self._brackets else None

    def _settle(self) -> None:
        if self.max_resource is None and self._longest >= 0:
            self._put_up(self._longest + 1)

    def study_attributes(self) -> dict[str, Any]:
        settled = self._estimates and self.max_resource is not None
        return {MAX_RESOURCE: self.max_resource} if settled else {}

    def restore_study(self, attributes: Mapping[str, Any]) -> None:
        if self._estimates and MAX_RESOURCE in attributes:
            self._put_up(int(attributes[MAX_RESOURCE]))
