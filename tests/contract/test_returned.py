"""A trial that was asked for and never began waits again in Optuna's table, and is asked for once more."""

from __future__ import annotations

from collections.abc import Callable

import optuna
import pytest
from leased_store import NOW, LeasedStore, attempt, optuna_storage

from orchestrator.common.errors import ForeignWrite
from orchestrator.engine import inputs
from orchestrator.engine.study import StudyEngine
from orchestrator.model.changeset import Changes
from orchestrator.queries.readonly import open_study_reader
from orchestrator.sampling.sampler_replica import Replica


def states(leased: LeasedStore) -> list[tuple[str, bool]]:
    """Of each trial its state by Optuna's own code, and whether it has a time of its start."""
    return [(trial.state.name, trial.datetime_start is not None) for trial in leased.optuna_trials()]


def asked_for(leased: LeasedStore) -> None:
    row = attempt(0, state="done", cause="not started")
    leased.commit(Changes(new_trials={0: NOW}, attempts={row.token: row}))


def test_it_waits_and_is_started_again(leased: LeasedStore) -> None:
    leased.create()
    asked_for(leased)
    assert states(leased) == [("RUNNING", True)]
    for _ in range(2):  # twice, as where the commit's reply was lost
        leased.commit(Changes(returned={0}))
        assert states(leased) == [("WAITING", False)]
    leased.commit(Changes(starts={0: NOW + 1}))
    assert states(leased) == [("RUNNING", True)]


def test_one_that_another_program_has_ended_stays_so(leased: LeasedStore) -> None:
    leased.create()
    asked_for(leased)
    with optuna_storage(leased.url) as storage:
        optuna.load_study(study_name="study", storage=storage).tell(0, 0.5)
    with pytest.raises(ForeignWrite):
        leased.commit(Changes(returned={0}))
    assert states(leased) == [("COMPLETE", True)]


def answer_all(engine: StudyEngine, commit: Callable[[], object]) -> None:
    """Lets a sampler answer all that is asked, each answer in a commit of its own."""
    while questions := engine.trials.questions.unanswered():
        replica = Replica(engine.spec, 7)
        replica.load(engine.trials.sampler.copy())
        engine.apply(inputs.SamplerAnswered(replica.answer(questions[0])), NOW)
        commit()


def test_a_stopped_study_is_read_as_it_was_left(leased: LeasedStore) -> None:
    space = {"x": {"type": "float", "low": 0.0, "high": 1.0}}
    leased.create(trials=3, sampler={"name": "random"}, space=space)
    engine = StudyEngine(leased.load(), NOW)
    leased.commit(engine.take().changes)
    answer_all(engine, lambda: leased.commit(engine.take().changes))
    engine.apply(inputs.StudyStopped(), NOW + 1)
    leased.commit(engine.take().changes)
    assert {state for state, _ in states(leased)} == {"WAITING"}
    with open_study_reader(leased.url) as history:
        found = history.overview("study").progress
        heads = history.trials("study").heads()
    assert (found.state, found.budget, found.ended, found.begun) == ("stopped", 3, 0, 0)
    assert found.enqueued == len(heads) > 0
    assert [head.attempts for head in heads] == [0] * len(heads)
    before = {trial.number: dict(trial.params) for trial in leased.load().trials}
    assert all(before.values())
    again = StudyEngine(leased.load(), NOW + 2)
    again.apply(inputs.SpecChanged(again.spec.to_json()), NOW + 2)
    leased.commit(again.take().changes)
    now = {trial.number: trial for trial in leased.load().trials}
    assert all(now[number].params == params for number, params in before.items())
    assert all(now[number].state.name == "RUNNING" for number in before)
