"""Threshold and number of peers of a decision, against a plain computation of both."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.pruning import Decision
from orchestrator.pruning.percentile import interpolate
from tests.unit.pruning.histories import Case, Finish, Report, cases, tell, tried


class Record:
    """Every report of a history, and which trials are complete."""

    def __init__(self) -> None:
        self.values: dict[int, dict[int, float]] = {}
        self.completed: set[int] = set()

    def add(self, event: Report | Finish) -> None:
        reports = self.values.setdefault(event.trial, {})
        if isinstance(event, Report):
            reports[event.step] = event.value
        elif event.state == "COMPLETE":
            self.completed.add(event.trial)

    def at(self, step: int) -> list[float]:
        """The numbers that completed trials have at a step."""
        values = [self.values[trial].get(step, math.nan) for trial in self.completed]
        return [value for value in values if not math.isnan(value)]


@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
@settings(max_examples=300, deadline=None)
@given(cases("percentile"))
def test_a_percentile_decision_names_the_percentile_of_the_completed_trials(case: Case) -> None:
    rule, record = case.rule(), Record()
    percentile = case.arguments["percentile"]
    if case.direction == "maximize":
        percentile = 100 - percentile
    for event in case.events:
        record.add(event)
        decision = tell(rule, event)
        if decision is None or decision.peers == 0:
            continue
        assert decision.step == max(record.values[event.trial])
        peers = record.at(decision.step)
        assert decision.peers == len(peers)
        if decision.threshold is None:
            too_few = len(peers) < case.arguments.get("n_min_trials", 1)
            assert too_few or math.isnan(np.percentile(peers, percentile))
            assert not decision.prune
        else:
            assert decision.threshold == np.percentile(peers, percentile)
            worse = decision.value < decision.threshold
            if case.direction == "minimize":
                worse = decision.value > decision.threshold
            assert decision.prune is worse


@settings(max_examples=300, deadline=None)
@given(cases("median"))
def test_the_value_of_a_median_decision_is_the_best_so_far(case: Case) -> None:
    rule, record = case.rule(), Record()
    best = max if case.direction == "maximize" else min
    for event in case.events:
        record.add(event)
        decision = tell(rule, event)
        if decision is None:
            continue
        numbers = [value for value in record.values[event.trial].values() if not math.isnan(value)]
        assert decision.value == best(numbers) if numbers else math.isnan(decision.value)


@settings(max_examples=300, deadline=None)
@given(cases("asha"))
def test_an_asha_decision_names_the_worst_value_of_the_rung_that_goes_on(case: Case) -> None:
    rule = case.rule()
    eta = case.arguments.get("reduction_factor", 4)
    for number, event in enumerate(case.events):
        decision = tell(rule, event)
        if decision is None or decision.peers == 0:
            continue
        rung = list(rule.attributes(event.trial))[-1]
        trials = {event.trial for event in case.events[: number + 1]}
        values = [rule.attributes(trial)[rung] for trial in trials if rung in rule.attributes(trial)]
        assert decision.peers == len(values)
        if decision.threshold is None:
            assert decision.prune is (len(values) <= case.arguments.get("bootstrap_count", 0))
            assert decision.prune or len(values) == 1
        else:
            values.sort(reverse=case.direction == "maximize")
            assert decision.threshold == values[: max(len(values) // eta, 1)][-1]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["median", "percentile", "asha", "hyperband", "threshold", "patient"]).flatmap(cases))
def test_a_threshold_is_never_nan_and_a_pruned_number_has_one_or_too_few_peers(case: Case) -> None:
    rule = case.rule()
    for event in case.events:
        decision = tell(rule, event)
        if decision is None:
            continue
        assert decision.threshold is None or not math.isnan(decision.threshold)
        if decision.prune and decision.threshold is None:
            assert math.isnan(decision.value) or decision.peers <= 3, "3 is the largest bootstrap_count drawn"


_floats = st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 1.0, math.inf, -math.inf])


@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
@tried(1000)
@given(st.lists(_floats, min_size=1, max_size=30), st.floats(0, 100) | st.integers(0, 100))
@example([math.inf], 50)
@example([-math.inf, math.inf], 50)
@example([1.0, math.inf, math.inf], 75)
@example([-1e308, 1e308], 0)
def test_interpolation_is_numpys_to_the_last_bit(values: list[float], percentile: float) -> None:
    ours, numpys = interpolate(sorted(values), percentile / 100), float(np.nanpercentile(values, percentile))
    assert ours == numpys or (math.isnan(ours) and math.isnan(numpys))


def test_a_decision_cannot_be_changed() -> None:
    decision = Decision(False, "median", 3, 0.5, None, 0)
    with pytest.raises(AttributeError):
        decision.prune = True  # type: ignore[misc]


def test_the_rules_need_neither_optuna_nor_numpy() -> None:
    code = "import sys, orchestrator.pruning; print({'optuna', 'numpy'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
