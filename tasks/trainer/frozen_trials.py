"""Converts the study view of the control plane to Optuna's frozen trials."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable, Container

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState

from tasks.constraints import PREFIX
from tasks.contract import StudyView, TrialView


def frozen_trials(view: StudyView, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
    """Returns the trials by number, all or those in these states.

    An id is the number below zero, which is no trial's in a database.
    """

    @functools.cache
    def distribution(index: int) -> BaseDistribution:
        # Only those that are used: Optuna warns of odd choices when it reads them.
        return json_to_distribution(view.distributions[index])

    return [
        _frozen(number, trial, distribution)
        for number, trial in enumerate(view.trials)
        if states is None or TrialState[trial.state] in states
    ]


def number_of(trial_id: int) -> int:
    """Returns the number of the trial with this id."""
    return -1 - trial_id


def _frozen(number: int, trial: TrialView, distribution: Callable[[int], BaseDistribution]) -> FrozenTrial:
    started = local_time(trial.started)
    if started is None and trial.state != "WAITING":
        # Sent and not begun yet; Optuna has no running trial without a start time.
        started = datetime.datetime.now()  # noqa: DTZ005
    own = {name: distribution(index) for name, (_, index) in trial.params.items()}
    constraints = {PREFIX + key: value for key, value in trial.constraints.items()}
    return FrozenTrial(
        number=number,
        state=TrialState[trial.state],
        value=None,
        values=None if trial.values is None else list(trial.values),
        datetime_start=started,
        datetime_complete=local_time(trial.completed),
        params={name: own[name].to_external_repr(value) for name, (value, _) in trial.params.items()},
        distributions=own,
        user_attrs=trial.user_attrs,
        # A control plane one version behind sends constraints alone.
        system_attrs=trial.system_attrs or constraints,
        intermediate_values=trial.steps,
        trial_id=-1 - number,
    )


def local_time(seconds: float | None) -> datetime.datetime | None:
    """Returns naive local time, as in every FrozenTrial."""
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds)  # noqa: DTZ006
