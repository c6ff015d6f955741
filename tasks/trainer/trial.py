"""The trial of an objective on a worker: an ``optuna.trial.Trial`` whose storage is the channel to the keeper."""

from __future__ import annotations

import datetime
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Self

import optuna
from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)
from optuna.trial import FrozenTrial, TrialState

from tasks.contract import Job, Parameter, Suggest
from tasks.limits import MAX_STEP
from tasks.storable import check_json, check_name
from tasks.trainer.file_writers import ArtifactWriter, Checkpoint, CheckpointWriter, log_to_trial
from tasks.trainer.fork_guard import ChildProcessStub
from tasks.trainer.frozen_trials import local_time
from tasks.trainer.keeper_channel import KeeperChannel
from tasks.trainer.slicing import SliceTracker
from tasks.trainer.storage import FIXED, WorkerStorage
from tasks.trainer.study import WorkerStudy


class WorkerTrial(optuna.trial.Trial):
    """``optuna.trial.Trial`` without a database.

    Suggestions, reports and attributes go to the keeper; the public methods inherit all checks and warnings of
    Optuna's. ``report`` never waits; ``should_prune`` answers at once.

    Args:
        job: The attempt.
        channel: Says to the keeper what any thread of the objective does, and asks what it asks.
        files: Writes and reads its checkpoints.
        artifacts: Writes its models, and holds the folder for other files.
        known: The state of the trial, where this is a copy in another process.
    """

    def __init__(
        self,
        job: Job,
        channel: KeeperChannel,
        files: CheckpointWriter,
        artifacts: ArtifactWriter,
        known: FrozenTrial | None = None,
    ) -> None:
        own = known or _begun(job)
        self._job = job
        self._channel = channel
        self._files = files
        self._artifacts = artifacts
        self.slicing = SliceTracker(job.slice)
        self._ahead = job.ahead
        storage = WorkerStorage(job, own, channel)
        storage.trial = self
        # Not Trial.__init__, which calls the sampler. These are the fields that its methods use.
        self.storage = storage
        self.study = WorkerStudy(job.study, storage, channel, self._is_to_leave)
        self._trial_id = own._trial_id
        self._cached_frozen_trial = own
        self._fixed_params = own.system_attrs.get(FIXED, {})
        self.relative_search_space = {name: json_to_distribution(each.distribution) for name, each in job.ahead.items()}
        if known is None:
            _here[job.token] = self

    def __reduce__(self) -> tuple[Callable[[Job, FrozenTrial], WorkerTrial], tuple[Job, FrozenTrial]]:
        return _revive, (self._job, self._cached_frozen_trial)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Libraries copy the callbacks they are given; the trial is the same one.
        del memo
        return self

    @property
    def relative_params(self) -> dict[str, Any]:
        """The parameters that were sampled ahead for this trial, asked for or not."""
        return _read(self._ahead)[0]

    def report(self, value: float, step: int) -> None:
        """Reports an intermediate value. Costs one write to a local socket; see ``optuna.trial.Trial.report``."""
        with self._channel:
            super().report(value, step)
            self.slicing.reported(int(step))
        self.slicing.check()

    def _is_to_leave(self) -> bool:
        """Whether this trial must leave, for good or for now."""
        return self._channel.stopping or self.slicing.over

    def save_checkpoint(self, state: object, step: int) -> None:
        """Saves the state from which the trial goes on after ``step`` when it was cut off or paused.

        Where it cannot be written, the trial's log says so, the checkpoint before stays, and training goes on.

        Args:
            state: Tensors and plain data, nested as you like: ``state_dict()`` of model and optimizer, for instance. Or
                a ``pathlib.Path`` of a folder, whose files are packed; ``load_checkpoint`` gives the path of a copy.
            step: The step that was trained last, as in ``report``.

        Raises:
            TypeError: the state holds something else, which could not be loaded again.
        """
        at = _check_step("save_checkpoint", step)
        with self._channel:
            try:
                saved = self._files.save(state, at)
            except OSError as error:
                log_to_trial(f"the checkpoint of step {at} could not be written, training goes on: {error}")
                self.slicing.not_saved()
            else:
                self._channel.send(saved)
                self.slicing.saved(at)
        self.slicing.check()

    def load_checkpoint(self) -> Checkpoint | None:
        """Returns ``(state, step)`` of the trial's newest checkpoint, tensors on the CPU; ``None`` where there is none.

        It is the one that was there when this attempt began, whatever has been saved since.
        """
        found = self._files.load()
        if found is not None:
            self.slicing.saved(found.step)
        return found

    @property
    def artifact_dir(self) -> Path:
        """A folder of this attempt's own: what lies in it when the attempt ends is kept with the trial.

        Raises:
            OSError: it cannot be made.
        """
        with self._channel:
            return self._artifacts.folder

    def save_model(self, state: object, name: str = "model.pt") -> None:
        """Keeps a model with the trial; one that is saved again under the same name takes its place.

        Where the disk does not take it, that is said in the trial's log, and training goes on.

        Args:
            state: What ``torch.save`` takes, such as a ``state_dict()``; a module, whose ``state_dict()`` is
                saved; bytes, written as they are; or a ``pathlib.Path``, whose file is copied.
            name: What the file is called: a name, no path.

        Raises:
            TypeError: the state cannot be saved.
            FileNotFoundError: there is no file at the path.
            ValueError: the name is none.
        """
        with self._channel:
            try:
                saved = self._artifacts.save(state, name)
            except FileNotFoundError:
                raise
            except OSError as error:
                log_to_trial(f"the model '{name}' could not be written, training goes on: {error}")
            else:
                self._channel.send(saved)

    def set_constraint(self, key: str, value: float) -> None:
        """Sets a constraint value; the first one counts. See ``optuna.trial.Trial.set_constraint``."""
        with self._channel:
            super().set_constraint(key, value)

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        known = self._cached_frozen_trial
        if name not in known.distributions:
            with self._channel.suggesting(name):
                if name not in known.distributions:
                    return self._take(name, distribution)
        check_distribution_compatibility(known.distributions[name], distribution)
        return known.params[name]

    def _take(self, name: str, distribution: BaseDistribution) -> Any:
        """Gets the value of a new parameter of the trial."""
        sent = check_name("suggest", name)
        wanted = distribution_to_json(distribution)
        check_json("suggest", name, wanted)
        # Optuna's own checks of an enqueued value, and of the range.
        fixed = self._is_fixed_param(name, distribution)
        distribution.single()
        found = self._find_out(sent, distribution, wanted)
        value = self._fixed_params[name] if fixed else distribution.to_external_repr(found)
        known = self._cached_frozen_trial
        # The value first: a thread that finds the distribution takes it. New dictionaries: another thread may be
        # reading the old ones.
        with self._channel:
            known.params = {**known.params, name: value}
            known.distributions = {**known.distributions, name: distribution}
        return value

    def _find_out(self, name: str, distribution: BaseDistribution, wanted: str) -> float:
        ahead = self._ahead.get(name)
        if ahead is not None and json_to_distribution(ahead.distribution) == distribution:
            self._channel.send(Suggest(name=name, distribution=wanted, used=True))
            return ahead.value
        answer = self._channel.suggest(Suggest(name=name, distribution=wanted))
        if answer.error:
            kind, _, text = answer.error.partition(": ")
            raise _RAISED.get(kind, ValueError)(text if kind in _RAISED else answer.error)
        return answer.value


_RAISED: Final[Mapping[str, type[Exception]]] = {
    each.__name__: each for each in (ValueError, TypeError, RuntimeError, NotImplementedError, OverflowError)
}
"""Exceptions of a sampler in the control plane that are raised here, by name."""

_here: Final[weakref.WeakValueDictionary[str, WorkerTrial]] = weakref.WeakValueDictionary()
"""The trials of this process, by token."""


def _revive(job: Job, known: FrozenTrial) -> WorkerTrial:
    """Returns a pickled trial: the original in the process that trains it, in another process a copy."""
    here = _here.get(job.token)
    if here is not None:
        return here
    nowhere: Any = ChildProcessStub()
    return WorkerTrial(job, nowhere, nowhere, nowhere, known)


def _begun(job: Job) -> FrozenTrial:
    """Returns the trial at the start of the attempt."""
    params, distributions = _read(job.params)
    return FrozenTrial(
        number=job.trial,
        state=TrialState.RUNNING,
        value=None,
        # Naive local time, as Optuna's own trials have it.
        datetime_start=datetime.datetime.now() if job.started is None else local_time(job.started),  # noqa: DTZ005
        datetime_complete=None,
        params=params,
        distributions=distributions,
        user_attrs=dict(job.user_attrs),
        system_attrs=dict(job.system_attrs),
        intermediate_values={},
        trial_id=job.trial if job.id is None else job.id,
    )


def _check_step(where: str, step: Any) -> int:
    try:
        at = int(step)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{where}: step is {step!r:.80}, but must be a whole number") from None
    if not 0 <= at <= MAX_STEP:
        raise ValueError(f"{where}: step is {at}, but must be 0 to {MAX_STEP}")
    return at


def _read(params: Mapping[str, Parameter]) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    distributions = {name: json_to_distribution(param.distribution) for name, param in params.items()}
    values = {name: distributions[name].to_external_repr(param.value) for name, param in params.items()}
    return values, distributions
