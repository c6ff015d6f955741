"""The rules that look at one trial alone, and the one that lets everybody pass."""

from __future__ import annotations

import math
from typing import Any

from orchestrator.pruning import Decision, RuleBase
from tests.unit.pruning.built_rules import build

NAN = math.nan


def patient(**arguments: Any) -> RuleBase:
    return build("patient", arguments, "minimize")


def pruned_steps(rule: RuleBase, *values: float) -> list[int]:
    return [step for step, value in enumerate(values) if rule.observe(0, step, value).prune]


def test_none_never_prunes() -> None:
    rule = build("none", {}, "minimize")
    assert rule.observe(0, 0, NAN).prune is False
    assert rule.observe(1, 7, 3.0) == Decision(False, "none", 7, 3.0, None, 0)


def test_threshold_prunes_outside_its_bounds_and_at_nan() -> None:
    rule = build("threshold", {"lower": 0.0, "upper": 1.0}, "maximize")
    assert pruned_steps(rule, 0.0, 1.0, -0.1, 1.1, NAN, math.inf) == [2, 3, 4, 5]


def test_threshold_names_the_bound_that_was_crossed() -> None:
    rule = build("threshold", {"lower": 0.0, "upper": 1.0}, "minimize")
    assert rule.observe(0, 0, 2.0) == Decision(True, "threshold", 0, 2.0, 1.0, 0)
    assert rule.observe(0, 1, -2.0) == Decision(True, "threshold", 1, -2.0, 0.0, 0)
    assert rule.observe(0, 2, 0.5).threshold is None


def test_one_bound_is_enough() -> None:
    assert pruned_steps(build("threshold", {"upper": 1.0}, "minimize"), -1e9, 2.0) == [1]
    assert pruned_steps(build("threshold", {"lower": 1.0}, "minimize"), 1e9, 0.0) == [1]


def test_threshold_keeps_to_warm_up_and_interval() -> None:
    rule = build("threshold", {"upper": 0, "n_warmup_steps": 1, "interval_steps": 2}, "minimize")
    assert pruned_steps(rule, 1, 1, 1, 1, 1) == [1, 3]


def test_patient_alone_stops_a_trial_that_gets_no_better() -> None:
    rule = patient(patience=1)
    assert pruned_steps(rule, 3.0, 2.0, 4.0, 4.0, 1.0, 1.0, 5.0, 5.0) == [3, 7]


def test_patient_says_what_it_compared() -> None:
    rule = patient(patience=0, min_delta=0.5)
    rule.observe(0, 0, 1.0)
    assert rule.observe(0, 1, 1.5) == Decision(False, "patient", 1, 1.5, 1.5, 1)
    assert rule.observe(0, 2, 1.6) == Decision(True, "patient", 2, 1.6, 1.5, 2)


def test_patient_passes_over_nan() -> None:
    assert pruned_steps(patient(patience=0), NAN, 5.0, NAN, 6.0) == [3]


def test_a_late_report_takes_its_place_by_step() -> None:
    rule = patient(patience=0)
    rule.observe(0, 5, 2.0)
    assert rule.observe(0, 3, 1.0) == Decision(True, "patient", 5, 2.0, 1.0, 1)


def test_the_rule_inside_is_asked_only_without_improvement_but_hears_everything() -> None:
    inside = {"name": "median", "n_startup_trials": 1}
    rule = patient(patience=0, wrapped=inside)
    for step, value in enumerate((3.0, 2.0, 1.0)):
        rule.observe(0, step, value)
    rule.finish(0, "COMPLETE")
    assert rule.observe(1, 0, 9.0) == Decision(False, "patient", 0, 9.0, None, 0)
    assert rule.observe(1, 1, 8.0) == Decision(False, "patient", 1, 8.0, 9.0, 1)
    assert rule.observe(1, 2, 8.5) == Decision(True, "median", 2, 8.0, 1.0, 1)


def test_a_trial_enters_a_rung_of_the_rule_inside_only_when_that_is_asked() -> None:
    rule = patient(patience=0, wrapped={"name": "asha", "min_resource": 1})
    rule.observe(0, 1, 2.0)
    rule.observe(0, 2, 1.0)
    assert rule.attributes(0) == {}
    rule.observe(0, 3, 1.5)
    assert rule.attributes(0) == {"completed_rung_0": 1.5}


def test_what_the_rule_inside_settles_is_stored_and_restored() -> None:
    arguments = {"patience": 0, "wrapped": {"name": "asha"}}
    rule = patient(**arguments)
    rule.observe(0, 400, 0.0)
    rule.finish(0, "COMPLETE")
    rule.observe(1, 1, 0.0)
    assert rule.study_attributes() == {}, "asha was not asked yet"
    rule.observe(1, 2, 1.0)
    assert rule.study_attributes() == {"asha_min_resource": 4}
    fresh = patient(**arguments)
    fresh.restore_study(rule.study_attributes())
    assert fresh.study_attributes() == {"asha_min_resource": 4}
