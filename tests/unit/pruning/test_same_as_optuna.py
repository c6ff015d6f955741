"""Whatever happens in a study, a rule decides at every report as Optuna's pruner of that name does."""

from __future__ import annotations

import pytest
from hypothesis import given

from tests.unit.pruning.histories import Case, Report, cases, tell, tried
from tests.unit.pruning.optuna_side import OptunaSide

# numpy, on Optuna's side: a step at which all are NaN, a difference of infinities, one that is too large.
pytestmark = [
    pytest.mark.filterwarnings("ignore:All-NaN (slice|axis) encountered:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning"),
]


def check(case: Case) -> None:
    rule, optuna_side = case.rule(), OptunaSide(case)
    for number, event in enumerate(case.events):
        ours, theirs = tell(rule, event), optuna_side.tell(event)
        if isinstance(event, Report):
            assert ours.prune is theirs, f"event {number}, {event}: {ours}, Optuna: {theirs}"
        # What asha leaves with the trial is part of the decision: the next ones are drawn from it.
        assert rule.attributes(event.trial) == optuna_side.trial(event.trial).system_attrs


@pytest.mark.parametrize(
    ("name", "examples"),
    [
        ("none", 50),
        ("median", 800),
        ("percentile", 1000),
        ("asha", 1000),
        ("hyperband", 800),
        ("threshold", 800),
        ("patient", 1000),
    ],
)
def test_every_decision_is_the_one_optuna_makes(name: str, examples: int) -> None:
    @tried(examples)
    @given(cases(name))
    def decide_alike(case: Case) -> None:
        check(case)

    decide_alike()
