"""Planned runs of schedules: one row for each planned time, however often it is requested."""

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
"""``waiting`` for an earlier run to end; ``running`` as a study; ``ended``, with its report and cleanup done;
``skipped`` because an earlier run went on; ``missed`` because no control plane was up in time; ``refused`` because it
cannot be run; ``deleting`` and ``deleted``: its study, because enough newer runs are kept."""

OPEN: Final = ("waiting", "running", "deleting")
"""States in which the control plane still has work to do."""

OPERATION: Final = "slot"
"""The command that requests a run; ``order`` makes its payload."""

DEFINE: Final = "define"
"""The command that sets the timetable of a schedule."""

_NAMESPACE: Final = uuid.UUID("6f3a1d52-0f0b-5c1e-9d57-2c9f0f1f8a11")


class RunResult(NamedTuple):
    """The result of a run: the state of its study, its trials by how they ended, the epochs that were trained.

    ``best`` is the value of ``best_trial``; of several objectives ``front`` is the size of the Pareto front.
    """

    state: str
    complete: int = 0
    pruned: int = 0
    failed: int = 0
    epochs: int = 0
    best: float | None = None
    best_trial: int | None = None
    front: int | None = None

    @property
    def ended(self) -> int:
        """Trials that had ended."""
        return self.complete + self.pruned + self.failed


@dataclass(frozen=True)
class PlannedRun:
    """A planned run, as its row stores it.

    Attributes:
        planned: Seconds since the epoch.
        study: The name of its study, also where that was not created.
        decided: When this state was entered, in seconds since the epoch.
        manual: Whether a person requested it, beside the timetable.
        reason: The cause of the state; may be empty.
        report: The path of its report, or why there is none.
        spec: The stored form of its search while it waits.
        result: What came of its study, once it has ended; it outlives the study.
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
    result: RunResult | None = None


@dataclass(frozen=True)
class StudyRun:
    """A planned run with the state and the stored spec of its study; both are ``None`` where there is no such study."""

    slot: PlannedRun
    study_state: str | None
    stored: str | None

    @property
    def goes_on(self) -> bool:
        """Whether its study exists and has not ended."""
        return self.study_state is not None and self.study_state not in ENDED

    @cached_property
    def spec(self) -> Spec | None:
        """The search of its study; ``None`` where there is none that this version can read."""
        try:
            return Spec.from_json(json.loads(self.stored or "null"))
        except (BadInput, ValueError, RecursionError):
            return None

    @property
    def table(self) -> ScheduleTable | None:
        """The ``[schedule]`` table of its spec."""
        return None if self.spec is None else self.spec.schedule

    @property
    def is_own(self) -> bool:
        """Whether its study was created for it, and is not another one of that name."""
        made = None if self.spec is None else self.spec.run
        return made is not None and (made.schedule, made.slot) == (self.slot.schedule, self.slot.planned)


class ScheduleProgress(NamedTuple):
    """The timetable of a schedule, since when it holds, and the newest planned time that was decided."""

    definition: str
    since: int
    newest: int


def key_of(operation: str, schedule: str, *parts: object) -> str:
    """Returns the idempotency key of a command about a schedule: equal for equal arguments, in every process."""
    return str(uuid.uuid5(_NAMESPACE, json.dumps([operation, schedule, *parts])))


def order(spec: Spec, planned: int, *, manual: bool = False) -> dict[str, Any]:
    """Returns the payload of the command that requests a run."""
    return {"schedule": spec.name, "planned": planned, "manual": manual, "spec": spec.to_json()}
