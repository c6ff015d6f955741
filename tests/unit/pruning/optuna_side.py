"""The same history told to Optuna's own pruner, by way of a study in memory."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from tests.unit.pruning.histories import STUDY_NAME, Case, Event, Report

_PRUNERS: dict[str, type[BasePruner]] = {
    "none": optuna.pruners.NopPruner,
    "median": optuna.pruners.MedianPruner,
    "percentile": optuna.pruners.PercentilePruner,
    "asha": optuna.pruners.SuccessiveHalvingPruner,
    "hyperband": optuna.pruners.HyperbandPruner,
    "threshold": optuna.pruners.ThresholdPruner,
}


def quiet(maker: type[BasePruner], arguments: Mapping[str, Any]) -> BasePruner:
    """Makes one of the pruners that Optuna calls experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return maker(**arguments)


def pruner(name: str, arguments: Mapping[str, Any]) -> BasePruner:
    if name == "wilcoxon":
        return quiet(optuna.pruners.WilcoxonPruner, arguments)
    if name != "patient":
        return _PRUNERS[name](**arguments)
    own = dict(arguments)
    wrapped = own.pop("wrapped")
    inner = None
    if wrapped is not None:
        inner = pruner(wrapped["name"], {key: wrapped[key] for key in wrapped if key != "name"})
    return quiet(optuna.pruners.PatientPruner, own | {"wrapped_pruner": inner})


class OptunaSide:
    """A study that is told events as a rule is."""

    def __init__(self, case: Case) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.storage = InMemoryStorage()
        self.study = optuna.create_study(
            storage=self.storage,
            study_name=STUDY_NAME,
            direction=case.direction,
            pruner=pruner(case.name, case.arguments),
            sampler=optuna.samplers.RandomSampler(seed=0),
        )
        self._ids: dict[int, int] = {}

    def tell(self, event: Event, value: float = 0.0) -> bool | None:
        """Returns what ``should_prune`` would, or None at a trial's end, where ``value`` is the trial's."""
        if event.trial not in self._ids:
            self._ids[event.trial] = self.storage.create_new_trial(self.study._study_id)
        trial_id = self._ids[event.trial]
        if isinstance(event, Report):
            self.storage.set_trial_intermediate_value(trial_id, event.step, event.value)
            return bool(self.study.pruner.prune(self.study, self.trial(event.trial)))
        self.storage.set_trial_state_values(trial_id, TrialState[event.state], [value])
        return None

    def trial(self, number: int) -> FrozenTrial:
        return self.storage.get_trial(self._ids[number])

    def completed(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
