"""Recommends a pruning rule from recorded studies: many rules search among their curves, in many orders.

A rule is judged by two figures: the share of the recorded epochs that it trains, and its loss, the distance of the best
trial that it trains to the end to the best of all, in units of the distance from the best to the median of the
completed ones. The recommended rule trains the fewest epochs among those whose loss is small even if it is two standard
errors larger than measured.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.common.faults import Fault
from orchestrator.model.records import Recording
from orchestrator.pruning import RuleBase
from orchestrator.pruning.arguments import RuleArguments
from orchestrator.queries.curve_loop import Curve, CurveLoop
from orchestrator.queries.replay import curves, side_by_side, steps_for
from orchestrator.sampling import rules
from orchestrator.spec.inline_pruner import read_pruner

ORDERS = 8
"""Orders in which the trials of a study start: that of the recording, and others drawn with a fixed seed."""

TOLERATED = 0.05
"""The largest loss of a rule that is recommended."""

ENOUGH = 20
"""With fewer completed trials in all studies together, rules can hardly be told apart."""

_STOPPING = (
    "none",
    *(f"median n_startup_trials={first} n_warmup_steps={warm}" for first in (2, 5) for warm in (0, 3, 5)),
    *(f"asha min_resource={first} reduction_factor={factor}" for first in (1, 3) for factor in (2, 3, 4)),
    'index mode="stopping"',
)
_PROMOTING = (*(f'asha mode="promotion" reduction_factor={factor}' for factor in (2, 3, 4)), "index")
RULES = (*_STOPPING, *_PROMOTING)


@dataclass(frozen=True)
class Judged:
    """The result of one rule on the studies.

    Attributes:
        label: The rule, as ``--pruner`` takes it.
        promotes: Whether it needs checkpoints.
        searches: Studies times orders.
        epochs: Share of the recorded epochs that it trains, a mean.
        loss: See the module; a mean.
        epochs_error, loss_error: Standard errors of these means.
        kept: Share of the searches that train the winner to its end.
    """

    label: str
    promotes: bool
    searches: int
    epochs: float
    epochs_error: float
    loss: float
    loss_error: float
    kept: float

    @property
    def is_safe(self) -> bool:
        """Whether the loss is small even if it is two standard errors larger than measured."""
        return self.loss + 2 * self.loss_error <= TOLERATED


def judge(recordings: Sequence[Recording], advance: Callable[[int], None] = lambda _: None) -> list[Judged]:
    """Returns each rule that can be tried on all of the studies; calls ``advance`` with 1 after each of ``RULES``."""
    found = []
    usable = [recording for recording in recordings if recording.study.completed and recording.reports]
    for label in RULES:
        table = read_pruner(label, "rule")
        if usable and all(_is_possible(table, recording) for recording in usable):
            found.append(_judged(label, table, usable))
        advance(1)
    return found


def recommend(judged: Sequence[Judged], *, promotes: bool) -> Judged | None:
    """Returns the safe rule that trains the fewest epochs, among those that need checkpoints or those that do not."""
    safe = [each for each in judged if each.promotes is promotes and each.is_safe]
    return min(safe, key=lambda each: each.epochs, default=None)


def _is_possible(table: RuleArguments, recording: Recording) -> bool:
    if not table.needs_max_steps:
        return True
    try:
        table.check_steps(steps_for(table, recording), ())
    except Fault:
        return False
    return True


def _judged(label: str, table: RuleArguments, recordings: Sequence[Recording]) -> Judged:
    figures = [each for recording in recordings for each in _searches(table, recording)]
    shares, losses, kept = zip(*figures, strict=True)
    return Judged(
        label=label,
        promotes=table.promotes,
        searches=len(figures),
        epochs=statistics.fmean(shares),
        epochs_error=_error(shares),
        loss=statistics.fmean(losses),
        loss_error=_error(losses),
        kept=statistics.fmean(kept),
    )


def _searches(table: RuleArguments, recording: Recording) -> list[tuple[float, float, bool]]:
    """Returns the share of epochs, the loss, and whether the winner was trained to its end, for each order."""
    study, recorded = recording.study, curves(recording)
    slots, whole = side_by_side(recording), len(recording.reports)
    winner = study.ranking[0] if study.ranking else min(study.completed)
    best = study.completed[winner]
    scale = abs(best - statistics.median(study.completed.values())) or 1.0
    # A rule that trains no trial to its end has found nothing, however alike the completed ones are.
    worst = max(1.0, *(abs(best - value) / scale for value in study.completed.values()))
    found = []
    for turn in range(ORDERS):
        order = list(recorded)
        if turn:
            random.Random(turn).shuffle(order)
        trained, left = _run(_rule(table, recording), order, slots)
        losses = [abs(best - study.completed[trial]) / scale for trial in left if trial in study.completed]
        found.append((trained / whole, min(losses, default=worst), winner in left))
    return found


def _run(rule: RuleBase, order: Sequence[Curve], slots: int) -> tuple[int, set[int]]:
    loop = CurveLoop(rule, order, slots)
    return sum(1 for _ in loop.run()), loop.ended


def _rule(table: RuleArguments, recording: Recording) -> RuleBase:
    study = recording.study
    max_steps = steps_for(table, recording)
    return rules.build(table, study.direction, study_name=study.name, max_steps=max_steps, trials=len(recording.trials))


def _error(values: Sequence[float]) -> float:
    return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
