"""The best trial and the Pareto front, kept trial by trial, are those that Optuna finds in the whole study."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from orchestrator.sampling.best_trials import BestTrials, best_of, front_of
from orchestrator.sampling.staged_storage import StagedStorage

VALUES = st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, math.inf, -math.inf])
CONSTRAINTS = st.one_of(
    st.just({}),
    st.dictionaries(
        st.sampled_from(["constraints:a", "constraints:b"]), st.sampled_from([-1.0, 0, 0.5, math.nan, "x"])
    ),
    st.fixed_dictionaries({"constraints": st.lists(st.sampled_from([-1.0, 0.0, 2, None]), max_size=2)}),
)
TRIALS = st.lists(st.tuples(st.lists(VALUES, min_size=3, max_size=3), CONSTRAINTS, st.booleans()), max_size=12)


def outcome(read: Any) -> Any:
    """Returns what a function returns, or the kind of error that it raises."""
    try:
        return read()
    except (ValueError, TypeError) as error:
        return type(error)


@pytest.mark.parametrize("directions", [["minimize"], ["maximize"], ["maximize", "minimize"], ["minimize"] * 3])
@given(trials=TRIALS, order=st.randoms(use_true_random=False))
def test_trial_by_trial_is_as_the_whole_study(directions: list[str], trials: list[Any], order: Any) -> None:
    storage = StagedStorage()
    storage.create_study("study", directions)
    study = optuna.Study("study", storage, optuna.samplers.RandomSampler(), optuna.pruners.NopPruner())
    best = BestTrials(study)
    complete = []
    for values, constraints, completes in trials:
        state = TrialState.COMPLETE if completes else TrialState.PRUNED
        held = values[: len(directions)] if completes else None
        number = storage.create_new_trial(0, create_trial(state=state, values=held, system_attrs=constraints))
        complete += [number] * completes
    order.shuffle(complete)
    for number in complete:
        best.add(storage.get_trial(number))

    def whole() -> Any:
        front = front_of(study)
        return best_of(study), None if front is None else len(front)

    assert outcome(best.read) == outcome(whole)
