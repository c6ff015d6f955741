"""The study an objective sees on a worker: what is read of it, and ``stop()``."""

from __future__ import annotations

import contextlib
import datetime
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final

import optuna
from optuna.distributions import json_to_distribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tasks.constraints import PREFIX
from tasks.contract import Job, StudyStop, StudyView, TrialView
from tasks.frames import FromTrainer

READ: Final = (
    "best_params",
    "best_trial",
    "best_trials",
    "best_value",
    "get_trials",
    "trials",
    "trials_dataframe",
)
"""What is read of the trials: each time anew, by one question to the control plane."""


class WorkerStudy:
    """What an objective can see of its study on a worker.

    Name, directions and user attributes are those of the moment at which the trial was sent. ``trials`` and what is
    made of them, as ``best_trial``, are those of the moment at which they are read, and copies.

    Args:
        job: The attempt.
        send: Writes a frame to the keeper.
        look: Asks for the study's trials and waits for them.
    """

    def __init__(self, job: Job, send: Callable[[FromTrainer], None], look: Callable[[], StudyView]) -> None:
        self.study_name = job.study
        self.directions = [StudyDirection[direction.upper()] for direction in job.directions]
        self._attributes = job.study_attrs
        self._send = send
        self._look = look

    @property
    def direction(self) -> StudyDirection:
        """The direction of a study with one objective."""
        if len(self.directions) > 1:
            raise RuntimeError("a study with several objectives has directions, not one direction")
        return self.directions[0]

    @property
    def user_attrs(self) -> dict[str, Any]:
        """The study's user attributes; a copy."""
        return dict(self._attributes)

    def stop(self) -> None:
        """Ends the study when the trials that run now have ended."""
        self._send(StudyStop())

    def __getattr__(self, name: str) -> Any:
        if name in READ:
            return getattr(read(self.study_name, self.directions, self._look()), name)
        listed = ", ".join(("study_name", "direction", "directions", "user_attrs", *READ))
        raise AttributeError(f"on a worker trial.study has no '{name}': there are {listed} and stop()")


def read(name: str, directions: list[StudyDirection], view: StudyView) -> optuna.Study:
    """Returns a study in memory with these trials, so that Optuna's own code answers what is asked about them."""
    storage = optuna.storages.InMemoryStorage()
    with _silent("optuna.storages._in_memory"):
        study_id = storage.create_new_study(directions, name)
    distributions = [json_to_distribution(text) for text in view.distributions]
    for number, trial in enumerate(view.trials):
        storage.create_new_trial(study_id, _frozen(number, trial, distributions))
    return optuna.study.Study(name, storage, optuna.samplers.RandomSampler(), optuna.pruners.NopPruner())


@contextlib.contextmanager
def _silent(name: str) -> Iterator[None]:
    """Keeps a logger's word out of the trial's log: no study was created."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


def _frozen(number: int, trial: TrialView, distributions: list[optuna.distributions.BaseDistribution]) -> FrozenTrial:
    started = local_time(trial.started)
    if started is None and trial.state != "WAITING":
        # Asked for and sent, and not begun yet; Optuna has no running trial without a time.
        started = datetime.datetime.now()  # noqa: DTZ005
    own = {name: distributions[index] for name, (_, index) in trial.params.items()}
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
        system_attrs={PREFIX + key: value for key, value in trial.constraints.items()},
        intermediate_values=trial.steps,
        trial_id=number,
    )


def local_time(seconds: float | None) -> datetime.datetime | None:
    """Returns naive local time, as every FrozenTrial has it."""
    return None if seconds is None else datetime.datetime.fromtimestamp(seconds)  # noqa: DTZ006
