"""Replays recorded learning curves through other pruning rules: epochs saved, and whether the winner was pruned.

The order of the reports is that of their recording. When a trial ended, relative to the reports of others, is known
less well: ends have a time, reports have none. What is known bounds it: a report comes after its trial's start and
before its end, and a few have a time of their own, because a decision was kept. Within these bounds an end is placed
as early as it may be, at the soonest right after the trial's last report, since training code usually returns at once
after it. With one slot that is exact. With several, an end may be placed some reports of others too early, where an
objective goes on working after its last report.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

from orchestrator.common.errors import BadInput
from orchestrator.model.records import Recording
from orchestrator.model.trial_length import Lengths
from orchestrator.pruning import Outcome, RuleBase
from orchestrator.pruning.arguments import RuleArguments
from orchestrator.sampling import rules

Advance = Callable[[int], None]
"""Called now and then with how many more reports have been looked at."""

_STRIDE = 2048
_ENDED: frozenset[str] = frozenset({"COMPLETE", "PRUNED", "FAIL"})


@dataclass(frozen=True)
class Candidate:
    """A rule to be tried. ``label`` is how the user wrote it."""

    label: str
    table: RuleArguments


@dataclass(frozen=True)
class Result:
    """What one rule makes of a recording.

    Attributes:
        label: The rule as the user wrote it.
        rule: Its name.
        recorded: Whether this is not a replay but what was recorded.
        trained: Epochs that are trained, as far as the curves go.
        saved: Recorded epochs that this rule does not train.
        pruned: Epoch of the decision, by trial.
        cut: Trials that the recording pruned and this rule lets go on: their curves end before their training would.
        unknown: How many epochs these would have been trained further at the most; None where that cannot be said.
        best: The best completed trial that is left, with its value and its rank among all that completed.
        winner: The best of all that completed and satisfy their constraints; ``winner_pruned`` the epoch at which this
            rule prunes it.
    """

    label: str
    rule: str
    recorded: bool
    trained: int
    saved: int
    pruned: dict[int, int]
    cut: int
    unknown: int | None
    best: int | None
    value: float | None
    rank: int | None
    winner: int | None
    winner_pruned: int | None

    def to_json(self) -> dict[str, Any]:
        """Returns the object that ``replay --json`` prints for this rule."""
        value = self.value if self.value is not None and math.isfinite(self.value) else None
        return {
            "pruner": self.label,
            "rule": self.rule,
            "recorded": self.recorded,
            "epochs_trained": self.trained,
            "epochs_saved": self.saved,
            "pruned": len(self.pruned),
            "cut_off": self.cut,
            "epochs_unknown": self.unknown,
            "best": None if self.best is None else {"number": self.best, "value": value, "rank": self.rank},
            "winner": self.winner,
            "winner_pruned_at": self.winner_pruned,
        }


def check(candidates: Sequence[Candidate]) -> None:
    """Refuses what cannot be replayed.

    Raises:
        BadInput: a rule pauses trials and promotes them, instead of stopping them.
    """
    for each in candidates:
        if each.table.promotes:
            problem = "promotes trials: which ones go on depends on the slots that are free, which no recording has"
            raise BadInput(f"--pruner '{each.label}'", problem, "a replay runs rules that stop trials")


def compare(recording: Recording, candidates: Sequence[Candidate], advance: Advance = lambda _: None) -> list[Result]:
    """Returns what was recorded, and then what each rule would have made of it.

    Raises:
        BadInput: a rule cannot be made of its arguments.
    """
    check(candidates)
    rules = [_build(recording, each) for each in candidates]
    ends = place_ends(recording)
    results = [_as_recorded(recording)]
    for each, rule in zip(candidates, rules, strict=True):
        trained, pruned = fold(rule, recording, ends, advance)
        results.append(_result(recording, each.label, each.table.name, trained, pruned))
    return results


def fold(
    rule: RuleBase, recording: Recording, ends: dict[int, list[int]], advance: Advance = lambda _: None
) -> tuple[int, dict[int, int]]:
    """Tells a rule everything in order; a trial that it prunes has ended for it.

    Returns how many epochs were trained until then, and the step of the decision by trial.
    """
    pruned: dict[int, int] = {}
    lengths = Lengths(recording.study.max_steps)
    for place in range(len(recording.reports) + 1):
        if place:
            trial, step, value = recording.reports[place - 1]
            if trial not in pruned:
                lengths.add(trial, step)
                decision = rule.observe(trial, step, value)
                if decision.prune:
                    pruned[trial] = decision.step
                    rule.finish(trial, "PRUNED")
            if place % _STRIDE == 0:
                advance(_STRIDE)
        for trial in ends.get(place, ()):
            if trial not in pruned:
                if (final := recording.study.completed.get(trial)) is not None:
                    rule.result(trial, final)
                rule.finish(trial, cast(Outcome, recording.trials[trial].state))
    advance(len(recording.reports) % _STRIDE)
    return lengths.total, pruned


def place_ends(recording: Recording) -> dict[int, list[int]]:
    """Returns the trials that end, by the number of reports that come before; see the module for how."""
    trials, reports = recording.trials, recording.reports
    after: dict[int, int] = {}
    earliest, latest = [], []
    for place, (trial, step, _) in enumerate(reports, 1):
        after[trial] = place
        known = recording.moments.get((trial, step))
        started, ended = trials[trial].started, trials[trial].ended
        earliest.append(known if known is not None else -math.inf if started is None else started)
        latest.append(known if known is not None else math.inf if ended is None else ended)
    earliest = list(accumulate(earliest, max))
    latest = list(accumulate(reversed(latest), min))[::-1]
    ends: dict[int, list[int]] = {}
    by_end = [(math.inf if each.ended is None else each.ended, number) for number, each in trials.items()]
    for at, trial in sorted(by_end):
        if trials[trial].state not in _ENDED:
            continue
        certainly_before = bisect_left(latest, at)
        possibly_before = bisect_right(earliest, at)
        place = max(after.get(trial, 0), min(certainly_before, possibly_before))
        ends.setdefault(place, []).append(trial)
    return ends


def _build(recording: Recording, candidate: Candidate) -> RuleBase:
    study = recording.study
    trials = study.trials if study.spec is None else int(study.spec.get("trials", study.trials))
    try:
        return rules.build(
            candidate.table,
            study.direction,
            study_name=study.name,
            max_steps=study.max_steps,
            trials=trials,
        )
    except BadInput as error:
        raise error.within(f"--pruner '{candidate.label}'") from None


def _as_recorded(recording: Recording) -> Result:
    last: dict[int, int] = {}
    for trial, step, _ in recording.reports:
        last[trial] = max(step, last.get(trial, step))
    pruned = {number: last.get(number, -1) for number, each in recording.trials.items() if each.state == "PRUNED"}
    rule = "" if recording.study.spec is None else str((recording.study.spec.get("pruner") or {}).get("name", ""))
    return _result(recording, "as recorded", rule, _lengths(recording).total, pruned, recorded=True)


def _lengths(recording: Recording) -> Lengths:
    lengths = Lengths(recording.study.max_steps)
    for trial, step, _ in recording.reports:
        lengths.add(trial, step)
    return lengths


def _result(
    recording: Recording, label: str, rule: str, trained: int, pruned: dict[int, int], *, recorded: bool = False
) -> Result:
    study, whole = recording.study, _lengths(recording)
    order = study.ranking
    left = next((rank for rank, number in enumerate(order, 1) if number not in pruned), None)
    best = None if left is None else order[left - 1]
    cut = {number for number, each in recording.trials.items() if each.state == "PRUNED" and number not in pruned}
    unknown: int | None = None
    if study.max_steps is not None or not cut:
        unknown = max(0, len(cut) * (study.max_steps or 0) - sum(map(whole.of, cut)))
    return Result(
        label=label,
        rule=rule,
        recorded=recorded,
        trained=trained,
        saved=whole.total - trained,
        pruned=pruned,
        cut=len(cut),
        unknown=unknown,
        best=best,
        value=None if best is None else study.completed[best],
        rank=left,
        winner=order[0] if order else None,
        winner_pruned=pruned.get(order[0]) if order else None,
    )
