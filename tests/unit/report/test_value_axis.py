"""Axes of values: outliers do not ruin them, and they say so."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.report.value_axis import ValueAxis, at_edges, of_points, of_ranges, signed_log, signed_power

BULK = [0.30 + 0.01 * number for number in range(20)]


def share(axis: ValueAxis, values: Sequence[float]) -> float:
    """Returns the share of the axis that these values take."""
    assert axis.ends is not None
    low, high = (math.log10(each) if axis.log else each for each in (min(values), max(values)))
    return (high - low) / (axis.ends[1] - axis.ends[0])


@pytest.mark.parametrize(
    ("bulk", "outliers", "good"),
    [
        (BULK, [1e6], 0),
        (BULK, [1e6], 1),
        (BULK, [-1e6], -1),
        (BULK, [1e6, 2e6, 1e9], -1),
        (BULK, [-1e6, 1e6], 0),
        (BULK[:4], [1e6], 0),
        (BULK[:2], [1e6], 0),
        ([-each for each in BULK], [1e150], 1),
        ([0.5] * 30 + [0.51], [1e6], -1),
        ([1e-8 * 10 ** (number / 2) for number in range(16)], [1e90], 0),
    ],
)
def test_most_values_keep_their_room_beside_outliers(bulk: list[float], outliers: list[float], good: int) -> None:
    values = [*bulk, *outliers]
    axis = of_points(values, good=good)
    assert share(axis, bulk) >= 0.2
    assert axis.beyond == sum(axis.side(value) != 0 for value in values) >= 1
    assert f"; {axis.beyond} beyond" in axis.layout("value")["title"]["text"]
    assert "beyond the axis" in axis.says(values)


@pytest.mark.parametrize(
    ("values", "good"),
    [
        (BULK, 0),
        ([0.5], 0),
        ([0.5, 1e6], 0),
        ([0.5] * 9, 1),
        ([0.5] * 9 + [0.7], 1),
        ([0.1] * 10 + [0.9] * 10, 1),
        ([0.69 + 0.001 * (number % 3) for number in range(80)] + [0.1 + 0.02 * number for number in range(20)], -1),
    ],
)
def test_what_is_no_outlier_is_shown(values: list[float], good: int) -> None:
    """Among them a fifth of the trials that are far better than the others: the search was for them."""
    axis = of_points(values, good=good)
    assert axis.beyond == 0
    assert axis.says(values) == ""
    assert not any(axis.side(value) for value in values)


def test_many_decades_are_logarithmic_and_said() -> None:
    axis = of_points([10.0**-number for number in range(9)])
    assert axis.log
    assert axis.layout("value") | {"range": None} == {
        "title": {"text": "value, log"},
        "type": "log",
        "exponentformat": "power",
        "dtick": 2,
        "range": None,
    }
    assert of_points([1.0, 20.0], log=True).layout("value")["dtick"] == "D2"
    assert axis.place(1e-4) == pytest.approx(0.5)
    from_zero = of_points([0.0, *(10.0**-number for number in range(9))])
    assert (from_zero.log, from_zero.linear, from_zero.ticks()[0]) == (False, 1e-8, 0.0)
    assert not of_points([0.1, 0.2, 0.3]).log


def test_a_loss_that_falls_steeply_is_no_outlier_and_one_curve_that_explodes_is() -> None:
    lows, highs = [0.1 + 0.01 * n for n in range(12)], [2.0 + 0.01 * n for n in range(12)]
    assert of_ranges(lows, highs).beyond == 0
    axis = of_ranges([*lows, 0.2], [*highs, 1e6])
    assert axis.beyond == 1
    assert axis.most == pytest.approx(2.11)


def test_a_sampled_parameter_is_never_left_out() -> None:
    values = [*BULK, 7.0, 1e6]
    assert of_points(values, kept=[*BULK, 7.0]).most == 7.0
    assert of_points(values).most < 7.0


def test_what_lies_beyond_is_a_triangle_at_its_edge() -> None:
    axis = of_points([*BULK, 1e6, -1e6])
    above, below = at_edges([(1.0, 1e6, "a"), (2.0, -1e6, "b"), (3.0, 0.4, "c"), ("name", 0.4, "d")], ValueAxis(), axis)
    assert (above.marker.symbol, list(above.x), list(above.text)) == ("triangle-up", [1.0], ["a"])
    assert (below.marker.symbol, list(below.x), list(below.text)) == ("triangle-down", [2.0], ["b"])
    assert axis.ends is not None
    assert [*below.y, *above.y] == pytest.approx(axis.ends)
    assert (above.showlegend, below.showlegend) == (True, False)


FINITE = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([0.0, -0.0, 5e-324, 1e150, 1e308])


@given(st.lists(FINITE | st.floats(), max_size=30), st.sampled_from([-1, 0, 1]))
def test_any_values_have_an_axis(values: list[float], good: int) -> None:
    axis = of_points(values, good=good)
    drawn = [value for value in values if abs(value) <= 1e150]
    assert axis.beyond == sum(axis.side(value) != 0 for value in drawn)
    assert axis.beyond <= max(2, len(drawn) / 2)
    if axis.ends is not None:
        assert all(map(math.isfinite, axis.ends))
        assert axis.ends[0] < axis.ends[1]
    for value in drawn:
        assert 0.0 <= axis.place(value) <= 1.0
        assert math.isfinite(axis.clamp(value))
        assert math.isfinite(axis.at(value))
    ordered = sorted(drawn)
    assert [axis.at(value) for value in ordered] == sorted(map(axis.at, ordered)), "it keeps the order"
    ticks = axis.layout("value").get("tickvals", [])
    assert len(ticks) <= 16
    assert ticks == sorted(ticks)
    assert all(axis.ends[0] <= tick <= axis.ends[1] for tick in ticks) if axis.ends else len(ticks) <= 2


@pytest.mark.parametrize(
    ("values", "kind", "ticks"),
    [
        ([-(10.0**power) for power in range(-3, 3)], ", symmetric log", [-100.0, -10.0, -1.0, -0.1, -0.01, -0.001]),
        ([-1e6, -1.0, 1.0, 1e6], ", symmetric log", [-1e6, -1e3, -1.0, 0.0, 1.0, 1e3, 1e6]),
        ([0.0, 1e-3, 1.0], ", symmetric log", [0.0, 1e-3, 1e-2, 0.1, 1.0]),
        ([number / 10 for number in range(-20, 21)], "", []),
        ([0.0, 0.1, 0.2, 0.9], "", []),
        ([-3.0] * 5, "", []),
        ([0.0], "", []),
        ([math.nan, math.inf, 1e308], "", []),
        ([5e-324, 1e-310, 0.0], "", []),
    ],
)
def test_a_symmetric_logarithm_where_one_is_called_for(values: list[float], kind: str, ticks: list[float]) -> None:
    axis = of_points(values)
    assert axis.kind == kind
    assert kind in axis.layout("value")["title"]["text"]
    if kind:
        assert axis.ticks() == pytest.approx(ticks)


@given(st.floats(-1e150, 1e150), st.integers(-150, 150).map(lambda power: 10.0**power))
def test_a_symmetric_logarithm_turns_back(value: float, linear: float) -> None:
    assert signed_power(signed_log(value, linear), linear) == pytest.approx(value, rel=1e-9)
