"""Samplers that try everything: how they see the study, and when nothing is left to try.

Leans on two private names of Optuna's brute force sampler, its tree and how it is filled; the engine's tests of that
sampler fail when they change.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BruteForceSampler
from optuna.samplers._brute_force import _TreeNode
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from orchestrator.spec.samplers import LARGEST_GRID


def _check_size(name: str, distribution: BaseDistribution) -> None:
    """Refuses a parameter that an objective suggests with more values than Optuna can list.

    Raises:
        ValueError: with the largest number that is allowed.
    """
    step = getattr(distribution, "step", None)
    if step and (distribution.high - distribution.low) / step >= LARGEST_GRID:  # type: ignore[attr-defined]
        raise ValueError(f"parameter '{name}' has more than {LARGEST_GRID} values, too many for brute force")


class BruteForce(BruteForceSampler):
    """Optuna's, on what has been tried."""

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        _check_size(param_name, param_distribution)
        return super().sample_independent(_Tried(study), trial, param_name, param_distribution)  # type: ignore[arg-type]

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Nothing: whether anything is left is asked before each ask, and has to survive a restart."""


class _Tried:
    """As much of a study as the sampler reads."""

    def __init__(self, study: optuna.Study) -> None:
        self._whole: BaseStorage = study._storage
        self._storage = self
        self._study_id = study._study_id

    def get_all_trials(self, study_id: int, deepcopy: bool, states: Container[TrialState]) -> list[FrozenTrial]:
        return _tried(self._whole.get_all_trials(study_id, deepcopy=deepcopy, states=states))


def leaves_nothing(trials: list[FrozenTrial]) -> bool:
    """Whether every combination has been tried, is being tried, or is going to be by a trial that is on its way.

    What nobody has asked for yet is not known to be there: while the first trials have asked for nothing, they may be
    more than there are combinations.
    """
    tree = _TreeNode()
    begun = _tried([trial for trial in trials if trial.state is not TrialState.WAITING])
    try:
        BruteForceSampler._populate_tree(tree, [trial for trial in begun if trial.params], {})
    except ValueError:
        # Ranges that change from trial to trial; the sampler says so when it is asked.
        return False
    promised = sum(not trial.state.is_finished() and _goes_on(tree, trial) for trial in begun)
    return tree.children is not None and tree.count_unexpanded(exclude_running=True) <= promised


def _tried(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Leaves out trials that ended before they had asked for all that others ask for: they have tried nothing, and
    Optuna would refuse a tree in which a branch is a leaf."""
    inside = {()} | {path[:depth] for path in map(_path, trials) for depth in range(len(path))}
    return [trial for trial in trials if not trial.state.is_finished() or _path(trial) not in inside]


def _path(trial: FrozenTrial) -> tuple[tuple[str, Any], ...]:
    return tuple(trial.params.items())


def _goes_on(tree: _TreeNode, trial: FrozenTrial) -> bool:
    """Whether the trial is where others went on: it will take one of the combinations from there."""
    node: Any = tree
    for name, distribution in trial.distributions.items():
        value = trial.params[name]
        if isinstance(distribution, CategoricalDistribution):
            value = distribution.to_internal_repr(value)
        node = (getattr(node, "children", None) or {}).get(value)
    return bool(getattr(node, "children", None))


def cells_taken(trials: list[FrozenTrial], cells: int) -> bool:
    """Whether each of a grid's cells has been dealt, those that are being tried included.

    Optuna's own answer leaves these out, and would have them tried again.
    """
    taken = {trial.system_attrs["grid_id"] for trial in trials if "grid_id" in trial.system_attrs}
    return len(taken) >= cells
