"""What the rule ``index`` chooses between: paused trials and new ones, early, with many slots, and at the end."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from orchestrator.pruning.curve_book import CurveBook
from orchestrator.pruning.index_rule import IndexRule
from orchestrator.pruning.worth_table import WorthTable
from tests.bench.search.contenders import make
from tests.bench.search.loop import Setting, search
from tests.bench.search.tables import DIGITS, read
from tests.unit.pruning.built_rules import build

R = 27


def index(max_steps: int = R, **arguments: Any) -> IndexRule:
    rule = build("index", arguments, "maximize", max_steps=max_steps)
    assert isinstance(rule, IndexRule)
    return rule


def booked(curves: list[list[float]]) -> CurveBook:
    book = CurveBook("maximize", index().rungs)
    for trial, values in enumerate(curves):
        for step, value in enumerate(values, 1):
            book.record(trial, step, value)
            book.learn()
    return book


def test_a_new_trial_is_worth_almost_what_a_paused_one_is_where_all_curves_rise() -> None:
    """Whatever begins is expected to come above the best so far, so the next one need not set a record."""
    table = WorthTable((0.05, 0.03, 0.0), (1, 2, 3))
    first = np.linspace(0.30, 0.31, 20)
    price = math.exp(table.index_of_new(first, 0.2) - table.index(0, 0.105))
    assert 0.3 < price < 1
    assert table.index_of_new(first, 0.32) < table.index(0, 0.305 - 0.32), "here it is to set one"


def test_decisions_look_at_the_rung_beyond_the_furthest_that_a_trial_has_reached() -> None:
    book = booked([[step * (trial + 1) / 20 for step in range(1, 5)] for trial in range(20)])
    assert book.coefficients is not None
    assert len(book.coefficients.near_spreads) == 5, "four rungs are reached, and one more"
    near, end = book.expect(19, 3), book.coefficients.expect_end(3, book.value(19, 3), book.value(19, 2))
    assert book.value(19, 3) < near < end
    assert 0 < book.spread(3) < book.coefficients.spreads[3]
    assert book.spread(4) == 0, "a trial that has come there has what it has"


def test_coefficients_of_a_version_that_looked_at_the_end_are_taken_up() -> None:
    book = booked([[0.1 * step * trial for step in range(1, 9)] for trial in range(9)])
    assert book.coefficients is not None
    plain = book.coefficients.to_json()
    del plain["near_weights"], plain["near_spreads"]
    after = CurveBook("maximize", book.rungs)
    after.take_back(plain)
    after.record(0, 1, 0.5)
    assert after.coefficients is not None
    assert after.expect(0, 0) == after.coefficients.expect_end(0, 0.5, 0.5)
    assert after.coefficients.near_spreads == book.coefficients.spreads


def test_a_new_trial_is_worth_little_beside_a_leader_that_is_far_ahead() -> None:
    draw = random.Random(4)
    book = booked([*([draw.gauss(0.1, 0.004)] * 2 for _ in range(20)), [0.1, 0.5, 0.9]])
    assert book.index_of_new(book.best) < book.index(2, book.expect(20, 2), book.best)


def test_trials_are_ranked_by_the_end_that_is_expected_of_each() -> None:
    draw = random.Random(7)
    curves = [[draw.choice([0.25, 0.5, math.nan, draw.random()]) for _ in range(draw.randint(0, 9))] for _ in range(60)]
    book = booked(curves)
    trials = set(range(0, 60, 2))
    wanted: list[list[tuple[float, int]]] = [[] for _ in book.rungs]
    for trial in trials:
        end = book.expect(trial, book.level(trial))
        if not math.isnan(end):
            wanted[book.level(trial)].append((-end, trial))
    assert [each.best for each in book.ranked(trials, 1000)] == [sorted(each) for each in wanted]
    assert sum(map(len, wanted)) > 10
    assert [each.best for each in booked([]).ranked({1}, 1000)] == [[] for _ in book.rungs]
    for ranking, full in zip(book.ranked(trials, 2), wanted, strict=True):
        assert ranking.best == [each for each in sorted(full) if each[0] <= ranking.bound]
        assert len(ranking.best) >= min(len(full), 2)


@pytest.mark.parametrize("first", [1, 5])
def test_with_many_slots_the_first_choices_begin_trials_and_resume_some(first: int) -> None:
    """All but a few of 64 slots are still on their way to the first rung when the first ones choose."""
    rule, draw, began = index(min_resource=first), random.Random(1), []
    for trial in range(64):
        rule.start(trial)
    for trial in range(64):
        for step in range(1, first + 1):
            rule.observe(trial, step, draw.random())
        rule.pause(trial)
        if rule.promote() is None:
            rule.start(64 + len(began))
            began.append(trial)
    assert 8 < len(began) < 56
    assert 5 < sum(trial < 20 for trial in began) < 15


@pytest.mark.parametrize("slots", [1, 4, 16])
def test_the_recorded_digits_need_fewer_epochs_than_with_the_median_rule(slots: int) -> None:
    table = read(DIGITS)
    regret = {
        label: sum(sum(search(table, make(label, table), Setting(slots), seed, (100, 200)).regret) for seed in range(6))
        for label in ("index", "median (2, 5, 3)")
    }
    assert regret["index"] < 0.85 * regret["median (2, 5, 3)"]


def test_a_study_ends_soon_after_its_last_trial_has_begun() -> None:
    """What is worth less than a tenth of a new trial is not trained, though nothing else is left to do."""
    table = read(DIGITS)
    rule = make("index", table)
    assert isinstance(rule, IndexRule)
    search(table, rule, Setting(4), 0, (10**9,))
    epochs = sum(len(each.at) for each in rule._book.curves.values())
    assert epochs < 0.5 * table.curves.size
    assert rule._finals, "the best promise is trained to its end"
    assert max(rule._finals) >= table.good - 0.02 * table.scale
