"""Any pruner of Optuna's kind as a rule."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from orchestrator.common.foreign_classes import said
from orchestrator.pruning.base import Decision, Direction, Outcome, RuleBase, RuleFailed
from orchestrator.sampling.staged_storage import StagedStorage


class _Private(StagedStorage):
    """A study in memory that belongs to no database: it stages nothing, and no time passes in it."""

    def __init__(self) -> None:
        super().__init__()
        self._recording = False


def private_study(direction: Direction, name: str) -> optuna.Study:
    """Returns an empty study in memory, whose trials' ids are their numbers."""
    storage = _Private()
    storage.create_study(name, [direction])
    return optuna.Study(name, storage, optuna.samplers.RandomSampler(seed=0), optuna.pruners.NopPruner())


class OptunaRule(RuleBase):
    """Asks a pruner of Optuna's kind about a trial of a study, as ``should_prune`` would.

    What the pruner keeps in the study is there again when the rule is rebuilt. What it keeps in itself is not, as in
    any program that continues an Optuna study.

    Args:
        name: For the decisions.
        pruner: Asked once a report.
        study: Where it looks. A trial's id there is its number.
        feeds: Whether the study is the rule's own and the rule fills it. Otherwise the caller fills it, records a
            report there before it tells the rule, and keeps what the pruner writes.
    """

    def __init__(self, name: str, pruner: optuna.pruners.BasePruner, study: optuna.Study, *, feeds: bool) -> None:
        super().__init__(name)
        self._pruner = pruner
        self._study = study
        self._storage = study._storage
        self._feeds = feeds
        self._results: dict[int, float] = {}
        if feeds:
            study.pruner = pruner

    def record(self, trial: int, step: int, value: float) -> None:
        if self._feeds:
            self._create_up_to(trial)
            self._storage.set_trial_intermediate_value(trial, step, value)

    def judge(self, trial: int) -> Decision:
        # The storage's own object: a pruner may take it to pieces, and reads it while it writes to the study.
        frozen = copy.deepcopy(self._storage.get_trial(trial))
        step, value = _last(frozen)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                prune = bool(self._pruner.prune(self._study, frozen))
            except (Exception, SystemExit) as error:
                raise RuleFailed(f"{self.name}: {said(error)}") from error
        return Decision(prune, self.name, step, value, None, 0)

    def result(self, trial: int, value: float) -> None:
        if self._feeds:
            self._results[trial] = value

    def finish(self, trial: int, state: Outcome) -> None:
        if not self._feeds:
            return
        self._create_up_to(trial)
        known = self._results.pop(trial, None)
        frozen = self._storage.get_trial(trial)
        values = None
        if state == "COMPLETE":
            values = [self._presumed(frozen) if known is None else known]
        elif state == "PRUNED" and not math.isnan(last := _last(frozen)[1]):
            values = [last]
        self._storage.set_trial_state_values(trial, TrialState[state], values)

    def attributes(self, trial: int) -> dict[str, Any]:
        if not self._feeds or trial >= self._storage.get_n_trials(self._study._study_id):
            return {}
        return dict(self._storage.get_trial(trial).system_attrs)

    def study_attributes(self) -> dict[str, Any]:
        return self._storage.get_study_system_attrs(self._study._study_id) if self._feeds else {}

    def restore_study(self, attributes: Mapping[str, Any]) -> None:
        if self._feeds:
            for key, value in attributes.items():
                self._storage.set_study_system_attr(self._study._study_id, key, value)

    def adopt(self, trial: int, attributes: Mapping[str, Any]) -> None:
        # The pruner does not say which attributes are its own; it may also look at others, such as constraints.
        if self._feeds:
            self._create_up_to(trial)
            for key, value in attributes.items():
                self._storage.set_trial_system_attr(trial, key, value)

    def _create_up_to(self, trial: int) -> None:
        """Creates the trials up to this one, all of them running: numbers count them in their order."""
        for _ in range(self._storage.get_n_trials(self._study._study_id), trial + 1):
            self._storage.create_new_trial(self._study._study_id)

    def _presumed(self, frozen: FrozenTrial) -> float:
        """Returns the value to assume for a completed trial: its last number; without one the worst there is, so that
        the trial is never the best."""
        numbers = [(step, value) for step, value in frozen.intermediate_values.items() if not math.isnan(value)]
        if numbers:
            return max(numbers)[1]
        return -math.inf if self._study.direction is optuna.study.StudyDirection.MAXIMIZE else math.inf


def _last(frozen: FrozenTrial) -> tuple[int, float]:
    step = frozen.last_step
    return (-1, math.nan) if step is None else (step, frozen.intermediate_values[step])
