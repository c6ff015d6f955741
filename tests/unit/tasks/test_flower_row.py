"""What a task's row says."""

from __future__ import annotations

import math

import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)

from tasks import flower_row
from tasks.contract import Epoch, Job, Parameter

JOB = Job(study="digits", uid="u", trial=3, token="t", attempt=1, objective="m:f", directions=("maximize",))


@pytest.mark.parametrize(
    ("distribution", "value", "shown"),
    [
        (FloatDistribution(0, 1), 0.0123456, "0.01235"),
        (FloatDistribution(1e-9, 1, log=True), 2.5e-7, "2.5e-07"),
        (IntDistribution(1, 300), 128, "128"),
        (CategoricalDistribution([None, True, 0.5, "adam", 7]), "adam", "adam"),
        (CategoricalDistribution([None, True, 0.5, "adam", 7]), None, "None"),
        (CategoricalDistribution(["x" * 1_000]), "x" * 1_000, "x" * flower_row.LONGEST_CHOICE),
    ],
)
def test_a_value_is_what_the_objective_sees(distribution: BaseDistribution, value: object, shown: str) -> None:
    internal = distribution.to_internal_repr(value)
    assert flower_row.value(Parameter(value=internal, distribution=distribution_to_json(distribution))) == shown


@pytest.mark.parametrize("text", ["", "no JSON", "{}", "[]", '{"name": "CategoricalDistribution", "attributes": {}}'])
def test_what_cannot_be_read_is_shown_as_it_is(text: str) -> None:
    assert flower_row.value(Parameter(value=1.0, distribution=text)) == "1"


def test_a_first_attempt_is_not_worth_a_word() -> None:
    assert flower_row.arguments(JOB, {}) == "digits trial 3"
    again = Job(study="digits", uid="u", trial=3, token="t", attempt=2, objective="m:f", directions=("maximize",))
    assert flower_row.arguments(again, {"lr": "0.1", "kind": "fancy"}) == "digits trial 3 attempt 2: lr=0.1, kind=fancy"


def test_progress_may_have_no_end_and_no_number() -> None:
    assert flower_row.progress(Epoch(step=3, value=math.nan), JOB) == "epoch 3: nan"
