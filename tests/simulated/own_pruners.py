"""Pruners of the user's own, as a spec names them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import ClassVar

import optuna
from optuna.trial import FrozenTrial, TrialState


class Watching(optuna.pruners.BasePruner):
    """Decides by everything that a pruner can see, keeps notes in the study, and hands on what it saw."""

    saw: ClassVar[Callable[[list[FrozenTrial], FrozenTrial], None]] = lambda *_: None

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        trials = study.get_trials()
        type(self).saw(copy.deepcopy(trials), trial)
        storage, study_id = study._storage, study._study_id
        seen = storage.get_study_system_attrs(study_id).get("seen", 0) + 1
        storage.set_study_system_attr(study_id, "seen", seen)
        storage.set_trial_system_attr(trial._trial_id, "asked", seen)
        ended = sum(each.state is TrialState.COMPLETE for each in trials)
        return len(trial.intermediate_values) > 1 and (seen + ended + int(100 * trial.params["x"])) % 5 == 0


class Median(optuna.pruners.MedianPruner):
    """Optuna's median rule under a name of one's own."""


class Raises(optuna.pruners.BasePruner):
    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:  # noqa: ARG002
        raise KeyError("no such thing")
