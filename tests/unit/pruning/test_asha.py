"""Successive halving by example: rungs at 1, 4, 16, 64 unless said otherwise."""

from __future__ import annotations

import math
from typing import Any

from orchestrator.pruning import Decision, Direction, RuleBase
from tests.unit.pruning.built_rules import build


def asha(direction: Direction = "minimize", **arguments: Any) -> RuleBase:
    return build("asha", {"min_resource": 1} | arguments, direction)


def complete(rule: RuleBase, trial: int, last_step: int) -> None:
    rule.observe(trial, last_step, 0.0)
    rule.finish(trial, "COMPLETE")


def test_a_trial_goes_on_at_a_rung_only_among_the_best_quarter() -> None:
    rule = asha()
    at_first_rung = [rule.observe(trial, 1, float(8 - trial)).prune for trial in range(8)]
    assert at_first_rung == [False] * 8, "each was the best so far"
    assert rule.observe(8, 1, 2.5) == Decision(True, "asha", 1, 2.5, 2.0, 9)
    assert rule.observe(9, 1, 2.0) == Decision(False, "asha", 1, 2.0, 2.0, 10)


def test_the_same_the_other_way_round() -> None:
    rule = asha("maximize")
    assert not rule.observe(0, 1, 1.0).prune
    assert rule.observe(1, 1, 0.5).prune
    assert not rule.observe(2, 1, 2.0).prune


def test_between_rungs_no_trial_is_compared() -> None:
    rule = asha()
    rule.observe(0, 1, 0.0)
    rule.observe(1, 0, 9.0)
    rule.observe(1, 1, -1.0)
    assert rule.observe(1, 2, 9.0) == Decision(False, "asha", 2, 9.0, None, 0)


def test_values_stay_in_a_rung_whatever_becomes_of_the_trial() -> None:
    rule = asha()
    for trial, state in enumerate(("PRUNED", "FAIL", "COMPLETE")):
        rule.observe(trial, 1, 1.0 - trial)
        rule.finish(trial, state)  # type: ignore[arg-type]
    assert rule.observe(3, 1, 0.0) == Decision(True, "asha", 1, 0.0, -1.0, 4)


def test_a_gap_takes_a_trial_up_several_rungs_at_once() -> None:
    rule = asha()
    assert rule.observe(0, 20, 0.5) == Decision(False, "asha", 20, 0.5, None, 1), "no other trial to be compared with"
    assert rule.attributes(0) == {"completed_rung_0": 0.5, "completed_rung_1": 0.5, "completed_rung_2": 0.5}
    assert rule.observe(1, 20, 0.6).prune
    assert rule.attributes(1) == {"completed_rung_0": 0.6}


def test_a_trial_that_reports_on_after_its_verdict_climbs_on() -> None:
    rule = asha()
    rule.observe(0, 20, 0.5)
    assert [rule.observe(1, step, 0.6).prune for step in (1, 2, 4, 5)] == [True, False, True, False]


def test_min_early_stopping_rate_moves_the_first_rung() -> None:
    rule = asha(min_resource=2, reduction_factor=3, min_early_stopping_rate=1)
    rule.observe(0, 6, 0.0)
    assert [rule.observe(1, step, 1.0).prune for step in (3, 4, 5, 6)] == [False, False, False, True]


def test_a_rung_lets_no_trial_pass_before_it_has_enough_values() -> None:
    rule = asha(bootstrap_count=2)
    assert rule.observe(0, 1, 2.0) == Decision(True, "asha", 1, 2.0, None, 1)
    assert rule.observe(1, 1, 1.0) == Decision(True, "asha", 1, 1.0, None, 2)
    assert rule.observe(2, 1, 0.0) == Decision(False, "asha", 1, 0.0, 0.0, 3)


def test_nan_at_a_rung_is_pruned_and_not_entered() -> None:
    rule = asha()
    decision = rule.observe(0, 1, math.nan)
    assert (decision.prune, decision.threshold, decision.peers) == (True, None, 0)
    assert rule.attributes(0) == {}


def test_rung_values_can_still_be_asked_for_after_the_end() -> None:
    rule = asha()
    rule.observe(0, 1, 0.5)
    rule.finish(0, "PRUNED")
    assert rule.attributes(0) == {"completed_rung_0": 0.5}
    assert rule.attributes(99) == {}


def test_automatic_min_resource_is_settled_at_the_next_decision_and_stays() -> None:
    rule = asha(min_resource="auto")
    assert not rule.observe(0, 50, math.nan).prune
    complete(rule, 1, 350)
    complete(rule, 2, 499)
    assert rule.study_attributes() == {"asha_min_resource": 3}, "the second one's decision settled it"
    complete(rule, 3, 900)
    assert rule.study_attributes() == {"asha_min_resource": 3}


def test_trials_that_failed_do_not_settle_it() -> None:
    rule = asha(min_resource="auto")
    rule.observe(0, 500, 0.0)
    rule.finish(0, "FAIL")
    rule.observe(1, 1, 0.0)
    assert rule.study_attributes() == {}


def test_a_given_min_resource_is_not_overruled_by_the_study() -> None:
    rule = asha(min_resource=1)
    rule.restore_study({"asha_min_resource": 50})
    assert rule.observe(0, 1, math.nan).prune
    assert rule.study_attributes() == {}


def test_the_study_attribute_is_what_keeps_a_rebuilt_rule_on_course() -> None:
    steady = asha(min_resource="auto")
    complete(steady, 0, 200)
    steady.observe(1, 1, 0.0)  # settles on 2
    complete(steady, 2, 800)

    def rebuilt(study: dict[str, Any]) -> RuleBase:
        rule = asha(min_resource="auto")
        rule.restore_study(study)
        for trial, last_step in ((0, 200), (2, 800)):
            rule.restore(trial, {last_step: 0.0}, "COMPLETE", steady.attributes(trial))
        return rule

    assert steady.observe(3, 2, math.nan).prune
    assert rebuilt(steady.study_attributes()).observe(3, 2, math.nan).prune
    assert not rebuilt({}).observe(3, 2, math.nan).prune, "estimated anew, it would be 8"
