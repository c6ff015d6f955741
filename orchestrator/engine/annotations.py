"""Attributes, constraints and sources that an objective sets, kept as attributes of its trial and study."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from orchestrator.model.attribute_keys import FIXED, MEASURED, SOURCE
from orchestrator.model.measurements import highest
from orchestrator.model.progress_events import OtherSource
from orchestrator.sampling.staged_storage import StagedStorage
from tasks.constraints import PREFIX
from tasks.contract import Attribute, EnqueueTrial, Failed, StudyAttribute
from tasks.storable import OURS, RESERVED, check_extent, check_name


def annotate(storage: StagedStorage, number: int, body: Attribute) -> bool:
    """Sets what the objective set: an attribute, or a constraint, whose first value counts.

    Returns whether that could be set: what is no JSON, or no number for a constraint, would spoil the study, and
    some names are ours. Workers refuse all of it where it is set.
    """
    try:
        value = _read(body)
    except (ValueError, RecursionError):
        return False
    if body.kind == "user":
        if body.key in RESERVED:
            return False
        storage.set_trial_user_attr(number, body.key, value)
        return True
    if body.kind == "system":
        if body.key.startswith(OURS) or body.key == FIXED:
            return False
        storage.set_trial_system_attr(number, body.key, value)
        return True
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        return False
    key = PREFIX + body.key
    if key not in storage.get_trial(number).system_attrs:
        storage.set_trial_system_attr(number, key, float(value))
    return True


def annotate_study(storage: StagedStorage, body: StudyAttribute) -> bool:
    """Sets what an objective set of its study; returns whether that could be set."""
    try:
        value = _read(body)
    except (ValueError, RecursionError):
        return False
    if body.key.startswith(OURS):
        return False
    if body.kind == "user":
        storage.set_study_user_attr(0, body.key, value)
    else:
        storage.set_study_system_attr(0, body.key, value)
    return True


def read_enqueued(body: EnqueueTrial) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Returns the parameters and user attributes of a trial that an objective enqueues; ``None`` where they would spoil
    the study."""
    try:
        params, user_attrs = json.loads(body.params), json.loads(body.user_attrs)
        for name in (*params, *user_attrs):
            check_name("enqueue", name)
        check_extent("enqueue", "params", json.dumps([params, user_attrs]))
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(params, dict) or not isinstance(user_attrs, dict) or RESERVED & user_attrs.keys():
        return None
    return params, user_attrs


def _read(body: Attribute | StudyAttribute) -> Any:
    check_name(body.kind, body.key)
    value = json.loads(body.value)
    check_extent(body.kind, body.key, json.dumps(value))
    return value


def note_measured(storage: StagedStorage, number: int, measured: Mapping[str, float]) -> None:
    """Keeps what a worker measured of a trial; the highest value of its attempts counts."""
    before = storage.get_trial(number).system_attrs.get(MEASURED, {})
    if (found := highest(before, measured)) != before:
        storage.set_record(number, MEASURED, found)


def failure_attribute(failure: Failed) -> dict[str, Any]:
    """Returns the attribute that records how a trial failed, without the fields that are empty."""
    detail = {
        "cause": failure.cause,
        "error": failure.error,
        "message": failure.message,
        "traceback": failure.traceback,
        "exit_code": failure.exit_code,
    }
    return {key: value for key, value in detail.items() if value not in ("", None)}


class Sources:
    """The sources that the objective had in the trials of one study.

    Args:
        storage: The study.
    """

    def __init__(self, storage: StagedStorage) -> None:
        self._storage = storage
        # Number of the first trial that had it, by digest; the study's first one comes first.
        self._numbers: dict[str, int] = {}

    def restore(self, number: int, digest: object) -> None:
        """Takes in what is kept with a trial."""
        if isinstance(digest, str):
            self._numbers.setdefault(digest, number)

    def note(self, number: int, digest: str) -> OtherSource | None:
        """Keeps which source the objective had; the first attempt's stays. A study's second source is news."""
        news = None
        if digest not in self._numbers:
            if self._numbers:
                news = OtherSource(number=number, first=next(iter(self._numbers.values())), digest=digest)
            self._numbers[digest] = number
        if SOURCE not in self._storage.get_trial(number).user_attrs:
            self._storage.set_trial_user_attr(number, SOURCE, digest)
        return news
