"""Cron expressions in a time zone, as moments in UTC. Pure; nothing here reads a clock.

An expression that names hours of the day means local time: each of its times comes once a day. A time that the clocks
skip in spring comes at the first moment after the gap, one that they repeat in autumn comes the first time. An
expression with every hour in it means elapsed time: it comes at every moment whose local time it matches, so that it
neither misses an hour in autumn nor runs twice in one.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from orchestrator.common.faults import Fault, show
from orchestrator.common.formatting import count

LONGEST = 256
"""Characters that an expression may have."""

_REMEDY = "write minute, hour, day of the month, month and day of the week, such as '0 2 * * *'"
_EVERY_HOUR = frozenset(range(24))
_SOME_DAY = datetime(2024, 1, 1)  # noqa: DTZ001  # in no time zone
_FIRST_WINDOW = 3_600
_WALKED = 1_500
"""More than a day of minutes."""

_RANGE_OF_ONE = re.compile(r"\b0*([0-9A-Z]+)-0*\1/[0-9]+", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Timetable:
    """The moments at which a schedule is due, in whole seconds since the epoch.

    Attributes:
        cron: Minute, hour, day of the month, month, day of the week.
        zone: The time zone of the expression.
    """

    cron: str
    zone: ZoneInfo

    def slots(self, after: int, until: int) -> Iterator[int]:
        """Yields the moments in (``after``, ``until``], in order, each once."""
        found = self._elapsed(after) if _every_hour(self.cron) else self._local_times(after)
        last = after
        for moment in found:
            if moment > until:
                return
            if moment > last:
                yield moment
                last = moment

    def upcoming(self, after: int) -> Iterator[int]:
        """Yields the moments after ``after``, for as long as there are calendars."""
        return self.slots(after, int(datetime.max.replace(tzinfo=UTC).timestamp()))

    def newest(self, after: int, until: int, most: int) -> tuple[list[int], bool]:
        """Returns the last ``most`` moments in (``after``, ``until``], in order, and whether there are earlier ones.

        Its time does not grow with the interval: it looks back from ``until`` in growing windows.
        """
        window = _FIRST_WINDOW
        while True:
            begin = max(after, until - window)
            found = deque(self.slots(begin, until), maxlen=most + 1)
            if begin == after or len(found) > most:
                return list(found)[-most:], len(found) > most
            window *= 4

    def local(self, moment: int) -> datetime:
        """Returns a moment in local time."""
        return datetime.fromtimestamp(moment, self.zone)

    def _local_times(self, after: int) -> Iterator[int]:
        # No local time before this one can belong to a later moment. Times that are repeated come again here; the
        # caller drops them as past.
        for time in _walk(self.cron, self.local(after).replace(tzinfo=None, fold=0)):
            yield self._first(time)

    def _first(self, time: datetime) -> int:
        """Returns the first moment of a local time, or the first moment after the gap that the time is in."""
        while not _exists(time, self.zone):
            time += timedelta(minutes=1)
        return int(time.replace(tzinfo=self.zone).timestamp())

    def _elapsed(self, after: int) -> Iterator[int]:
        fields = self.cron.split()
        fields[1] = "*"
        for time in _walk(" ".join(fields), self.local(after)):
            yield int(time.timestamp())


def check_cron(text: str) -> str:
    """Returns the expression with single blanks.

    Raises:
        Fault: it is no cron expression, or one that is never due.
    """
    shown = f"is {show(text)}, which " if len(text) <= 60 else ""
    if len(text) > LONGEST:
        raise Fault(f"has {len(text)} characters, more than {LONGEST}", _REMEDY)
    fields = text.split()
    if len(fields) != 5:
        raise Fault(f"{shown}has {count(len(fields), 'field')}", _REMEDY)
    cron = " ".join(fields)
    if found := _RANGE_OF_ONE.search(cron):
        # Some programs read it as that one, others as all from there.
        raise Fault(f"{shown}has a range of one with a step ({found[0]})", _REMEDY)
    try:
        first = next(CronSim(cron, _SOME_DAY), None)
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        raise Fault(f"{shown}has an impossible {field}", _REMEDY) from None
    if first is None:
        raise Fault(f"{shown}never comes", _REMEDY)
    return cron


def shortest(cron: str) -> float:
    """Returns the smallest number of seconds between two local times."""
    walk = islice(_walk(cron, _SOME_DAY), _WALKED)
    return min(((later - earlier).total_seconds() for earlier, later in pairwise(walk)), default=math.inf)


def delay(schedule: str, planned: int, jitter: float) -> float:
    """Returns by how many seconds a slot begins after it was planned: below ``jitter``, and the same on every host."""
    digest = hashlib.blake2b(f"{schedule} {planned}".encode(), digest_size=8).digest()
    return jitter * int.from_bytes(digest, "big") / 2**64


def run_name(schedule: str, planned: int) -> str:
    """Returns the name of the study that is the run of a slot: ``nightly-20260301T010000Z``."""
    return f"{schedule}-{datetime.fromtimestamp(planned, UTC):%Y%m%dT%H%M%SZ}"


def _walk(cron: str, start: datetime) -> Iterator[datetime]:
    try:
        yield from CronSim(cron, start)
    except OverflowError:
        # The end of the calendar.
        return


def _every_hour(cron: str) -> bool:
    hours: frozenset[object] = frozenset(CronSim(cron, _SOME_DAY).hours)
    return hours == _EVERY_HOUR


def _exists(time: datetime, zone: ZoneInfo) -> bool:
    aware = time.replace(tzinfo=zone)
    return aware.astimezone(UTC).astimezone(zone).replace(tzinfo=None, fold=0) == time
