"""Trials that another process has ended or asked for are noticed, and the batch is not written."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest
from books import NOW, Books, X, a_trial, attempt, optuna_storage
from optuna.trial import TrialState

from orchestrator.common.errors import ForeignWrite
from orchestrator.model.changeset import Changes, TrialEnd


def told_by_optuna(books: Books, state: TrialState = TrialState.FAIL) -> None:
    books.create()
    row = replace(attempt(0), state="running", runner="r")
    books.commit(Changes(new_trials={0: NOW}, attempts={row.token: row}))
    with optuna_storage(books.url) as storage:
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
    books: Books, changes: Changes, state: TrialState
) -> None:
    told_by_optuna(books, state)
    before = books.rows()
    with pytest.raises(ForeignWrite, match="trial 0"):
        books.commit(changes)
    assert books.rows() == before


def test_the_rest_of_the_batch_is_not_written_either(books: Books) -> None:
    told_by_optuna(books)
    before = books.rows()
    batch = a_trial(1, ends={0: TrialEnd("FAIL", None, NOW)}, study_state=("paused", "", NOW))
    with pytest.raises(ForeignWrite):
        books.commit(batch)
    assert books.rows() == before
    books.load()
    books.commit(a_trial(1))
    assert len(books.optuna_trials()) == 2


def test_an_attempt_of_such_a_trial_can_still_be_told_to_stop(books: Books) -> None:
    told_by_optuna(books)
    row = attempt(0, state="stopping", runner="r", verdict="ended elsewhere")
    books.commit(Changes(attempts={row.token: row}))
    assert books.load().attempts[0].verdict == "ended elsewhere"


def test_a_trial_that_another_process_asked_for_is_not_taken_for_ours(books: Books) -> None:
    """A notebook calls ``study.ask()`` on a study that is being served: the number is taken."""
    books.create()
    with optuna_storage(books.url) as storage:
        optuna.load_study(study_name="study", storage=storage).ask()
    before = books.rows()
    with pytest.raises(ForeignWrite):
        books.commit(a_trial(0, params=[(0, "x", 0.5, X)]))
    assert books.rows() == before
    assert [trial.number for trial in books.load().trials] == [0]
