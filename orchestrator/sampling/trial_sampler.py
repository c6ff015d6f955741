"""The sampler of trials: what it draws depends on the seed, the trial's number and the study's history alone.

Every trial gets a sampler of its own, seeded from (seed, number), and every parameter that is sampled by itself one
seeded from (seed, number, name). So nothing of a generator's state has to survive a restart. A sampler of the user's
own class may keep what it likes: there is one of it as long as the study is held in memory.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, TrialState, create_trial

from orchestrator.common.foreign_classes import said
from orchestrator.model.attribute_keys import AHEAD, RELATIVE
from orchestrator.model.suspension import printable
from orchestrator.sampling.distribution_text import from_text, to_text
from orchestrator.sampling.staged_storage import StagedStorage
from orchestrator.spec import Spec
from orchestrator.spec.configuration import can_be
from orchestrator.spec.sampler_factory import build_sampler


class SamplerFailed(Exception):
    """The sampler raised; the message is one line."""


class _Study(optuna.study.Study):
    """A study whose sampler may end it at any time, and whose next trial is there already."""

    stopped = False
    asked = 0

    def stop(self) -> None:
        # Not by raising, as outside of ``optimize``: whether anything is left is asked before each ask.
        self.stopped = True

    def _pop_waiting_trial_id(self) -> int:
        return self.asked


class TrialSampler:
    """Samples the parameters of trials in a storage.

    Args:
        spec: The search.
        seed: Where all randomness comes from.
        storage: The study.
    """

    def __init__(self, spec: Spec, seed: int, storage: StagedStorage) -> None:
        self._spec = spec
        self._seed = seed
        self._storage = storage
        self._kept = build_sampler(spec, seed) if ":" in spec.sampler.name else None
        self._study = _Study(spec.name, storage, self._sampler(0), optuna.pruners.NopPruner())
        self._space = spec.distributions()
        self._seen = IntersectionSearchSpace(include_pruned=True)
        self._trials: dict[int, optuna.Trial] = {}
        self._brackets: tuple[int, int, int] | None = None

    @property
    def stopped(self) -> bool:
        """Whether a sampler of the user's own has ended the study."""
        return self._kept is not None and self._study.stopped

    def deal_brackets(self, brackets: tuple[int, int, int] | None) -> None:
        """With hyperband, lets the sampler learn from the trials of a trial's own bracket alone, as Optuna does.

        ``brackets`` is (min_resource, max_resource, reduction_factor), ``None`` where they are not settled.
        """
        if brackets == self._brackets:
            return
        self._brackets = brackets
        self._study.pruner = optuna.pruners.NopPruner() if brackets is None else hyperband(self._study, brackets)

    def ask(self, number: int) -> None:
        """Samples what can be sampled ahead for a trial that was just created.

        Raises:
            SamplerFailed: the sampler raised.
        """
        with _Guard():
            self._study.sampler = self._sampler(number)
            self._study.asked = number
            trial = self._study.ask()
            # Now, not when the first parameter is asked for: what has been learned by then depends on the worker.
            relative = {name: value for name, value in trial.relative_params.items() if name not in self._space}
            self._sample(trial, self._space)
            # Brute force walks down a tree of parameters in the objective's own order.
            if not self._space and self._spec.sampler.name != "brute_force":
                with self._storage.sampling_ahead():
                    self._sample(trial, self._seen.calculate(self._study))
            self._trials[number] = trial
            self._keep(trial, relative)

    def suggest(self, number: int, name: str, distribution_json: str) -> None:
        """Samples a parameter for a trial that runs; one that was sampled ahead for another distribution is forgotten.

        Raises:
            SamplerFailed: the sampler raised.
        """
        if name in self._storage.ahead(number):
            self._storage.drop_ahead(number, [name])
            self._trials.pop(number, None)
        # Optuna keeps the trials it saw at the last ask; what a restart would see is what counts.
        self._study._thread_local.cached_all_trials = None
        with _Guard():
            trial = self._trials.get(number)
            if trial is None:
                trial = self._trials[number] = self._make_again(self._storage.get_trial(number))
            self._suggest(trial, name, from_text(distribution_json))

    def finish(self, number: int, state: TrialState, values: list[float] | None) -> None:
        """Runs the sampler's own post-processing of a trial that ends.

        Raises:
            SamplerFailed: the post-processing raised.
        """
        self._study._thread_local.cached_all_trials = None
        with _Guard():
            self._sampler(number).after_trial(self._study, self._storage.get_trial(number), state, values)

    def forget(self, number: int) -> None:
        """Lets go of what is held for a trial that has ended."""
        self._trials.pop(number, None)

    def _keep(self, trial: optuna.Trial, relative: dict[str, Any]) -> None:
        """Stages what was drawn for the trial and is not its own yet."""
        ahead = {
            name: [self._storage.get_trial_param(trial.number, name), to_text(distribution)]
            for name, distribution in self._storage.ahead(trial.number).items()
        }
        if ahead:
            self._storage.set_trial_system_attr(trial.number, AHEAD, ahead)
        space = trial.relative_search_space or {}
        rest = {
            name: [space[name].to_internal_repr(value), to_text(space[name])]
            for name, value in relative.items()
            if name in space and name not in ahead
        }
        if rest:
            self._storage.set_trial_system_attr(trial.number, RELATIVE, rest)

    def _make_again(self, frozen: FrozenTrial) -> optuna.Trial:
        """Makes the object through which a trial that runs is asked about, after a restart."""
        # Its constructor tells the sampler that a trial begins, which this one's sampler was told before.
        self._study.sampler = optuna.samplers.RandomSampler()
        trial = optuna.Trial(self._study, frozen.number)
        kept = frozen.system_attrs.get(AHEAD, {}) | frozen.system_attrs.get(RELATIVE, {})
        space = {name: from_text(text) for name, (_, text) in kept.items()}
        trial.relative_search_space = space
        trial._relative_params = {name: space[name].to_external_repr(value) for name, (value, _) in kept.items()}
        return trial

    def _sample(self, trial: optuna.Trial, space: Mapping[str, BaseDistribution]) -> None:
        """Samples these parameters for a trial that begins.

        One for which a person gave a value that it cannot have is left to the objective: it may offer something else by
        now, and if it does not, it is told so when it asks, and the trial fails alone.
        """
        for name, distribution in space.items():
            if name not in trial._fixed_params or can_be(distribution, trial._fixed_params[name]):
                self._suggest(trial, name, distribution)

    def _suggest(self, trial: optuna.Trial, name: str, distribution: BaseDistribution) -> None:
        self._study.sampler = self._sampler(trial.number, name)
        trial._suggest(name, distribution)

    def _sampler(self, number: int, name: str = "") -> optuna.samplers.BaseSampler:
        if self._kept is not None:
            return self._kept
        return build_sampler(self._spec, derive(self._seed, number, name))


class _Guard(warnings.catch_warnings):
    """Turns whatever a sampler raises into ``SamplerFailed``, and keeps its warnings off the screen."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        super().__exit__(kind, error, trace)
        # A sampler may be a class of the user's own: that it exits, or is interrupted, must not end this process.
        if error is not None:
            raise SamplerFailed(printable(said(error))) from error


def hyperband(study: optuna.Study, brackets: tuple[int, int, int]) -> optuna.pruners.HyperbandPruner:
    """Returns Optuna's pruner with its brackets counted, which it does when it is first asked."""
    pruner = optuna.pruners.HyperbandPruner(*brackets)
    pruner.prune(study, create_trial(state=TrialState.RUNNING))
    return pruner


def derive(seed: int, number: int, name: str = "") -> int:
    """Returns a 32-bit seed for (seed, number, name); independent of the platform."""
    digest = hashlib.blake2b(json.dumps([seed, number, name]).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")
