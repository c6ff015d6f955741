"""The rule ``index`` in both modes: by example, in made-up searches, and rebuilt from what was stored."""

from __future__ import annotations

import json
import math
import random
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.pruning import Decision, Direction, registry
from orchestrator.pruning.expectations import EXPECTED, Expectation, calibrate, read
from orchestrator.pruning.index_rule import HEADED, LEARNED, IndexStoppingRule
from tests.unit.pruning.built_rules import build
from tests.unit.pruning.histories import DIRECTIONS, tried
from tests.unit.pruning.index_searches import R, Search, Wild, index
from tests.unit.pruning.searches import same


@pytest.mark.parametrize(
    ("arguments", "max_steps", "rungs"),
    [
        ({}, 52, (1, 2, 3, 4, 7, 10, 15, 23, 34, 52)),
        ({}, 27, (1, 2, 3, 4, 7, 10, 15, 27)),
        ({}, 2, (1, 2)),
        ({"min_resource": 5}, 6, (5, 6)),
        ({"min_resource": 3, "spacing": 3.0}, 81, (3, 9, 27, 81)),
    ],
)
def test_rungs_are_fine_and_end_at_max_steps(arguments: dict[str, Any], max_steps: int, rungs: tuple[int, ...]) -> None:
    assert index(max_steps=max_steps, **arguments).rungs == rungs


@pytest.mark.parametrize("slots", [1, 4, 16])
def test_a_search_ends_with_its_best_promise_trained_to_the_end(slots: int) -> None:
    search = Search(index(), slots, 40, random.Random(1))
    search.run()
    assert "COMPLETE" in search.ended.values()
    trained = {trial: max(steps) for trial, steps in search.values.items()}
    assert sum(trained.values()) < 40 * R / 2, "most trials stay at a low rung"
    final = {trial: search.values[trial][R] for trial in search.ended}
    assert max(final.values()) >= sorted(search.curve(trial, R) for trial in range(40))[-3]
    assert search.rule.paused() == sorted(search.paused)
    assert dict(search.rule.held())[1] == 40


def test_four_trials_start_before_one_goes_on() -> None:
    rule = index()
    for trial in range(4):
        assert rule.promote() is None
        rule.start(trial)
        rule.observe(trial, 1, trial / 10)
        rule.pause(trial)
    promotion = rule.promote()
    assert promotion is not None
    assert promotion.trial == 3
    assert (promotion.decision.step, promotion.decision.value) == (1, 0.3)
    assert (rule.until(3), rule.beyond(3)) == (2, 3)


def test_minimize_is_maximize_of_the_negative() -> None:
    up, down = Search(index(), 3, 25, random.Random(2)), Search(index("minimize"), 3, 25, random.Random(2))
    down.curve = lambda trial, step: -up.curve(trial, step)  # type: ignore[method-assign]
    up.run()
    down.run()
    assert up.promoted == down.promoted


def test_a_trial_without_a_number_never_goes_on() -> None:
    rule = index()
    for trial in range(6):
        rule.observe(trial, 1, math.nan if trial < 3 else 0.5)
        rule.pause(trial)
    rule.expect_new(False)
    found = []
    while (promotion := rule.promote()) is not None:
        found.append(promotion.trial)
        for step in range(1, R + 1):
            rule.record(promotion.trial, step + 1, 0.5)
        rule.finish(promotion.trial, "COMPLETE")
    assert found, "the best promise among equal ones"
    assert set(found) <= {3, 4, 5}
    assert math.isnan(rule.standing(0).value)


def test_the_expected_end_is_kept_with_a_band_that_holds_what_it_says() -> None:
    rule, draw = index(), random.Random(5)
    for trial in range(30):
        worth = draw.random()
        for step in range(1, R + 1):
            rule.observe(trial, step, worth * (1 - 0.8**step) + draw.gauss(0, 0.05))
        rule.finish(trial, "COMPLETE")
    assert json.loads(json.dumps(rule.study_attributes()))[LEARNED]["arrivals"] > 200
    expected = read(rule.attributes(29))
    assert [each.step for each in expected] == list(rule.rungs)
    assert [each.following for each in expected] == [*rule.rungs[1:], R]
    assert [each.spread for each in expected] == sorted((each.spread for each in expected), reverse=True)
    counted = calibrate((rule.attributes(trial), math.nan) for trial in range(30))
    assert counted is not None
    assert counted.predictions == 30 * (len(rule.rungs) - 1)
    assert 0.4 * counted.predictions < counted.within_50 < 0.8 * counted.predictions
    assert 0.75 * counted.predictions < counted.within_90 < counted.predictions
    assert calibrate([({}, 0.5)]) is None


@pytest.mark.parametrize("stored", [None, [], 3, [[1, 2]], [["a", 1, 2.0, 3.0]], {"step": 1}])
def test_what_is_no_expectation_is_left_out(stored: Any) -> None:
    assert read({EXPECTED: stored}) == []


@pytest.mark.parametrize("learned", [None, 3, {}, {"arrivals": 1, "floor": 0.0, "weights": [], "spreads": []}])
def test_coefficients_of_another_program_are_learned_anew(learned: Any) -> None:
    rule = index()
    rule.restore_study({LEARNED: learned})
    rule.observe(0, 1, 0.5)
    assert rule.study_attributes()[LEARNED]["arrivals"] == 1


def test_objectives_that_count_from_zero_reach_the_last_rung() -> None:
    rule = index(max_steps=4)
    for step in range(4):
        rule.observe(0, step, step / 10)
    rule.finish(0, "COMPLETE")
    assert rule.held() == [(1, 1), (2, 1), (3, 1), (4, 1)]


def test_pausing_twice_changes_nothing_and_the_last_slice_has_no_pause() -> None:
    rule = index(max_steps=2)
    rule.observe(0, 1, 0.1)
    rule.pause(0)
    rule.pause(0)
    assert rule.paused() == [0]
    rule.expect_new(False)
    assert rule.promote() is not None
    assert (rule.until(0), rule.beyond(0)) == (None, None)
    with pytest.raises(ValueError, match="last slice"):
        rule.pause(0)
    rule.finish(0, "COMPLETE")
    rule.pause(0)
    assert rule.paused() == []
    assert rule.promote() is None


@tried(60)
@given(
    st.sampled_from([Search, Wild]),
    st.sampled_from(DIRECTIONS),
    st.integers(1, 9),
    st.integers(1, 30),
    st.integers(0, 2**32),
    st.floats(0.01, 0.2),
)
def test_a_rule_that_is_rebuilt_at_any_moment_decides_the_rest_alike(
    kind: type[Search], direction: Direction, slots: int, trials: int, seed: int, often: float
) -> None:
    search = kind(index(direction), slots, trials, random.Random(seed))
    when = random.Random(seed + 1)
    while search.step():
        if when.random() < often:
            fresh, steady = search.rebuilt(), search.rule
            fresh.expect_new(len(search.values) < trials)
            steady.expect_new(len(search.values) < trials)
            for trial in search.values:
                assert fresh.attributes(trial) == steady.attributes(trial)
                assert (fresh.until(trial), fresh.beyond(trial)) == (steady.until(trial), steady.beyond(trial))
                assert same(fresh.standing(trial), steady.standing(trial))
            assert fresh.study_attributes() == steady.study_attributes()
            assert fresh.held() == steady.held()
            assert fresh._next() == steady._next()
            search.rule = fresh


def test_stopping_ends_what_is_not_worth_its_rest() -> None:
    rule = cast(IndexStoppingRule, build("index", {"mode": "stopping"}, "maximize", max_steps=R))
    plan = Search(index(), 1, 1, random.Random(0))
    stopped: dict[int, Decision] = {}
    for trial in range(60):
        for step in range(1, R + 1):
            decision = rule.observe(trial, step, plan.curve(trial, step))
            if decision.prune:
                stopped[trial] = decision
                rule.finish(trial, "PRUNED")
                break
        else:
            rule.finish(trial, "COMPLETE")
    assert 30 < len(stopped) < 60
    assert min(stopped) >= 3
    best = max(range(60), key=lambda trial: plan.curve(trial, R))
    assert best not in stopped
    for decision in stopped.values():
        assert decision.step in rule.rungs[:-1]
        assert decision.threshold is not None
        assert decision.peers > 0
    assert rule.observe(99, 1, math.nan).prune
    assert HEADED not in rule.attributes(0)


def test_why_says_what_was_expected() -> None:
    expected = [Expectation(1, 2, 0.5, 0.1), Expectation(4, 7, 0.91234, 0.02)]
    words = registry.words("index", {"name": "index"}, "maximize", expected)
    decision = Decision(True, "index", 4, 0.7, 0.93, 40)
    outlook = "expected to end at 0.91 ± 0.02; the best {} 0.93"
    assert words.against(decision) == (
        outlook.format("was") + ": the next 3 epochs were not worth as much as those of a new trial"
    )
    assert words.standing(decision, "goes on") == (
        outlook.format("is") + ": the next 3 epochs are not worth as much as those of a new trial"
    )
    assert words.standing(decision, "went on") == (
        outlook.format("was") + ": the next 3 epochs were not worth as much as those of a new trial"
    )
    assert words.promoted(decision) == f"at epoch 4: {outlook.format('was')}: went on for 3 more epochs"
    earlier = Decision(True, "index", 1, 0.4, 0.93, 40)
    assert words.against(earlier) == (
        "expected to end at 0.50 ± 0.10; the best was 0.93: the next epoch was not worth as much as one of a new trial"
    )
    assert "not a number" in words.against(Decision(True, "index", 4, math.nan, None, 0))
    assert "not known" in registry.words("index", {}, "maximize").against(decision)


@pytest.mark.parametrize("kind", [Search, Wild])
def test_a_search_goes_alike_however_few_paused_trials_are_put_in_order_at_once(
    kind: type[Search], monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []
    for ranked in (1, 1000):
        monkeypatch.setattr("orchestrator.pruning.index_rule._RANKED", ranked)
        search = kind(index(), 4, 60, random.Random(6))
        search.run()
        searches.append(search)
    one, all_of_them = searches
    assert len(one.promoted) > 20
    assert (one.promoted, one.values.keys(), one.ended) == (
        all_of_them.promoted,
        all_of_them.values.keys(),
        all_of_them.ended,
    )
