"""A study is handed over in pieces, and a replica that was made of them holds it all."""

from __future__ import annotations

from datetime import datetime

from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from orchestrator.sampling.sampler_replica import ReplicaStorage
from orchestrator.sampling.study_copy import StudyCopy

SPACE = {"x": FloatDistribution(0.0, 1.0)}
REPORTS = [0, 3, 1_000, 0, 5_000, 2] + [0] * 40


def trial_of(number: int, reports: int) -> FrozenTrial:
    made = create_trial(
        state=TrialState.RUNNING,
        params={"x": 0.5},
        distributions=SPACE,
        intermediate_values={step: float(step) for step in range(reports)},
    )
    made.number = made._trial_id = number
    made.datetime_start = datetime(2026, 1, 1)  # noqa: DTZ001 - as Optuna has them
    return made


def study() -> StudyCopy:
    trials = [trial_of(number, reports) for number, reports in enumerate(REPORTS)]
    return StudyCopy(trials, {2: ("x",), 30: ("x",)}, {"note": [1]}, {"mark": 2})


def test_pieces_are_bounded_by_trials_and_by_what_they_reported() -> None:
    pieces = list(study().pieces())
    assert [len(piece.trials) for piece in pieces] == [0, 5, 10, 10, 10, 10, 1]
    assert [trial.number for piece in pieces for trial in piece.trials] == list(range(len(REPORTS)))


def test_a_replica_of_the_pieces_is_one_of_the_whole() -> None:
    whole, parts = ReplicaStorage(), ReplicaStorage()
    for storage, pieces in ((whole, [study()]), (parts, study().pieces())):
        storage.create_study("s", ["maximize"])
        for piece in pieces:
            storage.load(piece)
    assert whole.get_all_trials(0) == parts.get_all_trials(0) == study().trials
    assert [parts.ahead(number) for number in (2, 3, 30)] == [SPACE, {}, SPACE]
    assert parts.get_study_user_attrs(0) == {"note": [1]}
    assert parts.get_study_system_attrs(0) == {"mark": 2}


def test_what_is_loaded_is_not_changed_later() -> None:
    storage = ReplicaStorage()
    storage.create_study("s", ["maximize"])
    given = StudyCopy([trial_of(0, 2)], {}, {}, {})
    storage.load(given)
    storage.set_trial_intermediate_value(0, 7, 0.1)
    storage.set_trial_state_values(0, TrialState.COMPLETE, [1.0])
    assert given.trials[0] == trial_of(0, 2)
