"""Each study gets items in proportion to its weight, whenever it joins, leaves or has nothing for a while."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.engine.fair_queue import FairQueue

WEIGHTS = st.floats(0.01, 100) | st.sampled_from([0.5, 1.0, 2.0])


@given(st.lists(WEIGHTS, min_size=2, max_size=8), st.integers(1, 60), st.integers(1, 200))
def test_over_any_time_shares_are_as_the_weights(weights: list[float], before: int, during: int) -> None:
    """As the paper proves it: normalized, two studies differ by at most one item of each."""
    queue: FairQueue[int] = FairQueue()
    taken: Counter[int] = Counter()
    for study, weight in enumerate(weights):
        queue.add(str(study), weight, study)
    for turn in range(before + during):
        study = queue.pop()
        queue.add(str(study), weights[study], study)
        taken[study] += turn >= before
    for one, weight in enumerate(weights):
        for other, another in enumerate(weights):
            apart = taken[one] / weight - taken[other] / another
            assert apart <= (1 / weight + 1 / another) * (1 + 1e-9)


@given(st.lists(st.tuples(st.sampled_from("abcd"), WEIGHTS, st.booleans()), max_size=60))
def test_nothing_is_lost_and_a_studys_items_keep_their_order(steps: list[tuple[str, float, bool]]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    waiting: dict[str, list[tuple[str, int]]] = {}
    for number, (study, weight, adds) in enumerate(steps):
        if adds or not queue:
            item = study, number
            queue.add(study, weight, item)
            waiting.setdefault(study, []).append(item)
        elif number % 5 == 4 and waiting.get(study):
            queue.remove(study, waiting[study].pop())
        else:
            first = queue.first()
            assert queue.pop() == first == waiting[first[0]].pop(0)
        assert len(queue) == sum(map(len, waiting.values()))
        assert bool(queue) == any(waiting.values())
        assert queue.studies() == {name for name, items in waiting.items() if items}
    with pytest.raises(LookupError):
        while True:
            queue.pop()


@given(st.integers(0, 500), WEIGHTS, WEIGHTS)
def test_a_study_that_comes_later_or_comes_back_makes_up_for_nothing(alone: int, one: float, other: float) -> None:
    queue: FairQueue[str] = FairQueue()
    queue.add("one", one, "one")
    for _ in range(alone):
        queue.add(queue.pop(), one, "one")
    taken: Counter[str] = Counter()
    queue.add("other", other, "other")
    while taken.total() < 50:
        study = queue.pop()
        taken[study] += 1
        queue.add(study, {"one": one, "other": other}[study], study)
    apart = abs(taken["one"] / one - taken["other"] / other)
    assert apart <= (1 / one + 1 / other) * (1 + 1e-9)


def test_of_equals_the_one_that_has_waited_longest_is_next() -> None:
    queue: FairQueue[str] = FairQueue()
    for study in "bca":
        queue.add(study, 1.0, study)
    found = []
    for _ in range(9):
        found.append(queue.pop())
        queue.add(found[-1], 1.0, found[-1])
    assert "".join(found) == "bcabcabca"


def test_studies_that_have_gone_are_forgotten() -> None:
    queue: FairQueue[str] = FairQueue()
    for number in range(1000):
        queue.add(f"study-{number}", 1.0, "item")
        queue.pop()
    assert len(queue._flows) < 10
