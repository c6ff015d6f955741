"""Replays recorded learning curves through other pruning rules: epochs saved, and whether the winner was pruned.

The order of the reports is that of their recording. When a trial ended, relative to the reports of others, is known
less well: ends have a time, reports have none. What is known bounds it: a report comes after its trial's start and
before its end, and a few have a time of their own, because a decision was kept. Within these bounds an end is placed
as early as it may be, at the soonest right after the trial's last report, since training code usually returns at once
after it. With one slot that is exact. With several, an end may be placed some reports of others too early, where an
objective goes on working after its last report.

A rule that promotes chooses itself which trial goes on when a slot is free. So its replay is a search of its own over
the recorded curves, in the order in which the trials began and with as many slots as trained side by side. After the
last of them it would have asked for new trials, about which nothing is known.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, cast

from orchestrator.common.errors import BadInput
from orchestrator.common.faults import Fault
from orchestrator.model.records import Recording
from orchestrator.model.trial_length import Lengths
from orchestrator.pruning import Outcome, RuleBase, registry
from orchestrator.pruning.arguments import RuleArguments
from orchestrator.pruning.pausing import PausingRule
from orchestrator.queries.curve_loop import Curve, CurveLoop
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
    """The result of one rule on a recording.

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
        promotes: Whether the rule would have asked for other trials than the recorded ones in the end.
        assumed: The ``max_steps`` that the rule was given where the study says none; None where it needs none.
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
    promotes: bool = False
    assumed: int | None = None

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
            "next_unknown": self.promotes,
        }


def compare(recording: Recording, candidates: Sequence[Candidate], advance: Advance = lambda _: None) -> list[Result]:
    """Returns what was recorded, and then what each rule would have made of it.

    Raises:
        BadInput: a rule cannot be made of its arguments, or not for this study.
    """
    rules = [_build(recording, each) for each in candidates]
    ends = place_ends(recording)
    results = [_as_recorded(recording)]
    for each, rule in zip(candidates, rules, strict=True):
        if isinstance(rule, PausingRule):
            trained, pruned = fold_pausing(rule, recording, advance)
        else:
            trained, pruned = fold(rule, recording, ends, advance)
        results.append(_result(recording, each.label, each.table, trained, pruned))
    return results


@dataclass(frozen=True)
class Together:
    """The result of one rule on several recordings.

    Attributes:
        label: The rule as the user wrote it.
        studies: How many there are.
        trained: Epochs that are trained, in all of them.
        recorded: Epochs that were recorded.
        kept: In how many the winner is kept, among those that have one.
        winners: How many have one.
        cut: Trials that the recordings pruned and this rule lets go on.
    """

    label: str
    studies: int
    trained: int
    recorded: int
    kept: int
    winners: int
    cut: int

    def to_json(self) -> dict[str, Any]:
        """Returns the object that ``replay --json`` prints for this rule."""
        return {
            "pruner": self.label,
            "studies": self.studies,
            "epochs_trained": self.trained,
            "epochs_recorded": self.recorded,
            "winners_kept": self.kept,
            "winners": self.winners,
            "cut_off": self.cut,
        }


def together(results: Sequence[Sequence[Result]]) -> list[Together]:
    """Returns the sums over studies; ``results`` are those of ``compare``, for each study, of the same rules."""
    found = []
    for each in zip(*results, strict=True):
        won = [result for result in each if result.winner is not None]
        found.append(
            Together(
                label=each[0].label,
                studies=len(each),
                trained=sum(result.trained for result in each),
                recorded=sum(result.trained + result.saved for result in each),
                kept=sum(result.winner_pruned is None for result in won),
                winners=len(won),
                cut=sum(result.cut for result in each),
            )
        )
    return found


def curves(recording: Recording) -> list[Curve]:
    """Returns the trials that have reported, in the order of their first reports."""
    reports: dict[int, list[tuple[int, float]]] = {}
    for trial, step, value in recording.reports:
        reports.setdefault(trial, []).append((step, value))
    found = []
    for trial, made in reports.items():
        state = recording.trials[trial].state
        outcome = cast(Outcome, state) if state in _ENDED else "PRUNED"
        found.append(Curve(trial, made, outcome, recording.study.completed.get(trial)))
    return found


def side_by_side(recording: Recording) -> int:
    """Returns how many trials were trained at once: the most that had begun to report, had not ended and were not
    paused, at any report."""
    left = Counter(trial for trial, _, _ in recording.reports)
    rungs, reached = _recorded_rungs(recording), dict.fromkeys(left, 0)
    running: set[int] = set()
    most = 1
    for trial, step, _ in recording.reports:
        running.add(trial)
        most = max(most, len(running))
        left[trial] -= 1
        before, reached[trial] = reached[trial], max(reached[trial], bisect_right(rungs, step))
        if not left[trial] or reached[trial] > before:
            running.remove(trial)
    return most


def _recorded_rungs(recording: Recording) -> Sequence[int]:
    """Returns the rungs at which trials paused; empty where the study's rule pauses none."""
    pruner = (recording.study.spec or {}).get("pruner")
    table = registry.read(pruner) if pruner else None
    if table is None or not table.promotes:
        return ()
    rule = _made(table, recording)
    return rule.rungs if isinstance(rule, PausingRule) else ()


def steps_for(table: RuleArguments, recording: Recording) -> int | None:
    """Returns the ``max_steps`` that a rule is tried with: the study's; where it says none and the rule needs one, the
    largest step of a completed trial."""
    study = recording.study
    if study.max_steps is not None or not table.needs_max_steps:
        return study.max_steps
    return max((step for trial, step, _ in recording.reports if trial in study.completed), default=None)


def fold_pausing(
    rule: PausingRule, recording: Recording, advance: Advance = lambda _: None
) -> tuple[int, dict[int, int]]:
    """Lets a rule that promotes search among the recorded curves; returns as ``fold`` does.

    A trial that is paused at the end counts as pruned there.
    """
    lengths = Lengths(recording.study.max_steps)
    loop = CurveLoop(rule, curves(recording), side_by_side(recording))
    for epoch in loop.run():
        lengths.add(epoch.trial, epoch.step)
    advance(len(recording.reports))
    return lengths.total, loop.stopped


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
    try:
        candidate.table.check_steps(steps_for(candidate.table, recording), ())
        return _made(candidate.table, recording)
    except Fault as fault:
        raise fault.blame(f"rule '{candidate.label}', for study '{recording.study.name}'") from None
    except BadInput as error:
        raise error.within(f"rule '{candidate.label}'") from None


def _made(table: RuleArguments, recording: Recording) -> RuleBase:
    study = recording.study
    trials = study.trials if study.spec is None else int(study.spec.get("trials", study.trials))
    max_steps = steps_for(table, recording)
    return rules.build(table, study.direction, study_name=study.name, max_steps=max_steps, trials=trials)


def _as_recorded(recording: Recording) -> Result:
    last: dict[int, int] = {}
    for trial, step, _ in recording.reports:
        last[trial] = max(step, last.get(trial, step))
    pruned = {number: last.get(number, -1) for number, each in recording.trials.items() if each.state == "PRUNED"}
    rule = "" if recording.study.spec is None else str((recording.study.spec.get("pruner") or {}).get("name", ""))
    return _result(recording, "as recorded", None, _lengths(recording).total, pruned, rule)


def _lengths(recording: Recording) -> Lengths:
    lengths = Lengths(recording.study.max_steps)
    for trial, step, _ in recording.reports:
        lengths.add(trial, step)
    return lengths


def _result(
    recording: Recording,
    label: str,
    table: RuleArguments | None,
    trained: int,
    pruned: dict[int, int],
    recorded: str = "",
) -> Result:
    """Returns what a rule makes of a recording; without a table it is what the rule named ``recorded`` has made."""
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
        rule=recorded if table is None else table.name,
        recorded=table is None,
        promotes=table is not None and table.promotes,
        assumed=None if table is None or study.max_steps is not None else steps_for(table, recording),
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
