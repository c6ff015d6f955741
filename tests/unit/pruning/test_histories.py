"""The made-up histories hold what they are made for: agreement on histories that are all alike would say little."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given, settings

from tests.unit.pruning.histories import OUTCOMES, Case, Event, Finish, cases, histories, tell

always_alike = settings(max_examples=200, deadline=None, database=None, derandomize=True)


def features(events: list[Event]) -> set[str]:
    """Names what happens in a history."""
    found: set[str] = set()
    values: dict[int, dict[int, float]] = {}
    ended: set[int] = set()
    reporting: list[int] = []
    for event in events:
        own = values.setdefault(event.trial, {})
        if isinstance(event, Finish):
            found.add(event.state)
            ended.add(event.trial)
            if not own:
                found.add("ends without a report")
            continue
        if math.isnan(event.value):
            found.add("NaN")
        elif math.isinf(event.value):
            found.add("inf" if event.value > 0 else "-inf")
        last = max(own, default=-1)
        if event.step > last + 1:
            found.add("gap")
        elif event.step < last:
            found.add("late")
        if any(other.get(event.step) == event.value for trial, other in values.items() if trial != event.trial):
            found.add("tie")
        if event.trial in reporting and reporting[-1] != event.trial:
            found.add("interleaved")
        reporting.append(event.trial)
        own[event.step] = event.value
    if values.keys() - ended:
        found.add("left running")
    return found


def test_everything_happens_often() -> None:
    counted: Counter[str] = Counter()

    @always_alike
    @given(histories)
    def count(events: list[Event]) -> None:
        counted.update(features(events))

    count()
    wanted = {"NaN", "inf", "-inf", "gap", "late", "tie", "interleaved", "left running", "ends without a report"}
    assert counted.keys() >= {*wanted, *OUTCOMES}
    assert {name for name, times in counted.items() if times < 40} == set(), counted


@pytest.mark.parametrize("name", ["median", "percentile", "asha", "hyperband", "threshold", "patient"])
def test_every_rule_prunes_and_spares(name: str) -> None:
    told: Counter[bool] = Counter()
    directions: Counter[str] = Counter()

    @always_alike
    @given(cases(name))
    def count(case: Case) -> None:
        rule = case.rule()
        decisions = [tell(rule, event) for event in case.events]
        answers = [decision.prune for decision in decisions if decision is not None]
        told.update(answers)
        directions[case.direction] += any(answers)

    count()
    assert min(told[True], told[False]) > 100
    assert min(directions["minimize"], directions["maximize"]) > 10
