"""Hyperband: several ladders that start at different steps, and trials dealt out among them."""

from __future__ import annotations

import math
from binascii import crc32
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Any, Literal

from pydantic import model_validator

from orchestrator.common.faults import Fault
from orchestrator.common.field_types import Count
from orchestrator.pruning.arguments import Search
from orchestrator.pruning.base import Direction
from orchestrator.pruning.ladder import Factor, Ladder, Resource, RungArguments, RungRule, RungWords, check_first_rung

MAX_RESOURCE = "hyperband_max_resource"


class HyperbandWords(RungWords):
    """As for every rule with rungs."""

    default_factor = 3


class HyperbandArguments(RungArguments):
    """As ``optuna.pruners.HyperbandPruner``: successive halving in several brackets, each with another first rung.

    Attributes:
        min_resource: The first rung's step in the first bracket.
        max_resource: The step of a full trial. ``"auto"`` learns it from completed trials.

    Example:
        [pruner]
        name = "hyperband"
        min_resource = 1
        max_resource = 27
    """

    words = HyperbandWords

    name: Literal["hyperband"] = "hyperband"
    min_resource: Count = 1
    max_resource: Resource = "auto"
    reduction_factor: Factor = 3

    @model_validator(mode="after")
    def _check(self) -> HyperbandArguments:
        self._check_bootstrap("max_resource")
        if self.max_resource != "auto" and self.min_resource > self.max_resource:
            problem = f"is {self.min_resource}, above max_resource, which is {self.max_resource}"
            raise Fault(problem, "it must be at most that", ("min_resource",))
        return self

    def build(self, search: Search) -> HyperbandRule:
        return HyperbandRule(self, search.direction, search.study_name)

    def check_steps(self, max_steps: int | None, key: tuple[str, ...]) -> None:
        if max_steps is not None:
            check_first_rung(self.min_resource, max_steps, key)


class HyperbandRule(RungRule):
    """Hedges asha's choice of the first rung (Li et al., "Hyperband", JMLR 18, 2018, algorithm 1).

    There are ``floor(log_eta(max_resource / min_resource)) + 1`` brackets, eta being ``reduction_factor``; bracket b is
    a ladder whose rung 0 lies at ``min_resource * eta**b``. A trial belongs to one of them for life, drawn by a
    checksum of study name and trial number, exactly as Optuna draws it (samplers that look at brackets must agree),
    with odds as the paper allots trials.

    An automatic ``max_resource`` is one more than the last step of the longest completed trial, as known at the first
    decision after the first completion; until then no trial is pruned. It then stays, as a study attribute.

    Args:
        arguments: See ``HyperbandArguments``.
        direction: Which way is better.
        study_name: Name of the study, for the draw.

    Attributes:
        max_resource: As given, or as it was settled; None until then.
    """

    def __init__(self, arguments: HyperbandArguments, direction: Direction, study_name: str) -> None:
        super().__init__(arguments.name)
        self._direction = direction
        self._study_name = study_name
        self._estimates = arguments.max_resource == "auto"
        self.min_resource = arguments.min_resource
        self.reduction_factor = arguments.reduction_factor
        self._bootstrap_count = arguments.bootstrap_count
        self.max_resource: int | None = None
        self._brackets: list[Ladder] = []
        self._shares: list[int] = []
        if not self._estimates:
            self._put_up(arguments.max_resource)

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
        """Returns which ladder a trial climbs, once there are any."""
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
