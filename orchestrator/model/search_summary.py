"""Summary of a search: trials, epochs, latencies, and the value of its rules."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from orchestrator.common.formatting import count, percent
from orchestrator.model.progress_events import Best, Optimum
from orchestrator.pruning.expectations import Calibration


class Trials(msgspec.Struct, frozen=True, kw_only=True):
    """Trials by how they ended, and those that ``waiting`` are to be asked for."""

    complete: int = 0
    pruned: int = 0
    failed: int = 0
    waiting: int = 0

    @property
    def ended(self) -> int:
        return self.complete + self.pruned + self.failed


class Epochs(msgspec.Struct, frozen=True, kw_only=True):
    """Epochs that were trained; what all trials in full length take; what pruned trials did not train.

    ``budget`` and ``saved`` are ``None`` where the length of a full trial is not known.
    """

    trained: int = 0
    budget: int | None = None
    saved: int | None = None


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """The ends of the condemned trials that ran on.

    ``better`` counts those that ended better than the median of the completed trials that were not condemned:
    wrongly condemned. ``best`` counts those that ended better than all of these.
    """

    condemned: int
    completed: int
    better: int
    best: int

    def lines(self) -> list[str]:
        """Returns the figures in words: one line, and a second one if a trial completed."""
        lines = [f"{count(self.condemned, 'condemned trial')} ran on, {self.completed} completed"]
        if self.completed:
            share = percent(self.better, self.completed)
            lines.append(f"{self.better} ({share}) ended better than the median trial, {self.best} as the best")
        return lines


class Shadow(msgspec.Struct, frozen=True, kw_only=True):
    """What the shadow rule would have done. ``saved`` counts epochs; ``winner`` says whether it would have pruned the
    best trial."""

    rule: str
    pruned: int
    saved: int
    winner: bool

    def lines(self) -> list[str]:
        """Returns the figures in words: two lines."""
        saved = f"{self.rule} would have pruned {count(self.pruned, 'trial')}: {count(self.saved, 'epoch')} less"
        return [saved, "the winner among them" if self.winner else "the winner not among them"]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """The model of the best trial: what the objective called it, its id in the artifact store, and where that is."""

    filename: str
    artifact_id: str
    location: str


class NotStored(msgspec.Struct, frozen=True, kw_only=True):
    """A model that a trial saved and that could not be stored, and why."""

    trial: int
    filename: str
    problem: str


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A search that is over. ``storage`` shows no password; the times are what ``percentiles`` returns.

    Of several objectives there is no ``best``, but the Pareto ``front``, by first value. ``rungs`` holds (step, number
    of trials that reached it) where trials are promoted; ``calibration`` says how far predicted ends came true, where
    the rule predicts them. ``wall_s`` is how long this run took; ``slot_s`` how long all trials together had a slot,
    also before it, and ``None`` where no attempt has ended.
    """

    study: str
    storage: str
    state: str
    reason: str = ""
    best: Best | None = None
    front: tuple[Optimum, ...] | None = None
    model: Model | None = None
    not_stored: tuple[NotStored, ...] = ()
    trials: Trials = Trials()
    epochs: Epochs = Epochs()
    prune_latency_ms: dict[str, float] | None = None
    slot_gap_ms: dict[str, float] | None = None
    rungs: tuple[tuple[int, int], ...] = ()
    audit: Audit | None = None
    shadow: Shadow | None = None
    calibration: Calibration | None = None
    wall_s: float = 0.0
    slot_s: float | None = None


def percentiles(seconds: Sequence[float]) -> dict[str, float] | None:
    """Returns p50 and p99 by nearest rank, in milliseconds to 0.01, and of how many; ``None`` where nothing was
    measured."""
    ordered = sorted(value for value in seconds if math.isfinite(value))
    if not ordered:
        return None
    # Whole numbers: 0.99 * 100 is not 99 in floats, and its ceiling another rank.
    ranks = {f"p{p}": round(ordered[-(-p * len(ordered) // 100) - 1] * 1000, 2) for p in (50, 99)}
    return ranks | {"count": len(ordered)}
