"""The study of an objective on a worker: an ``optuna.Study`` whose storage is the channel to the keeper."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NoReturn

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, Trial

from tasks.contract import StudyStop
from tasks.trainer.keeper_channel import KeeperChannel
from tasks.trainer.storage import ASKS, WorkerStorage, refuse_to


class WorkerStudy(optuna.study.Study):
    """``optuna.Study`` without a database; all but the following is Optuna's own code.

    Name, directions and attributes are those at the time when the trial was sent, and what the trial has set since.
    ``trials`` and what is derived from them, such as ``best_trial``, are read at the time of the call.

    Args:
        name: Name of the study.
        storage: Storage of the trial.
        channel: The channel to the keeper.
        due: Whether the trial must leave.
    """

    def __init__(self, name: str, storage: WorkerStorage, channel: KeeperChannel, due: Callable[[], bool]) -> None:
        super().__init__(name, storage, _Sampler(), _Pruner(due))
        self._channel = channel
        # Inside an objective, ``optimize`` is refused.
        self._thread_local.in_optimize_loop = True

    def __reduce__(self) -> tuple[Any, tuple[Trial | None]]:
        storage = self._storage
        return operator.attrgetter("study"), (storage.trial if isinstance(storage, WorkerStorage) else None,)

    def ask(self, fixed_distributions: dict[str, BaseDistribution] | None = None) -> NoReturn:
        """Raises: only the control plane asks for trials."""
        del fixed_distributions
        refuse_to("ask for a trial", ASKS)

    def stop(self) -> None:
        """Ends the study when the trials that run have ended."""
        self._stop_flag = True
        self._channel.send(StudyStop())


class _Pruner(BasePruner):
    """Answers what the pruner of the control plane has decided."""

    def __init__(self, due: Callable[[], bool]) -> None:
        self._due = due

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        del study, trial
        return self._due()


class _Sampler(BaseSampler):
    """Samples nothing: ``suggest_*`` asks the sampler of the control plane."""

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        del study, trial
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        del study, trial, search_space
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> NoReturn:
        del study, trial, param_distribution
        raise RuntimeError(f"on a worker an objective samples nothing itself: trial.suggest_* asks for '{param_name}'")
