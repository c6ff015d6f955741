"""Hyperband by example."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import optuna
import pytest

from orchestrator.pruning.hyperband import HyperbandRule
from tests.unit.pruning.built_rules import build


def hyperband(**arguments: Any) -> HyperbandRule:
    rule = build("hyperband", arguments, "minimize", study_name="digits")
    assert isinstance(rule, HyperbandRule)
    return rule


@pytest.mark.parametrize(
    ("min_resource", "max_resource", "reduction_factor"), [(1, 27, 3), (1, 243, 3), (2, 100, 4), (5, 5, 2)]
)
def test_trials_fall_into_the_brackets_that_optuna_deals_them(
    min_resource: int, max_resource: int, reduction_factor: int
) -> None:
    rule = hyperband(min_resource=min_resource, max_resource=max_resource, reduction_factor=reduction_factor)
    pruner = optuna.pruners.HyperbandPruner(min_resource, max_resource, reduction_factor)
    study = optuna.create_study(study_name="digits", pruner=pruner)
    pruner._try_initialization(study)
    for number in range(300):
        trial = optuna.trial.create_trial(value=0.0)
        trial.number = number
        assert rule.bracket(number) == pruner._get_bracket_id(study, trial)


def test_brackets_get_shares_as_in_the_paper() -> None:
    rule = hyperband(min_resource=1, max_resource=27, reduction_factor=3)
    shares = Counter(rule.bracket(trial) for trial in range(5300))
    assert [round(shares[bracket] / 100) for bracket in range(4)] == pytest.approx([27, 12, 6, 4], abs=4)


def test_trials_of_different_brackets_do_not_compete() -> None:
    rule = hyperband(min_resource=1, max_resource=9, reduction_factor=3)
    good, bad = [trial for trial in range(30) if rule.bracket(trial) == 0][:2]
    other = next(trial for trial in range(30) if rule.bracket(trial) == 1)
    assert not rule.observe(good, 3, 0.0).prune
    assert not rule.observe(other, 3, 5.0).prune, "no other trial is in its bracket"
    assert rule.observe(bad, 3, 5.0).prune


def test_automatic_max_resource_is_one_more_than_the_longest_completed_trial_and_stays() -> None:
    rule = hyperband()
    assert not rule.observe(0, 10, math.nan).prune
    rule.observe(1, 26, 0.0)
    rule.finish(1, "COMPLETE")
    assert rule.study_attributes() == {}, "settled by a decision, and there was none since"
    rule.observe(2, 80, 0.0)
    assert rule.study_attributes() == {"hyperband_max_resource": 27}
    rule.finish(2, "COMPLETE")
    rule.observe(3, 1, 0.0)
    assert rule.study_attributes() == {"hyperband_max_resource": 27}


def test_trials_too_short_for_any_bracket_are_never_pruned() -> None:
    rule = hyperband(min_resource=100)
    rule.observe(0, 5, 0.0)
    rule.finish(0, "COMPLETE")
    assert not any(rule.observe(1, step, math.nan).prune for step in range(200))
