"""Samplers that try every combination: how they see the study, and when none is left.

They use private names of Optuna's brute force sampler (its tree, and how it is filled) and of its grid sampler (what it
makes of its arguments); the engine's tests of these samplers fail when these change.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BruteForceSampler, GridSampler
from optuna.samplers._brute_force import _TreeNode
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from orchestrator.spec.sampler_table import LARGEST_GRID


def _check_size(name: str, distribution: BaseDistribution) -> None:
    """Refuses a parameter that an objective suggests with more values than Optuna can list.

    Raises:
        ValueError: with the largest number that is allowed.
    """
    step = getattr(distribution, "step", None)
    if step and (distribution.high - distribution.low) / step >= LARGEST_GRID:  # type: ignore[attr-defined]
        raise ValueError(f"parameter '{name}' has more than {LARGEST_GRID} values, too many for brute force")


class BruteForce(BruteForceSampler):
    """Optuna's brute force sampler, on the combinations that have been tried."""

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        _check_size(param_name, param_distribution)
        return super().sample_independent(_Tried(study), trial, param_name, param_distribution)  # type: ignore[arg-type]

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Does nothing: the engine checks before each ask whether a combination is left, also after a restart."""


class _Tried:
    """The part of a study that the sampler reads."""

    def __init__(self, study: optuna.Study) -> None:
        self._whole: BaseStorage = study._storage
        self._storage = self
        self._study_id = study._study_id

    def get_all_trials(self, study_id: int, deepcopy: bool, states: Container[TrialState]) -> list[FrozenTrial]:
        return _tried(self._whole.get_all_trials(study_id, deepcopy=deepcopy, states=states))


def leaves_nothing(trials: list[FrozenTrial]) -> bool:
    """Whether every combination has been tried, is being tried, or is going to be by a trial that is on its way.

    Combinations are known only once a trial has asked for their parameters: before that, more trials may be underway
    than there are combinations.
    """
    tree = _TreeNode()
    begun = _tried([trial for trial in trials if trial.state is not TrialState.WAITING])
    try:
        BruteForceSampler._populate_tree(tree, [trial for trial in begun if trial.params], {})
    except ValueError:
        # Ranges that change from trial to trial; the sampler reports them when it is asked.
        return False
    promised = sum(not trial.state.is_finished() and _goes_on(tree, trial) for trial in begun)
    return tree.children is not None and tree.count_unexpanded(exclude_running=True) <= promised


def _tried(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Leaves out trials that ended before they had asked for all parameters that others ask for.

    They have tried no combination, and Optuna refuses a tree in which a branch is a leaf.
    """
    inside = {()} | {path[:depth] for path in map(_path, trials) for depth in range(len(path))}
    return [trial for trial in trials if not trial.state.is_finished() or _path(trial) not in inside]


def _path(trial: FrozenTrial) -> tuple[tuple[str, Any], ...]:
    return tuple(trial.params.items())


def _goes_on(tree: _TreeNode, trial: FrozenTrial) -> bool:
    """Whether other trials took a further parameter from here: this one will take one of the combinations from here."""
    node: Any = tree
    for name, distribution in trial.distributions.items():
        value = trial.params[name]
        if isinstance(distribution, CategoricalDistribution):
            value = distribution.to_internal_repr(value)
        node = (getattr(node, "children", None) or {}).get(value)
    return bool(getattr(node, "children", None))


class Grid(GridSampler):
    """Optuna's grid sampler, on the cells that any grid has dealt.

    Optuna tells cells by their numbers, which depend on the sampler's seed: a study that began with another seed would
    get some cells twice and others never. Here the parameters of its trial are the cell.
    """

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        storage, number = study._storage, trial._trial_id
        if "grid_id" in trial.system_attrs or "fixed_params" in trial.system_attrs:
            return
        dealt = _dealt(storage.get_all_trials(study._study_id, deepcopy=False), self._param_names)
        cell = trial.number
        if cell >= len(self._all_grids) or _cell(self._all_grids[cell]) in dealt:
            left = [place for place, values in enumerate(self._all_grids) if _cell(values) not in dealt]
            cell = int(self._rng.rng.choice(left or len(self._all_grids)))
        storage.set_trial_system_attr(number, "search_space", self._search_space)
        storage.set_trial_system_attr(number, "grid_id", cell)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Any) -> None:
        """Does nothing: the engine checks before each ask whether a combination is left, also after a restart."""


def cells_taken(trials: list[FrozenTrial], space: Mapping[str, Sequence[Any]]) -> bool:
    """Whether each cell of a grid has been dealt, those that are being tried included."""
    names = sorted(space)
    allowed = [set(_cell(space[name])) for name in names]
    dealt = _dealt(trials, names)
    taken = sum(all(value in values for value, values in zip(cell, allowed, strict=True)) for cell in dealt)
    return taken >= math.prod(map(len, allowed))


def _dealt(trials: Iterable[FrozenTrial], names: Sequence[str]) -> set[tuple[Any, ...]]:
    """Returns the cells of the trials that a grid dealt, as far as they have all of their parameters."""
    return {
        _cell(trial.params[name] for name in names)
        for trial in trials
        if "grid_id" in trial.system_attrs and all(name in trial.params for name in names)
    }


def _cell(values: Iterable[Any]) -> tuple[Any, ...]:
    """Returns the values in a form that compares as a person would."""
    return tuple(map(_value, values))


@functools.lru_cache(maxsize=10_000, typed=True)
def _value(value: Any) -> tuple[str, Any]:
    """Returns a value in the form that cells compare: ``0.1 + 0.2`` is 0.3, and true is not 1."""
    if isinstance(value, bool | str) or value is None:
        return type(value).__name__, value
    return "number", float(f"{value:.12g}")
