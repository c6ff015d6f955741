"""Storage of a trial on a worker: Optuna's interface, with the channel to the keeper in the place of a database.

So an objective calls Optuna's own code, and that of libraries for Optuna. What it sets is checked here, before it is
sent; other trials are read anew each time.
"""

# ruff: noqa: ARG002 - the arguments are those of Optuna's interface, used or not

from __future__ import annotations

import copy
import json
import operator
from collections.abc import Container, Sequence
from typing import Any, Final, NoReturn

from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, Trial, TrialState

from tasks.codec import is_location
from tasks.constraints import PREFIX
from tasks.contract import Artifact, ArtifactRef, Attribute, EnqueueTrial, Epoch, Job, StudyAttribute
from tasks.limits import MAX_FILENAME, MAX_NAME, MAX_STEP
from tasks.storable import OURS, RESERVED, AttributeBudget, as_json, check_name
from tasks.trainer.frozen_trials import frozen_trials, number_of
from tasks.trainer.keeper_channel import KeeperChannel

ARTIFACT: Final = "artifacts:"
"""Prefix of the keys of Optuna's artifact records."""

FIXED: Final = "fixed_params"
"""Key of the parameters of an enqueued trial."""

_STUDY: Final = 0
"""Id of the only study of this storage."""

_USER, _SYSTEM = 0, 1


class WorkerStorage(BaseStorage):
    """The study and the trial as one attempt knows and may set them.

    Args:
        job: The attempt.
        own: The trial; kept up to date.
        channel: The channel to the keeper.
    """

    def __init__(self, job: Job, own: FrozenTrial, channel: KeeperChannel) -> None:
        self._name = job.study
        self._directions = [StudyDirection[direction.upper()] for direction in job.directions]
        self._study_attrs: tuple[dict[str, Any], dict[str, Any]] = (dict(job.study_attrs), dict(job.study_system_attrs))
        self._own = own
        self._channel = channel
        self._room = AttributeBudget("the trial", own.user_attrs, own.system_attrs)
        self._study_room = AttributeBudget("the study", *self._study_attrs)
        self.trial: Trial | None = None

    def __reduce__(self) -> tuple[Any, tuple[Trial | None]]:
        return operator.attrgetter("storage"), (self.trial,)

    # -- the study

    def get_study_id_from_name(self, study_name: str) -> int:
        if study_name != self._name:
            raise KeyError(study_name)
        return _STUDY

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._name

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._directions

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._study_attrs[_USER]

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._study_attrs[_SYSTEM]

    def get_all_studies(self) -> list[FrozenStudy]:
        user, system = self._study_attrs
        return [FrozenStudy(self._name, None, user, system, _STUDY, directions=self._directions)]

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        self._set_study_attr(_USER, key, value)

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        self._set_study_attr(_SYSTEM, key, value)

    def _set_study_attr(self, kind: int, key: str, value: Any) -> None:
        where = "study.set_user_attr" if kind == _USER else "study.set_system_attr"
        name = check_name(where, key)
        if name.startswith(OURS):
            raise ValueError(f"{where}: '{name}' begins with '{OURS}', as the search's own names do; choose another")
        text = as_json(where, name, value)
        with self._channel:
            self._study_room.take(where, kind, name, text)
            self._channel.write(StudyAttribute(key=name, value=text, kind="user" if kind == _USER else "system"))
            self._study_attrs[kind][name] = json.loads(text)

    # -- its trials

    def get_trial(self, trial_id: int) -> FrozenTrial:
        if trial_id == self._own._trial_id:
            return _copy(self._own)
        number = number_of(trial_id)
        trials = self.get_all_trials(_STUDY) if number >= 0 else []
        if not 0 <= number < len(trials):
            raise KeyError(f"No trial with trial_id {trial_id} exists.")
        return trials[number]

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        # Read anew each time, so there is nothing to copy.
        trials = frozen_trials(self._channel.read_study(), states)
        for trial in trials:
            if trial.number == self._own.number:
                trial._trial_id = self._own._trial_id
        return trials

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        if template_trial is None:
            refuse_to("ask for a trial", ASKS)
        if template_trial.state is not TrialState.WAITING:
            refuse_to("add a trial that has ended", "study.enqueue_trial adds one that is to be tried")
        where = "study.enqueue_trial"
        given = [template_trial.system_attrs.get(FIXED, {}), template_trial.user_attrs]
        # As JSON has them: a key that is a number becomes text.
        params, user_attrs = json.loads(as_json(where, "params", given))
        for name in (*params, *user_attrs):
            check_name(where, name)
        if reserved := RESERVED & user_attrs.keys():
            raise ValueError(f"{where}: '{min(reserved)}' is set by the search alone; choose another name")
        self._channel.send(EnqueueTrial(params=json.dumps(params), user_attrs=json.dumps(user_attrs)))
        # It has no id yet. Optuna does not use the id of an enqueued trial.
        return _UNKNOWN

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._check_own(trial_id)
        if not 0 <= step <= MAX_STEP:
            raise ValueError(f"report: step is {step}, but must be 0 to {MAX_STEP}")
        with self._channel:
            self._channel.write(Epoch(step=step, value=intermediate_value))
            self._own.intermediate_values[step] = intermediate_value

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._check_own(trial_id)
        name = check_name("set_user_attr", key)
        if name in RESERVED:
            raise ValueError(f"set_user_attr: '{name}' is set by the search alone; choose another name")
        text = as_json("set_user_attr", name, value)
        with self._channel:
            self._room.take("set_user_attr", _USER, name, text)
            self._channel.write(Attribute(key=name, value=text))
            # A new dictionary: another thread may be reading the old one.
            self._own.user_attrs = {**self._own.user_attrs, name: value}

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._check_own(trial_id)
        is_constraint = isinstance(key, str) and key.startswith(PREFIX)
        where = "set_constraint" if is_constraint else "set_trial_system_attr"
        name = check_name(where, key)
        text = as_json(where, name, value)
        if name.startswith(OURS) or name == FIXED:
            raise ValueError(f"{where}: '{name}' is set by the search alone; choose another name")
        frame: Artifact | Attribute
        if name.startswith(ARTIFACT):
            frame = Artifact(ref=_artifact(name, value))
        elif is_constraint:
            short = check_name(where, name.removeprefix(PREFIX), MAX_NAME - len(PREFIX))
            frame = Attribute(key=short, value=text, kind="constraint")
        else:
            frame = Attribute(key=name, value=text, kind="system")
        with self._channel:
            self._room.take(where, _SYSTEM, name, text)
            self._channel.write(frame)
            self._own.system_attrs = {**self._own.system_attrs, name: json.loads(text)}

    def _check_own(self, trial_id: int) -> None:
        if trial_id != self._own._trial_id:
            refuse_to("change another trial than one's own", "")

    # -- what only the control plane does

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        refuse_to("create a study", "orchestrator submit does it")

    def delete_study(self, study_id: int) -> None:
        refuse_to("delete the study", "optuna.delete_study does it where the database can be reached")

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        refuse_to("set a parameter", "trial.suggest_float and its like ask for one")

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        refuse_to("end a trial", "return its value, or raise optuna.TrialPruned")


_UNKNOWN: Final = -(2**31)


ASKS: Final = "the search does it; study.enqueue_trial names one that is tried next"


def refuse_to(what: str, remedy: str) -> NoReturn:
    """Raises the error for an operation that only the control plane does."""
    raise RuntimeError(f"on a worker an objective cannot {what}" + (f": {remedy}" if remedy else ""))


def _copy(trial: FrozenTrial) -> FrozenTrial:
    """Returns the trial as it is now, with dictionaries of its own."""
    copied = copy.copy(trial)
    vars(copied).update({name: dict(value) for name, value in vars(trial).items() if isinstance(value, dict)})
    return copied


def _artifact(key: str, value: Any) -> ArtifactRef:
    """Reads the record that ``optuna.artifacts.upload_artifact`` made of a file in the objective's own store."""
    try:
        record = json.loads(value)
        ref = ArtifactRef(
            id=str(record["artifact_id"]),
            filename=str(record["filename"]),
            mimetype=str(record["mimetype"]),
            encoding=None if record["encoding"] is None else str(record["encoding"]),
            kind="elsewhere",
        )
    except (TypeError, ValueError, KeyError):
        raise ValueError(f"{value!r:.80} is not the record of an artifact") from None
    texts = (ref.id, ref.filename, ref.mimetype, ref.encoding or "")
    plain = all(len(text) <= MAX_FILENAME and text.isprintable() for text in texts)
    if not plain or not is_location(ref.id) or "/" in ref.id or key != ARTIFACT + ref.id:
        raise ValueError(f"the record of '{ref.filename!r:.80}' cannot be stored: printable text, not too long")
    return ref
