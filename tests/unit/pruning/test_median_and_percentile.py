"""The percentile rules by example."""

from __future__ import annotations

import math

import pytest

from orchestrator.pruning import Decision, RuleBase
from tests.unit.pruning.built_rules import build

NAN, INF = math.nan, math.inf


def complete(rule: RuleBase, trial: int, *values: float) -> None:
    for step, value in enumerate(values):
        rule.observe(trial, step, value)
    rule.finish(trial, "COMPLETE")


def median(direction: str = "minimize", **arguments: int) -> RuleBase:
    return build("median", {"n_startup_trials": 1} | arguments, direction)  # type: ignore[arg-type]


def test_a_trial_worse_than_the_median_at_its_step_is_pruned() -> None:
    rule = median()
    for trial, value in enumerate([1.0, 2.0, 4.0]):
        complete(rule, trial, value)
    assert rule.observe(3, 0, 3.0) == Decision(True, "median", 0, 3.0, 2.0, 3)
    assert rule.observe(4, 0, 2.0) == Decision(False, "median", 0, 2.0, 2.0, 3)


def test_the_same_the_other_way_round() -> None:
    rule = median("maximize")
    for trial, value in enumerate([1.0, 2.0, 4.0]):
        complete(rule, trial, value)
    assert not rule.observe(3, 0, 3.0).prune
    assert rule.observe(4, 0, 1.5).prune


def test_of_two_peers_the_median_lies_half_way() -> None:
    rule = median()
    complete(rule, 0, 1.0)
    complete(rule, 1, 2.0)
    assert rule.observe(2, 0, 1.6).threshold == 1.5


def test_the_best_value_so_far_is_what_counts() -> None:
    rule = median()
    complete(rule, 0, 5.0, 5.0)
    rule.observe(1, 0, 1.0)
    assert rule.observe(1, 1, 9.0) == Decision(False, "median", 1, 1.0, 5.0, 1)


def test_only_completed_trials_are_peers() -> None:
    rule = median()
    complete(rule, 0, 5.0)
    for trial, state in ((1, "PRUNED"), (2, "FAIL")):
        rule.observe(trial, 0, 0.0)
        rule.finish(trial, state)  # type: ignore[arg-type]
    rule.observe(3, 0, 0.0)  # still running
    assert rule.observe(4, 0, 6.0) == Decision(True, "median", 0, 6.0, 5.0, 1)


def test_a_completed_trial_counts_at_start_up_even_if_it_never_reported() -> None:
    rule = median(n_startup_trials=2)
    complete(rule, 0, 1.0)
    assert not rule.observe(1, 0, 2.0).prune
    rule.finish(2, "COMPLETE")
    assert rule.observe(3, 0, 2.0).prune


def test_without_any_completed_trial_none_is_pruned() -> None:
    assert not median(n_startup_trials=0).observe(0, 0, NAN).prune


def test_checks_start_after_the_warm_up_and_come_once_an_interval() -> None:
    rule = median(n_warmup_steps=2, interval_steps=3)
    complete(rule, 0, *[0.0] * 12)
    assert [step for step in range(12) if rule.observe(1, step, 1.0).prune] == [2, 5, 8, 11]


def test_a_check_that_falls_into_a_gap_is_made_at_the_next_report() -> None:
    rule = median(interval_steps=4)
    complete(rule, 0, *[0.0] * 12)
    assert [step for step in (1, 3, 6, 7, 9) if rule.observe(1, step, 1.0).prune] == [1, 6, 9]


def test_a_late_report_in_the_interval_takes_the_check_away() -> None:
    rule = median(interval_steps=4)
    complete(rule, 0, *[0.0] * 12)
    assert [step for step in (3, 6, 1, 5) if rule.observe(1, step, 1.0).prune] == [3, 6, 1]


def test_a_late_report_is_judged_at_the_largest_step() -> None:
    rule = median()
    complete(rule, 0, 1.0, 1.0, 1.0, 1.0)
    rule.observe(1, 3, 5.0)
    assert rule.observe(1, 1, 2.0) == Decision(True, "median", 3, 2.0, 1.0, 1)


def test_a_trial_that_knows_only_nan_is_pruned_without_comparison() -> None:
    rule = median()
    complete(rule, 0, 1.0, 1.0)
    decision = rule.observe(1, 0, NAN)
    assert decision.prune
    assert decision.threshold is None
    assert not rule.observe(1, 1, 0.5).prune


def test_nan_peers_are_left_out_of_the_median_but_make_up_the_minimum() -> None:
    rule = median(n_min_trials=3)
    complete(rule, 0, 1.0)
    complete(rule, 1, NAN)
    assert rule.observe(8, 0, 9.0) == Decision(False, "median", 0, 9.0, None, 1)
    complete(rule, 2, 3.0)
    assert rule.observe(9, 0, 9.0) == Decision(True, "median", 0, 9.0, 2.0, 2)


def test_among_equal_infinities_the_median_is_nan_and_none_is_pruned() -> None:
    rule = median()
    complete(rule, 0, -INF)
    assert rule.observe(1, 0, 9.0) == Decision(False, "median", 0, 9.0, None, 1)


@pytest.mark.parametrize(("percentile", "kept"), [(0, [1]), (25, [1, 2]), (50, [1, 2, 3]), (100, [1, 2, 3, 4, 5])])
@pytest.mark.parametrize("sign", [1, -1])
def test_percentile_keeps_the_best_share(percentile: int, kept: list[int], sign: int) -> None:
    direction = "minimize" if sign == 1 else "maximize"
    rule = build("percentile", {"percentile": percentile}, direction)  # type: ignore[arg-type]
    for value in range(1, 6):
        complete(rule, value, sign * value)
    assert [value for value in range(1, 6) if not rule.observe(10 + value, 0, sign * value).prune] == kept
