"""The schedules of a folder with their next and last runs, for `orchestrator schedule`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from orchestrator.model.planned_run import PlannedRun, ScheduleProgress
from orchestrator.model.study_status import Overview
from orchestrator.schedule.folder import Contents, Schedule
from orchestrator.schedule.policies import MOST_MISSED, PUNCTUAL_SECONDS
from orchestrator.spec.cron import delay


@dataclass(frozen=True)
class ScheduleStatus:
    """One schedule with its runs.

    Attributes:
        upcoming: The next slots, in seconds since the epoch.
        overdue: Slots that are due and that no beat has asked for; at most ``MOST_MISSED``.
        seen: Whether a beat has read this timetable.
        runs: The last slots, the latest first, each with where its study stands, where there is one.
        trend: More of them, for how their best values went.
    """

    schedule: Schedule
    upcoming: Sequence[int]
    overdue: Sequence[int]
    seen: bool
    runs: Sequence[tuple[PlannedRun, Overview | None]]
    trend: Sequence[tuple[PlannedRun, Overview | None]] = ()


def read_statuses(
    contents: Contents,
    known: Mapping[str, ScheduleProgress],
    runs: Callable[[str], Sequence[tuple[PlannedRun, Overview | None]]],
    now: float,
    upcoming: int,
    last: int | None = None,
) -> list[ScheduleStatus]:
    """Returns the schedules of a folder.

    Args:
        contents: What is in the folder.
        known: Their progress in the database.
        runs: Returns the last runs of one.
        now: Seconds since the epoch.
        upcoming: Number of next slots.
        last: Number of last runs that are shown one by one; ``None`` for all that ``runs`` returns.
    """
    found = []
    for name, schedule in contents.schedules.items():
        timetable, jitter = schedule.table.timetable, schedule.table.jitter
        seen = known.get(name)
        if seen is not None and seen.definition != schedule.table.definition:
            seen = None
        overdue: list[int] = []
        if seen is not None:
            slots, _ = timetable.newest(max(seen.since, seen.newest), int(now), MOST_MISSED)
            overdue = [slot for slot in slots if slot + delay(name, slot, jitter) + PUNCTUAL_SECONDS < now]
        ahead = list(islice(timetable.upcoming(int(now)), upcoming))
        there = runs(name)
        found.append(ScheduleStatus(schedule, ahead, overdue, seen is not None, there[:last], there))
    return found
