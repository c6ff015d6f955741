"""Asynchronous successive halving with one ladder for all trials."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orchestrator.pruning.base import Direction
from orchestrator.pruning.ladder import Climbing, Ladder

MIN_RESOURCE = "asha_min_resource"


class AshaRule(Climbing):
    """Stops a trial at a rung unless it is among the best ``1 / reduction_factor`` there; see ``Ladder``.

    With ``min_resource`` left open it is a hundredth of the longest completed trial, at least 1, as known at
    the first decision after the first completion; until then nobody is pruned. From then on it stays as it
    is, and so it is a study attribute: a rule rebuilt later would see more completed trials and might settle
    on another one.

    Args:
        direction: Which way is better.
        min_resource: r of the paper; None estimates it.
        reduction_factor: eta of the paper.
        min_early_stopping_rate: s of the paper: rung 0 lies at step ``min_resource * reduction_factor**s``.
        bootstrap_count: See ``Ladder``.
    """

    name = "asha"

    def __init__(
        self,
        direction: Direction,
        min_resource: int | None = None,
        reduction_factor: int = 4,
        min_early_stopping_rate: int = 0,
        bootstrap_count: int = 0,
    ) -> None:
        super().__init__()
        self._direction = direction
        self._estimates = min_resource is None
        self._reduction_factor = reduction_factor
        self._min_early_stopping_rate = min_early_stopping_rate
        self._bootstrap_count = bootstrap_count
        self._min_resource: int | None = None
        self._only: Ladder | None = None
        if min_resource is not None:
            self._put_up(min_resource)

    def _put_up(self, min_resource: int) -> None:
        self._min_resource = min_resource
        first = min_resource * self._reduction_factor**self._min_early_stopping_rate
        self._only = Ladder(self._direction, first, self._reduction_factor, self._bootstrap_count)
        self._enter_all_again()

    def _ladder(self, trial: int) -> Ladder | None:  # noqa: ARG002
        return self._only

    def _settle(self) -> None:
        if self._only is None and self._longest >= 0:
            self._put_up(max(self._longest // 100, 1))

    def study_attributes(self) -> dict[str, Any]:
        return {MIN_RESOURCE: self._min_resource} if self._estimates and self._only is not None else {}

    def restore_study(self, attributes: Mapping[str, Any]) -> None:
        if self._estimates and MIN_RESOURCE in attributes:
            self._put_up(int(attributes[MIN_RESOURCE]))
