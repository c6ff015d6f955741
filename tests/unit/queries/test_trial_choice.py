"""Which trials a list shows, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.queries.trial_selection import SORTS, choose, standing
from tests.unit.terminal.made_trials import NOW, head

HEADS = [
    head(0, "COMPLETE", 0.5, epochs=9),
    head(1, "PRUNED", 0.9, epochs=3),
    head(2, "FAIL", epochs=0, attempts=3),
    head(3, "COMPLETE", 0.7),
    head(4, "COMPLETE", 0.99, feasible=False),
    head(5, "RUNNING", live="running", epochs=2),
    head(6, "RUNNING", live="sent", epochs=0),
    head(7, "RUNNING", live="paused", epochs=4),
    head(8, "WAITING", epochs=0, attempts=0),
    head(9, "COMPLETE", 0.5),
]


def chosen(**changes: Any) -> list[int]:
    table: dict[str, Any] = {
        "states": (),
        "sort": "number",
        "reverse": False,
        "limit": None,
        "now": NOW,
        "best": [3],
        "directions": ("maximize",),
    }
    return [each.number for each in choose(HEADS, **table | changes).heads]


def test_where_each_one_stands() -> None:
    told = ["complete", "pruned", "fail", "complete", "complete", "running", "queued", "paused", "waiting", "complete"]
    assert [standing(each) for each in HEADS] == told
    assert standing(head(0, "RUNNING")) == "running", "asked for by another program"
    assert standing(head(0, "PRUNED", live="stopping")) == "pruned"


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("number", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("value", [3, 0, 9, 4, 1, 2, 5, 6, 7, 8]),
        ("duration", [5, 7, 9, 4, 3, 2, 1, 0, 6, 8]),
        ("epochs", [3, 4, 9, 0, 7, 1, 5, 2, 6, 8]),
        ("attempts", [2, 0, 1, 3, 4, 5, 6, 7, 9, 8]),
    ],
)
def test_sorted(sort: str, expected: list[int]) -> None:
    assert chosen(sort=sort) == expected
    assert sort in SORTS


def test_the_other_way_round() -> None:
    assert chosen(reverse=True) == list(range(9, -1, -1))
    assert chosen(sort="value", directions=("minimize",), best=[0])[:4] == [0, 9, 3, 4]


def test_of_several_objectives_the_front_comes_first() -> None:
    assert chosen(sort="value", best=[9, 0], directions=("maximize", "minimize"))[:3] == [9, 0, 3]


def test_by_number_it_is_the_newest_that_are_shown() -> None:
    assert chosen(limit=3) == [7, 8, 9]
    assert chosen(limit=3, reverse=True) == [9, 8, 7]
    assert chosen(limit=2, sort="value") == [3, 0]
    found = choose(
        HEADS,
        states=["complete"],
        sort="number",
        reverse=False,
        limit=2,
        now=NOW,
        best=[],
        directions=("maximize",),
    )
    assert ([each.number for each in found.heads], found.among) == ([4, 9], 4)


def test_by_state() -> None:
    assert chosen(states=["running", "queued"]) == [5, 6]
    assert chosen(states=["fail"]) == [2]
