"""The trial an objective is given on a worker: an ``optuna.trial.Trial`` whose storage is the wire to the keeper."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import optuna
from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
    json_to_distribution,
)
from optuna.trial import FrozenTrial, TrialState

from tasks.constraints import PREFIX
from tasks.contract import MAX_EVENT_BYTES, MAX_NAME, MAX_STEP, Attribute, Epoch, Job, Parameter, Suggest
from tasks.trainer.artifacts import ArtifactFiles
from tasks.trainer.checkpoints import Checkpoint, CheckpointFiles, say
from tasks.trainer.slicing import Slicing
from tasks.trainer.storage import WorkerStorage
from tasks.trainer.study import WorkerStudy, local_time
from tasks.trainer.talk import Talk


class WorkerTrial(optuna.trial.Trial):
    """``optuna.trial.Trial`` without a database.

    Suggestions, reports and attributes go to the keeper; all checks and warnings of the public methods are Optuna's
    own, because they are inherited. ``report`` never waits; ``should_prune`` says what is known already.

    Args:
        job: The attempt.
        talk: Says to the keeper what any thread of the objective does, and asks what it asks.
        files: Writes and reads its checkpoints.
        artifacts: Writes its models, and holds the folder for other files.
    """

    def __init__(
        self,
        job: Job,
        talk: Talk,
        files: CheckpointFiles,
        artifacts: ArtifactFiles,
    ) -> None:
        params, distributions = _read(job.params)
        self._talk = talk
        self._files = files
        self._artifacts = artifacts
        self.slicing = Slicing(job.slice)
        self._ahead = job.ahead
        self._constraints: dict[str, float] = {}
        self._trial_id = job.trial
        self.study = WorkerStudy(job, talk.say, talk.look)  # type: ignore[assignment]
        self.storage = WorkerStorage(job.trial, talk.say)  # type: ignore[assignment]
        # Where callbacks of optuna-integration look for it.
        self.study._storage = self.storage
        # Not Trial.__init__: that reads a storage. These are the fields that its inherited methods use.
        self._cached_frozen_trial = FrozenTrial(
            number=job.trial,
            state=TrialState.RUNNING,
            value=None,
            # Naive local time, as Optuna's own trials have it.
            datetime_start=datetime.datetime.now() if job.started is None else local_time(job.started),  # noqa: DTZ005
            datetime_complete=None,
            params=params,
            distributions=distributions,
            user_attrs=dict(job.user_attrs),
            system_attrs={},
            intermediate_values={},
            trial_id=job.trial,
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Libraries copy the callbacks they are given; the trial is the same one.
        del memo
        return self

    def __getattr__(self, name: str) -> Any:
        listed = ", ".join(each for each in dir(type(self)) if not each.startswith("_"))
        raise AttributeError(f"on a worker a trial has no '{name}': there are study, {listed}")

    @property
    def relative_params(self) -> dict[str, Any]:
        """The parameters that were sampled ahead for this trial, whether it asks for them or not."""
        return _read(self._ahead)[0]

    def report(self, value: float, step: int) -> None:
        """Reports an intermediate value. Costs one write to a local socket; see ``optuna.trial.Trial.report``."""
        if len(self.study.directions) > 1:
            raise NotImplementedError("Trial.report is not supported for multi-objective optimization.")
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(f"report: value is {value!r:.80}, but must be a number") from None
        at = _check_step("report", step)
        seen = self._cached_frozen_trial.intermediate_values
        with self._talk.speaking():
            if at in seen:
                optuna._warnings.optuna_warn(
                    f"The reported value is ignored because this `step={at}` is already reported."
                )
            else:
                seen[at] = number
                self._talk.send(Epoch(step=at, value=number))
            self.slicing.reported(at)
        self.slicing.check()

    def should_prune(self) -> bool:
        """Whether the search wants this trial to leave, for good or for now; answers at once."""
        if len(self.study.directions) > 1:
            raise NotImplementedError("Trial.should_prune is not supported for multi-objective optimization.")
        return self._talk.stopping or self.slicing.over

    def save_checkpoint(self, state: object, step: int) -> None:
        """Saves what the trial needs to go on after ``step``, should it be cut off or paused.

        Where the disk does not take it, that is said in the trial's log, the checkpoint before stays, and training
        goes on.

        Args:
            state: Tensors and plain data, nested as you like: ``state_dict()`` of model and optimizer, for instance.
            step: The step that was trained last, as in ``report``.

        Raises:
            TypeError: the state holds something else, which could not be loaded again.
        """
        at = _check_step("save_checkpoint", step)
        with self._talk.speaking():
            try:
                saved = self._files.save(state, at)
            except OSError as error:
                say(f"the checkpoint of step {at} could not be written, training goes on: {error}")
                self.slicing.not_saved()
            else:
                self._talk.say(saved)
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
        with self._talk.speaking():
            return self._artifacts.folder

    def save_model(self, state: object, name: str = "model.pt") -> None:
        """Keeps a model with the trial; one that is saved again under the same name takes its place.

        Where the disk does not take it, that is said in the trial's log, and training goes on.

        Args:
            state: What ``torch.save`` takes, such as a ``state_dict()``; a module, of which the ``state_dict()`` is
                saved; bytes, written as they are; or a ``pathlib.Path``, whose file is copied.
            name: What the file is called: a name, no path.

        Raises:
            TypeError: the state cannot be saved.
            FileNotFoundError: there is no file at the path.
            ValueError: the name is none.
        """
        with self._talk.speaking():
            try:
                saved = self._artifacts.save(state, name)
            except FileNotFoundError:
                raise
            except OSError as error:
                say(f"the model '{name}' could not be written, training goes on: {error}")
            else:
                self._talk.say(saved)

    def set_user_attr(self, key: str, value: Any) -> None:
        """Sets a user attribute; ``value`` must be JSON serializable."""
        text = json.dumps(value)
        _check_name("set_user_attr", key)
        _check_size("set_user_attr", key, text)
        with self._talk.speaking():
            known = self._cached_frozen_trial
            known.user_attrs = {**known.user_attrs, key: value}
            self._talk.say(Attribute(key=key, value=text))

    @property
    def constraints(self) -> dict[str, float]:
        """Constraint values set so far."""
        return dict(self._constraints)

    def set_constraint(self, key: str, value: float) -> None:
        """Sets a constraint value; the trial is feasible when all are zero or less. The first value counts."""
        number = float(value)
        _check_name("set_constraint", key, MAX_NAME - len(PREFIX))
        if math.isnan(number):
            raise ValueError(f"set_constraint: the value of '{key}' is NaN, but must be a number")
        with self._talk.speaking():
            if key not in self._constraints:
                self._constraints[key] = number
                self._talk.say(Attribute(key=key, value=json.dumps(number), kind="constraint"))

    def _suggest(self, name: str, distribution: BaseDistribution) -> Any:
        with self._talk.turn(name):
            known = self._cached_frozen_trial
            if name in known.distributions:
                check_distribution_compatibility(known.distributions[name], distribution)
                return known.params[name]
            _check_name("suggest", name)
            wanted = distribution_to_json(distribution)
            _check_size("suggest", name, wanted)
            value = distribution.to_external_repr(self._find_out(name, distribution, wanted))
            # The value first, for a thread that finds the distribution takes it; and as new dictionaries, for another
            # thread may be reading the old ones.
            with self._talk.speaking():
                known.params = {**known.params, name: value}
                known.distributions = {**known.distributions, name: distribution}
            return value

    def _find_out(self, name: str, distribution: BaseDistribution, wanted: str) -> float:
        ahead = self._ahead.get(name)
        if ahead is not None and json_to_distribution(ahead.distribution) == distribution:
            self._talk.say(Suggest(name=name, distribution=wanted, used=True))
            return ahead.value
        answer = self._talk.suggest(Suggest(name=name, distribution=wanted))
        if answer.error:
            raise ValueError(answer.error.removeprefix("ValueError: "))
        return answer.value


def _check_step(where: str, step: Any) -> int:
    try:
        at = int(step)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{where}: step is {step!r:.80}, but must be a whole number") from None
    if not 0 <= at <= MAX_STEP:
        raise ValueError(f"{where}: step is {at}, but must be 0 to {MAX_STEP}")
    return at


# What the control plane could not take in would leave a gap in the events that nothing closes: it is refused here.
def _check_name(where: str, name: str, longest: int = MAX_NAME) -> None:
    if not isinstance(name, str) or "\0" in name or not name.isprintable() or len(name) > longest:
        raise ValueError(f"{where}: the name {name!r:.80} must be printable text of at most {longest} characters")


def _check_size(where: str, name: str, text: str) -> None:
    if len(text.encode()) > MAX_EVENT_BYTES - 4_096:
        raise ValueError(f"{where}: '{name}' is {len(text)} characters of JSON; at most 1 MiB can be sent")


def _read(params: Mapping[str, Parameter]) -> tuple[dict[str, Any], dict[str, BaseDistribution]]:
    distributions = {name: json_to_distribution(param.distribution) for name, param in params.items()}
    values = {name: distributions[name].to_external_repr(param.value) for name, param in params.items()}
    return values, distributions
