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
from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, TrialState, create_trial

from orchestrator.model.suspension import printable
from orchestrator.sampling.staged_storage import StagedStorage
from orchestrator.spec import Spec
from orchestrator.spec.configuration import can_be
from orchestrator.spec.exhaustive_samplers import cells_taken, leaves_nothing
from orchestrator.spec.sampler_factory import build_sampler, grid
from tasks.contract import Parameter

AHEAD = "orchestrator:ahead"
RELATIVE = "orchestrator:relative"
"""System attributes of a trial, as {name: [internal value, distribution]}: parameters that were sampled ahead for it,
and those that the sampler draws together, of which the objective may take some later. Drawn once, they are the same
after a restart, when the sampler would know more and draw others."""


class SamplerFailed(Exception):
    """The sampler raised; the message is one line."""


class _Study(optuna.study.Study):
    """A study whose sampler may end it at any time, as grid and brute force do when nothing is left."""

    stopped = False
    waiting: int | None = None

    def stop(self) -> None:
        # Not by raising, as outside of ``optimize``: whether anything is left is asked before each ask.
        self.stopped = True

    def _pop_waiting_trial_id(self) -> int | None:
        # The one that is due, which Optuna takes for the one with the lowest number.
        if self.waiting is not None:
            self._storage.set_trial_state_values(self.waiting, TrialState.RUNNING)
        return self.waiting


class TrialSampler:
    """Asks for trials and parameters in a storage.

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
        self.study = _Study(spec.name, storage, self._sampler(0), optuna.pruners.NopPruner())
        self._space = spec.distributions()
        self._grid = grid(spec) if spec.sampler.name == "grid" else {}
        self._seen = IntersectionSearchSpace(include_pruned=True)
        self._trials: dict[int, optuna.Trial] = {}

    def deal_brackets(self, min_resource: int, max_resource: int, reduction_factor: int) -> None:
        """With hyperband, lets the sampler learn from the trials of a trial's own bracket alone, as Optuna does."""
        pruner = optuna.pruners.HyperbandPruner(min_resource, max_resource, reduction_factor)
        # It counts its brackets when it is first asked.
        pruner.prune(self.study, create_trial(state=TrialState.RUNNING))
        self.study.pruner = pruner

    def is_exhausted(self) -> bool:
        """Whether nothing is left to try: what can be counted is, a sampler of the user's has to say so."""
        name = self._spec.sampler.name
        if name == "grid":
            return cells_taken(self._storage.get_all_trials(0, deepcopy=False), self._grid)
        if name == "brute_force":
            return leaves_nothing(self._storage.get_all_trials(0, deepcopy=False))
        return self._kept is not None and self.study.stopped

    def ask(self, waiting: int | None = None) -> int:
        """Creates the next trial, or takes the one that is ``waiting``, and samples what can be sampled ahead; returns
        its number.

        Raises:
            SamplerFailed: the sampler raised.
        """
        number = self._storage.get_n_trials(0)
        with self._guarded():
            self.study.sampler = self._sampler(number if waiting is None else waiting)
            self.study.waiting = waiting
            trial = self.study.ask()
            # Now, not when the first parameter is asked for: what has been learned by then depends on the worker.
            relative = {name: value for name, value in trial.relative_params.items() if name not in self._space}
            self._sample(trial, self._space)
            # Brute force walks down a tree of parameters in the objective's own order.
            if not self._space and self._spec.sampler.name != "brute_force":
                with self._storage.sampling_ahead():
                    self._sample(trial, self._seen.calculate(self.study))
        self._trials[trial.number] = trial
        self._keep(trial, relative)
        return trial.number

    def suggest(self, number: int, name: str, distribution_json: str) -> float:
        """Returns the internal value of a parameter for a trial that runs: the stored one, the one sampled ahead if
        the distribution is the same, or a new one.

        Raises:
            SamplerFailed: the sampler raised, or the distribution does not fit what was stored.
        """
        try:
            distribution = json_to_distribution(distribution_json)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise SamplerFailed(f"parameter '{name}': unreadable distribution: {error}") from None
        if name in self._storage.ahead(number):
            if self._storage.ahead(number)[name] == distribution:
                return self._storage.use_ahead(number, name)
            self._storage.drop_ahead(number, [name])
            self._trials.pop(number, None)
        frozen = self._storage.get_trial(number)
        # Optuna keeps the trials it saw at the last ask; what a restart would see is what counts.
        self.study._thread_local.cached_all_trials = None
        with self._guarded():
            if name not in frozen.distributions:
                trial = self._trials.get(number)
                if trial is None:
                    trial = self._trials[number] = self._make_again(frozen)
                self._suggest(trial, name, distribution)
            else:
                optuna.distributions.check_distribution_compatibility(frozen.distributions[name], distribution)
            return self._storage.get_trial_param(number, name)

    def finish(self, number: int, state: TrialState, values: list[float] | None) -> None:
        """Ends a trial in the storage, with the sampler's own post-processing.

        Raises:
            SamplerFailed: the post-processing raised; the trial has ended all the same.
        """
        trial = self._storage.get_trial(number)
        self._trials.pop(number, None)
        self._storage.drop_ahead(number)
        try:
            with self._guarded():
                self.study.sampler.after_trial(self.study, trial, state, values)
        finally:
            self._storage.set_trial_state_values(number, state, values)

    def params(self, number: int) -> dict[str, Parameter]:
        """Returns the parameters that are the trial's own."""
        return self._parameters(number, ahead=False)

    def ahead(self, number: int) -> dict[str, Parameter]:
        """Returns the parameters that were sampled ahead for it."""
        return self._parameters(number, ahead=True)

    def restore_ahead(self, trial: FrozenTrial) -> None:
        """Takes back what was sampled ahead for a trial that had not ended, from its system attributes."""
        for name, (internal, text) in trial.system_attrs.get(AHEAD, {}).items():
            if name not in trial.distributions:
                with self._storage.sampling_ahead():
                    self._storage.set_trial_param(trial.number, name, internal, json_to_distribution(text))

    def _parameters(self, number: int, *, ahead: bool) -> dict[str, Parameter]:
        waiting = self._storage.ahead(number)
        return {
            name: Parameter(
                value=self._storage.get_trial_param(number, name),
                distribution=distribution_to_json(distribution),
            )
            for name, distribution in self._storage.get_trial(number).distributions.items()
            if (name in waiting) is ahead
        }

    def _keep(self, trial: optuna.Trial, relative: dict[str, Any]) -> None:
        """Stages what was drawn for the trial and is not its own yet."""
        ahead = {name: [param.value, param.distribution] for name, param in self.ahead(trial.number).items()}
        if ahead:
            self._storage.set_trial_system_attr(trial.number, AHEAD, ahead)
        space = trial.relative_search_space or {}
        rest = {
            name: [space[name].to_internal_repr(value), distribution_to_json(space[name])]
            for name, value in relative.items()
            if name in space and name not in ahead
        }
        if rest:
            self._storage.set_trial_system_attr(trial.number, RELATIVE, rest)

    def _make_again(self, frozen: FrozenTrial) -> optuna.Trial:
        """Makes the object through which a trial that runs is asked about, after a restart."""
        # Its constructor tells the sampler that a trial begins, which this one's sampler was told before.
        self.study.sampler = optuna.samplers.RandomSampler()
        trial = optuna.Trial(self.study, frozen.number)
        kept = frozen.system_attrs.get(AHEAD, {}) | frozen.system_attrs.get(RELATIVE, {})
        space = {name: json_to_distribution(text) for name, (_, text) in kept.items()}
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
        self.study.sampler = self._sampler(trial.number, name)
        trial._suggest(name, distribution)

    def _sampler(self, number: int, name: str = "") -> optuna.samplers.BaseSampler:
        if self._kept is not None:
            return self._kept
        return build_sampler(self._spec, derive(self._seed, number, name))

    def _guarded(self) -> _Guard:
        return _Guard()


class _Guard(warnings.catch_warnings):
    """Turns whatever a sampler raises into ``SamplerFailed``, and keeps its warnings off the screen."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        super().__exit__(kind, error, trace)
        # A sampler may be a class of the user's own: that it exits must not end this process.
        if isinstance(error, Exception | SystemExit):
            text = " ".join(str(error).split())
            raise SamplerFailed(printable(f"{type(error).__name__}: {text}")) from error


def derive(seed: int, number: int, name: str = "") -> int:
    """Returns a 32-bit seed for (seed, number, name); independent of the platform."""
    digest = hashlib.blake2b(json.dumps([seed, number, name]).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big")
