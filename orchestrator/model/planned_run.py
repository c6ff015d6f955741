"""The times that a schedule names, and what became of each: one row for one time, whoever asks for it how often."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple

from orchestrator.common.errors import BadInput
from orchestrator.model.study_states import ENDED
from orchestrator.spec import Spec
from orchestrator.spec.schedule import ScheduleTable

PlannedRunState = Literal["waiting", "running", "ended", "skipped", "missed", "refused", "deleting", "deleted"]
"""Waits for an earlier run to end. Its study was made; it has ended, and what was to be done about that is done. An
earlier run went on; nobody was there in time; it cannot be run. More than enough newer ones are there: its study is
being deleted; it is gone."""

OPEN: Final = ("waiting", "running", "deleting")
"""States in which something is still to be done."""

OPERATION: Final = "slot"
"""The command that asks for a run, with an ``Order`` as its payload."""

DEFINE: Final = "define"
"""The command that says which timetable a schedule has, and since when."""

_NAMESPACE: Final = uuid.UUID("6f3a1d52-0f0b-5c1e-9d57-2c9f0f1f8a11")


@dataclass(frozen=True)
class PlannedRun:
    """A row.

    Attributes:
        planned: Seconds since the epoch.
        study: What its study is called, or would be.
        decided: When this state was entered, in seconds since the epoch.
        manual: Whether a person wanted it, beside the timetable.
        reason: Why it is so, or what is to be known of it; empty where nothing is.
        report: Where its report is, or why there is none.
        spec: Of one that waits: the stored form of its search.
    """

    schedule: str
    planned: int
    state: PlannedRunState
    study: str
    decided: float
    manual: bool = False
    reason: str = ""
    report: str = ""
    spec: dict[str, Any] | None = None


@dataclass(frozen=True)
class StudyRun:
    """A slot with its study, as it stands in the database; ``study_state`` is ``None`` where there is no such study."""

    slot: PlannedRun
    study_state: str | None
    stored: str | None

    @property
    def goes_on(self) -> bool:
        """Whether its study is there and not at rest."""
        return self.study_state is not None and self.study_state not in ENDED

    @cached_property
    def spec(self) -> Spec | None:
        """The search that its study is; ``None`` where there is none, or none that this version can read."""
        try:
            return Spec.from_json(json.loads(self.stored or "null"))
        except (BadInput, ValueError, RecursionError):
            return None

    @property
    def table(self) -> ScheduleTable | None:
        """The [schedule] that it was made by."""
        return None if self.spec is None else self.spec.schedule

    @property
    def is_own(self) -> bool:
        """Whether its study is the one that was made for it, and not another one of that name."""
        made = None if self.spec is None else self.spec.run
        return made is not None and (made.schedule, made.slot) == (self.slot.schedule, self.slot.planned)


class ScheduleProgress(NamedTuple):
    """What the database says of a schedule: its timetable, since when, and the last slot of it that was decided on."""

    definition: str
    since: int
    newest: int


def key_of(operation: str, schedule: str, *parts: object) -> str:
    """Returns the idempotency key of a command about a schedule: the same for everybody who means the same."""
    return str(uuid.uuid5(_NAMESPACE, json.dumps([operation, schedule, *parts])))


def order(spec: Spec, planned: int, *, manual: bool = False) -> dict[str, Any]:
    """Returns the payload of a command that asks for a run."""
    return {"schedule": spec.name, "planned": planned, "manual": manual, "spec": spec.to_json()}
