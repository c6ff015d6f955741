"""Compares studies: what differs in their specs, their best trials, how soon they found them, what they cost."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.common.errors import BadInput
from orchestrator.common.faults import dotted
from orchestrator.queries.best_trials import BestTrial, read_best_trials
from orchestrator.queries.study_cost import Cost

if TYPE_CHECKING:
    from orchestrator.model.records import TrialHead
    from orchestrator.model.study_status import Overview
    from orchestrator.queries.study_reader import StudyReader

_OF_THE_RUN = ("format", "name", "run")
"""Keys of a stored spec in which no two studies are alike."""


@dataclass(frozen=True)
class ComparedStudy:
    """One of the studies.

    Attributes:
        spec: Its spec with secrets masked, flattened: value by dotted key; empty where only Optuna has run it.
        best: The best trial, or those of the Pareto front.
        curve: (epochs trained so far, best value so far) at each trial that improved on it; empty where there are
            several objectives. Epochs count when their trial ends; where no trial has reported any, a trial counts 1.
        epochs: Epochs that were trained, as ``curve`` counts them.
    """

    overview: Overview
    spec: Mapping[str, Any]
    directions: tuple[str, ...]
    best: Sequence[BestTrial]
    curve: Sequence[tuple[int, float]]
    epochs: int
    cost: Cost | None

    @property
    def name(self) -> str:
        return self.overview.progress.study

    def best_after(self, epochs: int) -> float | None:
        """Returns the best value after so many epochs; ``None`` where there was none yet."""
        return next((value for at, value in reversed(self.curve) if at <= epochs), None)


@dataclass(frozen=True)
class Comparison:
    """Attributes:
    studies: In the order in which they were named.
    differences: By dotted key of the spec the values of all studies, where they differ; ``None`` where it is not set.
    """

    studies: Sequence[ComparedStudy]
    differences: Mapping[str, Sequence[Any]]

    @property
    def alike(self) -> bool:
        """Whether the best values can be compared: one objective each, in one direction."""
        return len({each.directions for each in self.studies}) == 1 and len(self.studies[0].directions) == 1

    @property
    def marks(self) -> list[int]:
        """Numbers of epochs at which all curves can be compared: shares of the shortest search."""
        shortest = min((each.epochs for each in self.studies), default=0)
        return sorted({max(1, round(share * shortest)) for share in (0.1, 0.25, 0.5, 1.0)} if shortest else set())


def compare(reader: StudyReader, names: Iterable[str], now: float) -> Comparison:
    """Returns how these studies compare; ``now`` is in seconds since the epoch.

    Raises:
        BadInput: there is no such study, or only one is named.
    """
    names = list(dict.fromkeys(names))
    for name in names:
        reader.study_id(name)
    if len(names) < 2:
        raise BadInput("compare", "needs two studies", f"name another one beside '{names[0]}'")
    studies = [_read(reader, name, now) for name in names]
    having = [each for each in studies if each.spec]
    # What one study alone has a spec for differs from nothing.
    keys = dict.fromkeys(key for each in having for key in each.spec) if len(having) > 1 else {}
    values = {key: [each.spec.get(key) for each in studies] for key in keys}
    # As JSON: Python calls 1, 1.0 and True equal.
    differing = {key: found for key, found in values.items() if len({json.dumps(each) for each in found}) > 1}
    return Comparison(studies, differing)


def _read(reader: StudyReader, name: str, now: float) -> ComparedStudy:
    listing = reader.trials(name)
    heads = listing.heads()
    overview = reader.overview(name)
    spec: dict[str, Any] = {}
    if reader.is_ours(name):
        spec = dict(_flat({key: value for key, value in reader.spec(name).shown().items() if key not in _OF_THE_RUN}))
    curve: list[tuple[int, float]] = []
    if len(listing.directions) == 1:
        curve = list(_curve(heads, maximize=listing.directions[0] == "maximize"))
    return ComparedStudy(
        overview,
        spec,
        listing.directions,
        read_best_trials(reader, name),
        curve,
        sum(_lengths(heads).values()),
        reader.cost(name, now),
    )


def _lengths(heads: Sequence[TrialHead]) -> dict[int, int]:
    reports = any(head.epochs for head in heads)
    return {head.number: head.epochs if reports else 1 for head in heads if head.ended is not None}


def _curve(heads: Sequence[TrialHead], *, maximize: bool) -> Iterator[tuple[int, float]]:
    lengths, trained = _lengths(heads), 0
    best: float | None = None
    ended = [(head.ended, head) for head in heads if head.ended is not None]
    for _, head in sorted(ended, key=lambda each: (each[0], each[1].number)):
        trained += lengths[head.number]
        if head.state != "COMPLETE" or not head.feasible or not head.values:
            continue
        value = head.values[0]
        if best is None or (value > best if maximize else value < best):
            best = value
            yield trained, value


def _flat(table: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, (*above, key))
        elif value not in (None, {}):
            yield dotted((*above, key)), value
