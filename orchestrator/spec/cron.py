"""When a schedule is due: cron expressions in a time zone, as moments in UTC. Pure; nothing here looks at a clock.

An expression that names hours of the day means times on the wall: each of them comes once a day. One that the clocks
skip in spring comes at the first moment after the gap, one that they repeat in autumn comes the first time. An
expression with every hour in it means elapsed time: it comes at every moment whose local time it matches, so that it
neither loses an hour in autumn nor has two runs for one.
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

LONGEST = 256
"""Characters that an expression may have."""

_EVERY_HOUR = frozenset(range(24))
_SOME_DAY = datetime(2024, 1, 1)  # noqa: DTZ001  # on the wall, wherever that is
_FIRST_WINDOW = 3_600
_WALKED = 1_500
"""More than a day of minutes."""

_RANGE_OF_ONE = re.compile(r"\b0*([0-9A-Z]+)-0*\1/[0-9]+", re.IGNORECASE | re.ASCII)


class BadCron(ValueError):
    """The text is no cron expression, or one that never comes; the message says which, and reads on after a key."""


@dataclass(frozen=True)
class Timetable:
    """When a schedule is due. Moments are whole seconds since the epoch.

    Attributes:
        cron: Minute, hour, day of the month, month, day of the week.
        zone: Whose wall the times hang on.
    """

    cron: str
    zone: ZoneInfo

    def slots(self, after: int, until: int) -> Iterator[int]:
        """Yields the moments in (``after``, ``until``], in order, each once."""
        found = self._elapsed(after) if _every_hour(self.cron) else self._on_the_wall(after)
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

        However long that is: years of minutes are not walked through.
        """
        window = _FIRST_WINDOW
        while True:
            begin = max(after, until - window)
            found = deque(self.slots(begin, until), maxlen=most + 1)
            if begin == after or len(found) > most:
                return list(found)[-most:], len(found) > most
            window *= 4

    def local(self, moment: int) -> datetime:
        """Returns a moment as the wall shows it."""
        return datetime.fromtimestamp(moment, self.zone)

    def _on_the_wall(self, after: int) -> Iterator[int]:
        # No time before this one on the wall can belong to a later moment. Times that are repeated come again here, and
        # are what has been already.
        for time in _walk(self.cron, self.local(after).replace(tzinfo=None, fold=0)):
            yield self._first(time)

    def _first(self, time: datetime) -> int:
        """Returns the first moment at which the wall shows this time, or else the first one after the gap it is in."""
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
        BadCron: it is none.
    """
    if len(text) > LONGEST:
        raise BadCron(f"has {len(text)} characters, more than {LONGEST}")
    fields = text.split()
    if len(fields) != 5:
        raise BadCron(f"has {len(fields)} {'field' if len(fields) == 1 else 'fields'}")
    cron = " ".join(fields)
    if found := _RANGE_OF_ONE.search(cron):
        # Read by some as that one, by others as all from there.
        raise BadCron(f"has a range of one with a step ({found[0]})")
    try:
        first = next(CronSim(cron, _SOME_DAY), None)
    except CronSimError as error:
        field = str(error).removeprefix("Bad ")
        raise BadCron(f"has an impossible {field}") from None
    if first is None:
        raise BadCron("never comes")
    return cron


def shortest(cron: str) -> float:
    """Returns how many seconds lie between two times on the wall, at the least."""
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
