"""The tick of a beat: it reads its folder, and asks for the runs whose time has come. It decides nothing.

Every beat asks for the same: the key of a command is made of schedule and time, and a key is stored once. So any number
of beats may run, be killed and be started again.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from itertools import takewhile
from operator import attrgetter
from pathlib import Path
from typing import Protocol

import redis

from orchestrator.common.clock import Clock
from orchestrator.common.errors import BadInput
from orchestrator.model.commands import Command
from orchestrator.model.planned_run import DEFINE, OPERATION, ScheduleProgress, key_of, order
from orchestrator.schedule.folder import Folder, Schedule
from orchestrator.schedule.policies import MOST_MISSED, PUNCTUAL_SECONDS
from orchestrator.spec import Spec
from orchestrator.spec.cron import delay, run_name
from tasks.server_errors import unavailable

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Longest time between two reads of the folder."""

MOST_AHEAD = 3_600.0
"""A beat whose clock differs from that of the database by more seconds asks for nothing."""


class BeatDatabase(Protocol):
    """The database, as a beat uses it."""

    def known(self, names: list[str]) -> tuple[float, dict[str, ScheduleProgress]]:
        """Returns the time of the database's clock, and the progress of these schedules."""

    def issue(self, commands: list[Command]) -> None:
        """Adds commands, all or none; one whose key is stored already is left out."""


@dataclass
class _Watched:
    """A schedule of the folder.

    Attributes:
        since: When this process first saw its timetable.
        told: Whether the control plane knows its timetable.
        after: The last slot that was asked for or decided on; ``None`` while that is not known.
        due: When the next slot is due.
    """

    schedule: Schedule
    since: int
    told: bool = False
    after: int | None = None
    due: float = 0.0

    def find_next(self) -> None:
        """Computes when the next slot is due."""
        if self.after is not None:
            planned = next(self.schedule.table.timetable.upcoming(self.after), None)
            self.due = float("inf") if planned is None else self._due(planned)

    def due_by(self, now: float, after: int) -> tuple[list[int], bool]:
        """Returns the slots after ``after`` that are due, at most ``MOST_MISSED``, and whether there were more.

        They are in order: a slot that its jitter delays also delays those after it.
        """
        slots, more = self.schedule.table.timetable.newest(after, int(now), MOST_MISSED)
        return list(takewhile(lambda planned: self._due(planned) <= now, slots)), more

    def _due(self, planned: int) -> float:
        return planned + delay(self.schedule.name, planned, self.schedule.table.jitter)


class Ticker:
    """Asks for the runs of a folder whose time has come.

    Args:
        folder: The specs.
        database: The database.
        ring: Wakes the control plane.
        clock: The clock.
        most_ahead: Seconds that the clock may differ from that of the database.
        carry: Returns the spec of a schedule with the code that it sends, as it is now; raises BadInput where that
            cannot be carried.
    """

    def __init__(
        self,
        folder: Folder,
        database: BeatDatabase,
        ring: Callable[[], None],
        clock: Clock,
        most_ahead: float = MOST_AHEAD,
        carry: Callable[[Schedule], Spec] = attrgetter("spec"),
    ) -> None:
        self._folder = folder
        self._database = database
        self._ring = ring
        self._clock = clock
        self._most_ahead = most_ahead
        self._carry = carry
        self._not_carried: dict[str, str] = {}
        self._watched: dict[str, _Watched] = {}
        self._problems: dict[Path, str] = {}
        self._looked_at: float | None = None
        self._removed: list[str] = []
        self._trouble = ""
        self._away = False
        self._said_apart = False

    def tick(self) -> float:
        """Does what is due; returns the seconds until the next tick."""
        now = self._clock.wall()
        self._look(now)
        try:
            self._ask(now)
        except Exception as error:
            found = unavailable(error)
            if found is None or found.server != "database":
                raise
            if not self._away:
                self._complain(f"the database is away: {found.reason}")
            self._away = True
        else:
            if self._away:
                log.info("the database is back", extra={"action": "database_back"})
            self._away = False
        if self._trouble:
            return LOOK_SECONDS
        due = min((watched.due for watched in self._watched.values()), default=now + LOOK_SECONDS)
        return min(max(due - self._clock.wall(), 0.0), LOOK_SECONDS)

    # -- the folder

    def _look(self, now: float) -> None:
        # A timetable that is new here came after the last look.
        since = int(now if self._looked_at is None else self._looked_at)
        try:
            contents = self._folder.read()
        except BadInput as error:
            # A file system may be away for a moment; the schedules that are known stay.
            self._name_problems({self._folder.path: str(error)})
            return
        self._looked_at = now
        self._name_problems(contents.problems)
        watched, self._watched = self._watched, {}
        for name, schedule in contents.schedules.items():
            self._watched[name] = self._watch(schedule, watched.pop(name, None), since)
        for name, left in watched.items():
            if left.schedule.path not in contents.problems:
                log.info("schedule %s is gone", name, extra={"action": "schedule_removed"})
                self._removed.append(name)

    def _watch(self, schedule: Schedule, known: _Watched | None, since: int) -> _Watched:
        if known is not None and known.schedule.spec == schedule.spec:
            known.schedule = schedule
            return known
        table = schedule.table
        if known is not None and known.schedule.table.definition == table.definition:
            # The search has changed, the timetable has not.
            known.schedule = schedule
            known.find_next()
        else:
            known = _Watched(schedule, since)
        told = "schedule %s of %s: %s in %s"
        log.info(told, schedule.name, schedule.path, table.cron, table.timezone, extra={"action": "schedule_read"})
        return known

    def _name_problems(self, problems: dict[Path, str]) -> None:
        for where, problem in problems.items():
            if self._problems.get(where) != problem:
                log.warning("not run: %s", problem, extra={"action": "schedule_refused"})
        self._problems = problems

    # -- the database

    def _ask(self, now: float) -> None:
        due = [each for each in self._watched.values() if each.after is None or each.due <= now]
        if not due and not self._removed:
            self._trouble = ""
            return
        there, known = self._database.known([each.schedule.name for each in due])
        if not self._in_time(now - there):
            return
        self._trouble = ""
        commands = [_define(name, "", now) for name in self._removed if name not in self._watched]
        reached: list[tuple[_Watched, int]] = []
        for each in due:
            row = known.get(each.schedule.name)
            after = self._after(each, row)
            if not each.told and (row is None or row.definition != each.schedule.table.definition):
                commands.append(_define(each.schedule.name, each.schedule.table.definition, each.since))
            slots, more = each.due_by(now, after)
            if more:
                told = "schedule %s: of the runs it has missed only the last %d are considered"
                log.warning(told, each.schedule.name, MOST_MISSED, extra={"action": "slots_missed"})
            try:
                spec = self._carry(each.schedule) if slots else each.schedule.spec
            except BadInput as error:
                # It is tried again at the next tick; then the run is late, or missed, as [schedule] says.
                self._name_not_carried(each.schedule.name, str(error))
                continue
            self._not_carried.pop(each.schedule.name, None)
            commands += [_order(spec, planned) for planned in slots]
            reached.append((each, slots[-1] if slots else after))
        if commands:
            self._database.issue(commands)
            with contextlib.suppress(redis.RedisError):
                # The control plane also reads the table from time to time.
                self._ring()
        # Only now: a request that failed is repeated at the next tick.
        self._removed.clear()
        for each, after in reached:
            each.told, each.after = True, after
            each.find_next()

    def _name_not_carried(self, name: str, problem: str) -> None:
        if self._not_carried.get(name) != problem:
            log.warning("schedule %s is not run: %s", name, problem, extra={"action": "schedule_refused"})
        self._not_carried[name] = problem

    def _in_time(self, ahead: float) -> bool:
        """Returns whether this host's clock, ``ahead`` seconds ahead of the database's, is near enough to it."""
        apart = f"this host's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} the database's"
        if abs(ahead) > self._most_ahead:
            self._complain(f"{apart}; nothing is run until they agree")
            return False
        if abs(ahead) > PUNCTUAL_SECONDS and not self._said_apart:
            effect = "begins nothing early" if ahead > 0 else "has runs begin late"
            log.warning("%s, which %s", apart, effect, extra={"action": "beat_clock"})
        self._said_apart = abs(ahead) > PUNCTUAL_SECONDS
        return True

    def _after(self, each: _Watched, row: ScheduleProgress | None) -> int:
        """Returns the time up to which all slots of this timetable are settled."""
        if row is None:
            return max(each.since, each.after or 0)
        since = row.since if row.definition == each.schedule.table.definition else each.since
        return max(since, row.newest, each.after or 0)

    def _complain(self, trouble: str) -> None:
        """Logs a trouble once, not at every tick."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("%s", trouble, extra={"action": "beat_trouble"})


def _define(name: str, definition: str, since: float) -> Command:
    return Command(0, str(uuid.uuid4()), DEFINE, name, {"definition": definition, "since": int(since)})


def _order(spec: Spec, planned: int) -> Command:
    study = run_name(spec.name, planned)
    log.info("asking for %s", study, extra={"action": "slot_due"})
    return Command(0, key_of(OPERATION, spec.name, planned), OPERATION, study, order(spec, planned))
