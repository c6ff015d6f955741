"""The rule ``index`` where values tie, are huge or no numbers, and where trials are short, long or alone."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.pruning.expectations import EXPECTED
from tests.unit.pruning.histories import tried
from tests.unit.pruning.index_searches import Search, Wild, index


class Mirrored(Wild):
    """The same reports with the other sign."""

    def curve(self, trial: int, step: int) -> float:
        return -super().curve(trial, step)


@tried(80)
@given(st.sampled_from([2, 3, 27, 1000]), st.integers(1, 9), st.integers(1, 16), st.integers(0, 2**32))
def test_minimize_is_maximize_of_the_negative_whatever_is_reported(
    max_steps: int, slots: int, trials: int, seed: int
) -> None:
    up = Wild(index("maximize", max_steps), slots, trials, random.Random(seed))
    down = Mirrored(index("minimize", max_steps), slots, trials, random.Random(seed))
    up.run()
    down.run()
    assert up.promoted == down.promoted
    assert up.ended == down.ended
    for trial in up.values:
        one, other = up.rule.standing(trial), down.rule.standing(trial)
        assert (one.step, one.peers) == (other.step, other.peers)
        assert one.value == -other.value or (math.isnan(one.value) and math.isnan(other.value))
        assert mirrored(up.rule.attributes(trial)) == down.rule.attributes(trial)


def mirrored(attributes: dict[str, Any]) -> dict[str, Any]:
    expected = [[step, following, -end, spread] for step, following, end, spread in attributes.get(EXPECTED, [])]
    return attributes | ({EXPECTED: expected} if expected else {})


@pytest.mark.parametrize("value", [0.0, -1.0, 1e-320, 1e308, -1e308, math.inf, -math.inf, math.nan])
def test_where_all_values_are_one_a_search_ends(value: float) -> None:
    search = Search(index(), 3, 12, random.Random(0))
    search.curve = lambda trial, step: value  # type: ignore[method-assign]  # noqa: ARG005
    search.run()
    assert len(search.values) == 12
    # What is beyond 1e100 the better way counts as no number, and no trial goes on from there.
    assert (value <= 1e100) == ("COMPLETE" in search.ended.values())


@pytest.mark.parametrize("max_steps", [2, 27, 1000])
def test_one_trial_alone_is_trained_to_its_end(max_steps: int) -> None:
    search = Search(index(max_steps=max_steps), 4, 1, random.Random(0))
    search.run()
    assert search.ended == {0: "COMPLETE"}
    assert len(search.values[0]) == max_steps


def test_values_beyond_all_others_lead_to_no_error() -> None:
    rule = index("minimize", 12)
    reports = [(0, 0, 9.0), (1, 0, 9.0), (1, 1, 1.0), (0, 1, 9.0), (1, 2, 9.0), (1, 3, 9.0), (1, 4, math.inf)]
    for trial, step, value in reports:
        rule.observe(trial, step, value)
    assert rule.study_attributes()
