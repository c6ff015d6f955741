"""A rule that is rebuilt from what was recorded decides the rest as the one that never stopped."""

from __future__ import annotations

import json
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.pruning import Decision, Outcome, RuleBase, registry
from tests.unit.pruning.histories import Case, Event, Report, cases, tell, tried
from tests.unit.pruning.optuna_side import OptunaSide, pruner

EXAMPLES = {"none": 50, "median": 400, "percentile": 400, "asha": 800, "hyperband": 700, "patient": 700}
"""Histories to try of a rule, where it takes other than 200: the more, the more it has to find again."""


def rebuilt(case: Case, events: list[Event], recorded: RuleBase, *, newest_first: bool) -> RuleBase:
    """A new rule that knows only what a database would: values, states and stored attributes."""
    values: dict[int, dict[int, float]] = {}
    states: dict[int, Outcome] = {}
    for event in events:
        reports = values.setdefault(event.trial, {})
        if isinstance(event, Report):
            reports[event.step] = event.value
        else:
            states[event.trial] = event.state

    def stored(attributes: dict[str, Any]) -> dict[str, Any]:
        return cast(dict[str, Any], json.loads(json.dumps(attributes | {"another's": [1]})))

    rule = case.rule()
    rule.restore_study(stored(recorded.study_attributes()))
    for trial in sorted(values, reverse=newest_first):
        rule.restore(trial, values[trial], states.get(trial), stored(recorded.attributes(trial)))
    return rule


def alike(one: Decision | None, other: Decision | None) -> bool:
    """Equality to which a NaN equals a NaN."""
    if one is None or other is None:
        return one is other
    pairs = zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)
    return all(a == b or (a != a and b != b) for a, b in pairs)


@pytest.mark.parametrize("name", registry.names())
def test_a_rebuilt_rule_goes_on_as_if_it_had_never_stopped(name: str) -> None:
    @tried(EXAMPLES.get(name, 200))
    @given(cases(name), st.floats(0, 1), st.booleans())
    def go_on_alike(case: Case, where: float, newest_first: bool) -> None:
        half = int(where * len(case.events))
        steady = case.rule()
        for event in case.events[:half]:
            tell(steady, event)
        fresh = rebuilt(case, case.events[:half], steady, newest_first=newest_first)
        for number, event in enumerate(case.events[half:], start=half):
            ours, theirs = tell(fresh, event), tell(steady, event)
            assert alike(ours, theirs), f"event {number}, {event}: {ours}, uninterrupted: {theirs}"
            assert fresh.attributes(event.trial) == steady.attributes(event.trial)
        assert fresh.study_attributes() == steady.study_attributes()

    go_on_alike()


@pytest.mark.filterwarnings("ignore:All-NaN (slice|axis) encountered:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:(invalid value|overflow) encountered:RuntimeWarning")
@pytest.mark.parametrize("name", ["median", "percentile", "asha", "hyperband", "threshold", "patient"])
def test_a_study_that_optuna_began_is_taken_over_as_a_new_pruner_would(name: str) -> None:
    """Rung values may be there then, but nothing that was settled for the study."""

    @tried(150)
    @given(cases(name), st.floats(0, 1))
    def take_over_alike(case: Case, where: float) -> None:
        half = int(where * len(case.events))
        optuna_side = OptunaSide(case)
        for event in case.events[:half]:
            optuna_side.tell(event)
        optuna_side.study.pruner = pruner(case.name, case.arguments)
        rule = case.rule()
        rule.restore_study({})
        for trial in optuna_side.study.trials:
            state = cast(Outcome, trial.state.name) if trial.state.is_finished() else None
            rule.restore(trial.number, trial.intermediate_values, state, trial.system_attrs)
        for number, event in enumerate(case.events[half:], start=half):
            ours, theirs = tell(rule, event), optuna_side.tell(event)
            assert (ours and ours.prune) is theirs, f"event {number}, {event}: {ours}, Optuna: {theirs}"

    take_over_alike()
