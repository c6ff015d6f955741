"""The table [schedule]: when a search runs again, and what happens with its runs; and which run a study is."""

from __future__ import annotations

import re
import zoneinfo
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from orchestrator.common.errors import did_you_mean
from orchestrator.common.faults import Fault, got, show
from orchestrator.common.field_types import Count, Name, check_duration, check_text, kind
from orchestrator.common.table import Table
from orchestrator.spec.cron import Timetable, check_cron, run_name, shortest
from tasks.redis_keys import NAME_LENGTH

LONGEST_NAME = NAME_LENGTH - len(run_name("", 0))
"""Characters that the name of a scheduled search may have: the names of its runs begin with it."""

LONGEST_JITTER = 86_400.0
"""Seconds. A day: long beyond use, and a run is still of the day that it was planned for."""

MOST_WARM = 100
_PERCENT = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,9})?) ?%", re.ASCII)


def _check_zone(text: str) -> str:
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise Fault(f"there is no {show(text)}", _zone_like(text)) from None
    return text


def _zone_like(text: str) -> str:
    remedy = did_you_mean(text, zoneinfo.available_timezones())
    return remedy if remedy.startswith("did") else "write a name such as 'Europe/Berlin' or 'UTC'"


def _check_warm(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def _check_margin(value: Any) -> Any:
    """Returns an absolute margin as a number, and one in percent unchanged."""
    remedy = 'write a number in the unit of the objective, or a share of the last best value such as "5%"'
    if value is None:
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Fault(got(value), remedy)
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            raise Fault(f"cannot be {show(value)}", remedy)
        return value
    if not 0 <= value <= 1e300:
        raise Fault(f"is {show(value)}", "it must be at least 0")
    return float(value)


class ScheduleTable(Table):
    """When ``orchestrator beat`` runs the search, each time as a study of its own, and what happens with these runs;
    [schedules.md](schedules.md) has the details.

    Attributes:
        cron: Minute, hour, day of the month, month, day of the week, as in a crontab.
        timezone: The time zone of the expression.
        jitter: A run begins up to so long after its planned time; it must be shorter than the time between two runs.
        catch_up: Which missed runs are run later.
        overlap: What happens with a run that is due while an earlier one still runs.
        keep: The studies of so many last runs are kept, older ones are deleted with their files; all are kept where it
            is not set.
        warm_start: So many of the best configurations of the run before are tried first; ``true`` is one.
        report: Whether a report is written when a run has ended.
        flag_worse_by: By how much the best value may be worse than the last run's before the run is flagged, in its
            unit or, as ``"5%"``, as a share; nothing is compared where it is not set.

    Example:
        [schedule]
        cron = "0 2 * * *"
        timezone = "Europe/Berlin"
        keep = 14
        warm_start = 2
        flag_worse_by = 0.01
    """

    cron: Annotated[str, AfterValidator(check_text), AfterValidator(check_cron), kind("cron expression")]
    timezone: Annotated[str, AfterValidator(_check_zone), kind("time zone")] = "UTC"
    jitter: Annotated[float, BeforeValidator(check_duration), Field(ge=0, le=LONGEST_JITTER), kind("duration")] = 0.0
    catch_up: Literal["none", "last", "all"] = "last"
    overlap: Literal["skip", "queue", "replace"] = "skip"
    keep: Count | None = None
    warm_start: Annotated[int, BeforeValidator(_check_warm), Field(ge=0, le=MOST_WARM), kind("integer or boolean")] = 0
    report: bool = False
    flag_worse_by: Annotated[Any, BeforeValidator(_check_margin), kind("number, at least 0, or share")] = None

    @model_validator(mode="after")
    def _check_jitter(self) -> ScheduleTable:
        if self.jitter and self.jitter >= (apart := shortest(self.cron)):
            problem = f"is {self.jitter:g} s, and the runs are only {apart:g} s apart"
            raise Fault(problem, "it must be shorter, or they would change places", ("jitter",))
        return self

    @property
    def timetable(self) -> Timetable:
        """The times at which it is due."""
        return Timetable(self.cron, zoneinfo.ZoneInfo(self.timezone))

    @property
    def definition(self) -> str:
        """Equal for two schedules that are due at the same times."""
        return f"{self.cron} {self.timezone}"

    def margin(self, last: float) -> float | None:
        """Returns by how much a value may be worse than ``last``; ``None`` where nothing is flagged."""
        if self.flag_worse_by is None or isinstance(self.flag_worse_by, float):
            return self.flag_worse_by
        return abs(last) * float(self.flag_worse_by.removesuffix("%")) / 100


class LastRun(Table):
    """The run that another one is compared with: the name of its study, and its best value."""

    study: Name
    value: float


class RunTable(Table):
    """The run of a schedule that a study is. The control plane writes it when it creates the study; no file has it.

    Attributes:
        slot: The planned time, in seconds since the epoch.
        last: The last finished run before it, where there is one.
    """

    schedule: Name
    slot: int
    last: LastRun | None = None
