"""Successive halving that promotes: by example, and against a plain reference in made-up searches."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.pruning import Decision, Outcome
from orchestrator.pruning.promotion import Promotion, PromotionRule
from tests.unit.pruning.histories import tried
from tests.unit.pruning.searches import Search, play, searches


def asha(r: int = 1, R: int = 27, eta: int = 3, s: int = 0, table: int | None = None) -> PromotionRule:
    return PromotionRule("asha", "minimize", r * eta**s, R, eta, table)


def pause(rule: PromotionRule, trial: int, value: float) -> None:
    """Takes a trial to the end of its slice, with one report there."""
    step = rule.until(trial)
    assert step is not None
    rule.record(trial, step, value)
    rule.pause(trial)


def run(rule: PromotionRule, values: Iterable[float]) -> list[int]:
    """Trains trials one after the other, of one value for life, until there is nothing to do; returns who went on."""
    waiting = list(enumerate(values))
    worth = dict(waiting)
    promoted = []
    while True:
        promotion = rule.promote()
        if promotion is not None:
            trial = promotion.trial
            promoted.append(trial)
        elif waiting:
            trial = waiting.pop(0)[0]
        else:
            return promoted
        if rule.until(trial) is None:
            rule.record(trial, rule.rungs[-1], worth[trial])
            rule.finish(trial, "COMPLETE")
        else:
            pause(rule, trial, worth[trial])


def sizes(rule: PromotionRule) -> list[int]:
    return [size for _, size in rule.held()]


@pytest.mark.parametrize(
    ("r", "R", "eta", "s", "rungs"),
    [
        (1, 27, 3, 0, (1, 3, 9, 27)),
        (1, 30, 3, 0, (1, 3, 9, 27)),
        (1, 26, 3, 0, (1, 3, 9)),
        (1, 243, 3, 0, (1, 3, 9, 27, 81, 243)),
        (2, 30, 3, 1, (6, 18)),
        (5, 10, 2, 0, (5, 10)),
        (1, 10**18, 10, 16, (10**16, 10**17, 10**18)),
    ],
)
def test_rungs_are_powers_as_far_as_they_fit(r: int, R: int, eta: int, s: int, rungs: tuple[int, ...]) -> None:
    rule = asha(r, R, eta, s)
    assert rule.rungs == rungs
    assert (rule.until(7), rule.beyond(7)) == rungs[:2]
    assert rule.held() == [(step, 0) for step in rungs]


@pytest.mark.parametrize("arguments", [(2, 5, 3, 0), (1, 8, 3, 1), (9, 3, 3, 0)])
def test_without_a_rung_to_pause_at_there_is_no_rule(arguments: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="no trial ever pauses"):
        asha(*arguments)


def test_27_configurations_that_come_best_first_leave_27_9_3_1() -> None:
    rule = asha()
    promoted = run(rule, range(27))
    assert rule.held() == [(1, 27), (3, 9), (9, 3), (27, 1)]
    assert sorted(promoted) == sorted([*range(9), *range(3), 0])


def test_a_promotion_says_why() -> None:
    rule = asha()
    for trial, value in enumerate([0.5, 0.2, 0.9]):
        assert rule.promote() is None
        pause(rule, trial, value)
    assert rule.paused() == [0, 1, 2]
    assert rule.may_promote()
    assert rule.promote() == Promotion(1, 1, Decision(False, "asha", 1, 0.2, 0.2, 3))
    assert (rule.until(1), rule.beyond(1)) == (3, 9)
    assert 1 not in rule.paused()
    assert not rule.may_promote()
    assert rule.standing(0) == Decision(True, "asha", 1, 0.5, 0.2, 3)
    assert rule.standing(1) == Decision(True, "asha", 1, 0.2, 0.2, 3), "where it was last"


def test_the_highest_rung_goes_first_and_the_top_one_runs_to_its_end() -> None:
    rule = asha(R=9)
    for trial in range(9):
        pause(rule, trial, trial)
    for trial in range(3):
        assert rule.promote() == Promotion(trial, 1, Decision(False, "asha", 1, trial, 2.0, 9))
    for trial in range(3):
        pause(rule, trial, trial)
    for trial in range(9, 12):
        pause(rule, trial, -1.0)
    assert rule.promote() == Promotion(0, 2, Decision(False, "asha", 3, 0.0, 0.0, 3))
    assert (rule.until(0), rule.beyond(0)) == (None, None)
    assert rule.promote() == Promotion(9, 1, Decision(False, "asha", 1, -1.0, 0, 12))
    assert sizes(rule)[2] == 0
    rule.record(0, 8, 0.0)
    assert sizes(rule)[2] == 0
    rule.record(0, 9, 0.0)
    assert sizes(rule)[2] == 1
    with pytest.raises(ValueError, match="top rung"):
        rule.pause(0)


@pytest.mark.parametrize(("state", "counted"), [("COMPLETE", 1), ("FAIL", 0), ("PRUNED", 0)])
def test_who_completes_counts_in_the_top_rung_without_a_report_there(state: Outcome, counted: int) -> None:
    rule = asha(R=3)
    run_until_top = [0.0, 1.0, 2.0]
    for trial, value in enumerate(run_until_top):
        pause(rule, trial, value)
    assert rule.promote() is not None
    rule.record(0, 2, 0.0)
    rule.finish(0, state)
    assert sizes(rule) == [3, counted]


def test_equal_values_go_by_number() -> None:
    rule = asha()
    for trial in (5, 3, 4, 2, 1, 0):
        pause(rule, trial, 1.0)
    assert [promotion.trial for promotion in iter(rule.promote, None) if promotion] == [0, 1]


def test_nan_is_worst_and_never_goes_on() -> None:
    rule = asha()
    for trial, value in enumerate([math.nan] * 4 + [math.inf] + [math.nan] * 4):
        pause(rule, trial, value)
    promotion = rule.promote()
    assert promotion == Promotion(4, 1, Decision(False, "asha", 1, math.inf, math.inf, 9))
    assert rule.promote() is None
    standing = rule.standing(0)
    assert (standing.threshold, standing.peers) == (math.inf, 9)
    assert math.isnan(standing.value)


def test_the_result_is_the_first_report_at_or_after_the_rung() -> None:
    rule = asha(r=4, R=40)
    for step, value in ((7, 7.0), (2, 2.0), (5, 5.0), (6, 6.0)):
        rule.record(0, step, value)
    rule.pause(0)
    rule.pause(0)
    assert rule.standing(0) == Decision(True, "asha", 4, 5.0, None, 1)
    assert rule.judge(0) == Decision(False, "asha", 7, 7.0, None, 0)
    rule.record(0, 4, 4.0)
    assert rule.standing(0).value == 4.0, "a late report corrects it"


def test_one_report_may_be_beyond_several_rungs() -> None:
    rule = asha()
    for trial in range(9):
        rule.record(trial, 10, trial)
        rule.pause(trial)
    assert sizes(rule) == [9, 0, 0, 0], "it paused at the first only"
    for _ in range(3):
        promotion = rule.promote()
        assert promotion is not None
        rule.pause(promotion.trial)
    assert sizes(rule) == [9, 3, 0, 0]
    assert rule.standing(2) == Decision(True, "asha", 3, 2.0, 0.0, 3)


def test_who_pauses_without_a_report_counts_as_nan() -> None:
    rule = asha()
    rule.pause(0)
    pause(rule, 1, 1.0)
    pause(rule, 2, 2.0)
    assert sizes(rule)[0] == 3
    assert [promotion.trial for promotion in iter(rule.promote, None) if promotion] == [1]
    assert math.isnan(rule.standing(0).value)
    assert rule.standing(99).peers == 3, "of a trial it never heard of"


def test_an_objective_that_returns_early_leaves_nothing_in_the_rung_it_was_headed_for() -> None:
    rule = asha()
    for trial, value in enumerate([0.0, 1.0, 2.0]):
        pause(rule, trial, value)
    assert rule.promote() is not None
    rule.record(0, 2, 0.0)
    rule.finish(0, "COMPLETE")
    rule.record(3, 20, 0.0)
    rule.finish(3, "COMPLETE")
    assert sizes(rule) == [3, 0, 0, 0]
    assert rule.attributes(0) == {"asha:rung": 1}
    assert rule.attributes(1) == {}


@pytest.mark.parametrize("state", ["PRUNED", "FAIL"])
def test_who_ends_while_paused_counts_and_does_not_go_on(state: Outcome) -> None:
    rule = asha()
    for trial in range(6):
        pause(rule, trial, trial)
    rule.finish(0, state)
    assert rule.paused() == [1, 2, 3, 4, 5]
    assert [promotion.trial for promotion in iter(rule.promote, None) if promotion] == [1]
    assert sizes(rule)[0] == 6


@tried(60)
@given(st.permutations(range(27)), st.integers(1, 30), st.integers(0, 2**32))
def test_a_table_leaves_27_9_3_1_in_whatever_order(values: list[int], slots: int, seed: int) -> None:
    rule = asha(table=27)
    play(Search("minimize", 1, 27, 3, 0, 27, slots, seed, lambda trial, _: float(values[trial]), calm=True), rule)
    assert sizes(rule) == [27, 9, 3, 1]
    headed = {value: rule.attributes(trial).get("asha:rung", 0) for trial, value in enumerate(values)}
    assert headed == {value: (value < 9) + (value < 3) + (value < 1) for value in range(27)}


@pytest.mark.parametrize(("table", "held"), [(10, [10, 3, 1]), (8, [8, 2, 0]), (2, [2, 0, 0]), (1, [1, 0, 0])])
def test_a_table_that_is_no_power(table: int, held: list[int]) -> None:
    rule = asha(R=9, table=table)
    run(rule, random.Random(table).sample(range(table), table))
    assert sizes(rule) == held


def test_failures_leave_the_table_a_smaller_field() -> None:
    rule = asha(R=9, table=9)
    for trial in range(7):
        rule.finish(trial, "FAIL")
    for trial in (7, 8):
        pause(rule, trial, trial)
    assert [promotion.trial for promotion in iter(rule.promote, None) if promotion] == [7, 8]
    pause(rule, 7, 7.0)
    assert not rule.may_promote(), "8 is still on its way"
    rule.finish(8, "FAIL")
    assert [promotion.trial for promotion in iter(rule.promote, None) if promotion] == [7]


def test_a_table_that_grows_has_more_places() -> None:
    rule = asha(R=9, table=9)
    assert run(rule, range(9)) == [0, 1, 2, 0]
    rule.table = 18
    for trial in range(9, 18):
        assert not rule.may_promote()
        pause(rule, trial, -trial)
    assert [promotion.trial for promotion in iter(rule.promote, None) if promotion] == [17, 16, 15]


def test_many_trials() -> None:
    draw = random.Random(1)
    rule = PromotionRule("asha", "maximize", 1, 81, 3)
    run(rule, [draw.random() for _ in range(12_000)])
    held = sizes(rule)
    assert held[0] == 12_000
    assert all(above >= below // 3 for below, above in pairwise(held)), "every trial that could go on did"


@tried(400)
@given(searches)
def test_every_choice_is_that_of_the_reference(search: Search) -> None:
    play(search, search.rule())
