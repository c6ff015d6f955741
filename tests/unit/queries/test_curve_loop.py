"""A search over known curves: rules that stop, rules that promote, and replays of several studies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from orchestrator.common.errors import BadInput
from orchestrator.model.records import RecordedTrial, Recording, StudyFacts
from orchestrator.queries.curve_loop import Curve, CurveLoop
from orchestrator.queries.replay import Candidate, compare, curves, side_by_side, together
from orchestrator.spec.inline_pruner import read_pruner
from tests.unit.pruning.built_rules import build

PROMOTION = "asha mode='promotion' reduction_factor=3"


def made(trials: int, epochs: int) -> list[Curve]:
    """Curves of one value for life, the first trial the best."""
    return [Curve(trial, [(step, float(trial)) for step in range(1, epochs + 1)]) for trial in range(trials)]


def recording(trials: int, epochs: int = 9, *, beside: int = 1, max_steps: int | None = 9) -> Recording:
    """A study without a pruner, ``beside`` trials at once."""
    reports = [
        (trial, step, float(trial))
        for first in range(0, trials, beside)
        for step in range(1, epochs + 1)
        for trial in range(first, min(first + beside, trials))
    ]
    done = {trial: RecordedTrial("COMPLETE", float(trial), None, None) for trial in range(trials)}
    completed = {trial: float(trial) for trial in range(trials)}
    spec = {"trials": trials, "max_steps": max_steps, "pruner": {"name": "none"}}
    return Recording(StudyFacts("s", "minimize", spec, "finished", "", trials, completed), done, reports)


def test_promotion_halves_as_in_the_book() -> None:
    loop = CurveLoop(
        build("asha", {"mode": "promotion", "reduction_factor": 3}, "minimize", max_steps=9), made(9, 9), 1
    )
    epochs = list(loop.run())
    assert len(epochs) == 9 + 3 * 2 + 6
    assert loop.ended == {0}
    assert loop.stopped == {trial: 3 if trial in (1, 2) else 1 for trial in range(1, 9)}
    assert sum(epoch.resumed for epoch in epochs) >= 3


def test_a_rule_that_stops_ends_trials_and_one_that_prunes_nothing_ends_none() -> None:
    loop = CurveLoop(build("threshold", {"upper": 3.5}, "minimize"), made(6, 4), 2)
    assert len(list(loop.run())) == 4 * 4 + 2
    assert loop.stopped == {4: 1, 5: 1}
    assert len(list(CurveLoop(build("none", {}, "minimize"), made(6, 4), 4).run())) == 24


def test_how_many_trained_side_by_side() -> None:
    assert side_by_side(recording(7, beside=3)) == 3
    assert side_by_side(recording(1)) == 1
    slices = [(trial, step, 0.5) for step in (1, 2, 3) for trial in range(6)]
    assert side_by_side(replace(recording(6), reports=slices)) == 6
    facts = replace(recording(6).study, spec={"trials": 6, "max_steps": 9, "pruner": {"name": "index"}})
    assert side_by_side(replace(recording(6), reports=slices, study=facts)) == 1
    assert [curve.trial for curve in curves(recording(4))] == [0, 1, 2, 3]


@pytest.mark.parametrize("rule", [PROMOTION, "index", "index mode='stopping'"])
def test_rules_are_compared_on_several_studies(rule: str) -> None:
    candidates = [Candidate(rule, read_pruner(rule, "here"))]
    results = [compare(recording(trials, beside=2), candidates) for trials in (9, 12)]
    sums = together(results)
    assert [each.label for each in sums] == ["as recorded", rule]
    assert sums[0].trained == sums[1].recorded == 9 * 21
    assert sums[1].trained < 9 * 21
    assert (sums[1].kept, sums[1].winners, sums[1].studies) == (2, 2, 2)
    assert results[0][1].promotes is ("stopping" not in rule)


@pytest.mark.parametrize(("rule", "key"), [(PROMOTION, "mode"), ("index", "name"), ("index mode='stopping'", "name")])
def test_a_rule_that_needs_the_length_of_a_trial_says_so_where_none_has_completed(rule: str, key: str) -> None:
    study = recording(3, max_steps=None)
    study = replace(study, study=replace(study.study, completed={}))
    with pytest.raises(BadInput, match=f"study 's': {key}: .* needs max_steps"):
        compare(study, [Candidate(rule, read_pruner(rule, "here"))])
