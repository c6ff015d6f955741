"""Warnings about values that a user gives for an objective that suggests for itself."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from orchestrator.spec.configuration import doubts

KNOWN = {
    "lr": [FloatDistribution(1e-4, 0.1, log=True)],
    "width": [IntDistribution(1, 9), IntDistribution(20, 30)],
    "optimizer": [CategoricalDistribution(["adam", "sgd", None])],
}
FAILS = "; the trial will fail unless the objective has been changed"


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"lr": 0.01, "width": 25, "optimizer": None}, []),
        ({"lr": 1}, ["trials of 's' have had lr from 0.0001 to 0.1, not 1"]),
        ({"lr": "fast"}, [f"trials of 's' have had lr from 0.0001 to 0.1, not 'fast'{FAILS}"]),
        ({"width": 15}, ["trials of 's' have had width from 1 to 9 or from 20 to 30, not 15"]),
        ({"width": 2.5}, ["trials of 's' have had width from 1 to 9 or from 20 to 30, not 2.5"]),
        ({"optimizer": "adma"}, [f"trials of 's' have had optimizer as one of 'adam', 'sgd', None, not 'adma'{FAILS}"]),
        ({"with": 2}, ["no trial of 's' has had a parameter 'with' yet; did you mean 'width'?"]),
    ],
)
def test_they_are_said(params: dict[str, Any], says: list[str]) -> None:
    assert list(doubts(params, KNOWN, "s")) == says


def test_where_nothing_is_known_nothing_is_doubted() -> None:
    assert list(doubts({"anything": "goes"}, {}, "s")) == []
