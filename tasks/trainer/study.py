"""The study an objective sees on a worker: an ``optuna.Study`` whose storage is the wire to the keeper."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from tasks.contract import StudyStop
from tasks.trainer.keeper_channel import KeeperChannel
from tasks.trainer.storage import ASKS, WorkerStorage, refuse_to

if TYPE_CHECKING:
    from tasks.trainer.trial import WorkerTrial


class WorkerStudy(optuna.study.Study):
    """``optuna.Study`` without a database; all but the following is Optuna's own code.

    Name, directions and attributes are those of the moment at which the trial was sent, and what the trial has set
    since. ``trials`` and what is made of them, as ``best_trial``, are those of the moment at which they are read.

    Args:
        name: Of the study.
        storage: The trial's.
        talk: The way to the keeper.
        due: Whether the search wants the trial to leave.
    """

    def __init__(self, name: str, storage: WorkerStorage, talk: KeeperChannel, due: Callable[[], bool]) -> None:
        super().__init__(name, storage, _Sampler(), _Pruner(due))
        self._talk = talk
        # Inside an objective, ``optimize`` is refused.
        self._thread_local.in_optimize_loop = True

    def __reduce__(self) -> tuple[Callable[[WorkerTrial], WorkerStudy], tuple[WorkerTrial | None]]:
        storage = self._storage
        return _of_trial, (storage.trial if isinstance(storage, WorkerStorage) else None,)

    def ask(self, fixed_distributions: dict[str, BaseDistribution] | None = None) -> NoReturn:
        """Refuses: trials are asked for in the control plane."""
        del fixed_distributions
        refuse_to("ask for a trial", ASKS)

    def stop(self) -> None:
        """Ends the study when the trials that run now have ended."""
        self._stop_flag = True
        self._talk.say(StudyStop())


class _Pruner(BasePruner):
    """Stands for the search's own, which works in the control plane: says what that has decided."""

    def __init__(self, due: Callable[[], bool]) -> None:
        self._due = due

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        del study, trial
        return self._due()


class _Sampler(BaseSampler):
    """Stands for the search's own, which works in the control plane; ``suggest_*`` asks there."""

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


def _of_trial(trial: WorkerTrial) -> WorkerStudy:
    return trial.study  # type: ignore[return-value]
