"""Trials that another process has ended or asked for are noticed, and the batch is not written."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest
from leased_store import NOW, LeasedStore, X, a_trial, attempt, optuna_storage
from optuna.trial import TrialState

from orchestrator.common.errors import ForeignWrite
from orchestrator.model.changeset import Changes, TrialEnd


def told_by_optuna(leased: LeasedStore, state: TrialState = TrialState.FAIL) -> None:
    leased.create()
    row = replace(attempt(0), state="running", runner="r")
    leased.commit(Changes(new_trials={0: NOW}, attempts={row.token: row}))
    with optuna_storage(leased.url) as storage:
        study = optuna.load_study(study_name="study", storage=storage)
        study.tell(0, 0.75 if state is TrialState.COMPLETE else None, state)


@pytest.mark.parametrize("state", [TrialState.FAIL, TrialState.COMPLETE])
@pytest.mark.parametrize(
    "changes",
    [
        Changes(ends={0: TrialEnd("COMPLETE", (0.5,), NOW + 1)}),
        Changes(ends={0: TrialEnd("FAIL", None, NOW + 1)}),
        Changes(starts={0: NOW + 1}),
        Changes(starts={0: NOW + 1}, ends={0: TrialEnd("COMPLETE", (0.5,), NOW + 1)}),
        Changes(values=[(0, 0, 0.5)]),
        Changes(params=[(0, "x", 0.5, X)]),
        Changes(user_attrs={(0, "k"): 1}),
    ],
    ids=["complete", "fail", "start", "start and end", "value", "parameter", "attribute"],
)
def test_a_trial_that_was_ended_by_another_process_is_not_written(
    leased: LeasedStore, changes: Changes, state: TrialState
) -> None:
    told_by_optuna(leased, state)
    before = leased.rows()
    with pytest.raises(ForeignWrite, match="trial 0"):
        leased.commit(changes)
    assert leased.rows() == before


def test_the_rest_of_the_batch_is_not_written_either(leased: LeasedStore) -> None:
    told_by_optuna(leased)
    before = leased.rows()
    batch = a_trial(1, ends={0: TrialEnd("FAIL", None, NOW)}, study_state=("paused", "", NOW))
    with pytest.raises(ForeignWrite):
        leased.commit(batch)
    assert leased.rows() == before
    leased.load()
    leased.commit(a_trial(1))
    assert len(leased.optuna_trials()) == 2


def test_an_attempt_of_such_a_trial_can_still_be_told_to_stop(leased: LeasedStore) -> None:
    told_by_optuna(leased)
    row = attempt(0, state="stopping", runner="r", verdict="ended elsewhere")
    leased.commit(Changes(attempts={row.token: row}))
    assert leased.load().attempts[0].verdict == "ended elsewhere"


def test_a_trial_that_another_process_asked_for_is_not_taken_for_ours(leased: LeasedStore) -> None:
    """A notebook calls ``study.ask()`` on a study that is being served: the number is taken."""
    leased.create()
    with optuna_storage(leased.url) as storage:
        optuna.load_study(study_name="study", storage=storage).ask()
    before = leased.rows()
    with pytest.raises(ForeignWrite):
        leased.commit(a_trial(0, params=[(0, "x", 0.5, X)]))
    assert leased.rows() == before
    assert [trial.number for trial in leased.load().trials] == [0]
