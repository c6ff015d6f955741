"""The moments of schedules, against a walk through every minute of both nights, in zones of all kinds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.common.faults import Fault
from orchestrator.spec.cron import LONGEST, Timetable, check_cron, delay, run_name, shortest

BERLIN = ZoneInfo("Europe/Berlin")
NIGHTS = {
    "Europe/Berlin": ("2026-03-29T01:00", "2026-10-25T01:00"),
    "America/New_York": ("2026-03-08T07:00", "2026-11-01T06:00"),
    # Half an hour.
    "Australia/Lord_Howe": ("2026-10-03T15:30", "2026-04-04T15:00"),
    # At midnight: a day that begins at one, and one that begins twice.
    "America/Havana": ("2026-03-08T05:00", "2026-11-01T05:00"),
    "America/Sao_Paulo": ("2018-11-04T03:00", "2018-02-18T02:00"),
    # A day that never was.
    "Pacific/Apia": ("2011-12-30T10:00",),
    "UTC": ("2026-03-29T01:00",),
}
"""The moments, in UTC, at which the clocks change."""

CHANGES = [(zone, night) for zone, nights in NIGHTS.items() for night in nights]


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def shown(timetable: Timetable, after: str, until: str) -> list[str]:
    return [f"{timetable.local(slot):%a %H:%M %z}" for slot in timetable.slots(at(after), at(until))]


def field(text: str, low: int, high: int) -> set[int]:
    """What a field of an expression allows, read anew."""
    allowed: set[int] = set()
    for term in text.split(","):
        span, _, step = term.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        end = int(last) if last else high if step else int(first)
        allowed |= set(range(int(first), end + 1, int(step or 1)))
    return allowed


def walked(cron: str, zone: ZoneInfo, after: int, until: int) -> list[int]:
    """What the slots must be, found by looking at the wall in every minute."""
    minutes, hours, days, months, weekdays = cron.split()
    allowed = field(minutes, 0, 59), field(hours, 0, 23), field(days, 1, 31), field(months, 1, 12)
    some_days = field(weekdays, 0, 7)
    both = days.startswith("*") or weekdays.startswith("*")

    def matches(time: datetime) -> bool:
        day, weekday = time.day in allowed[2], bool({time.isoweekday(), time.isoweekday() % 7} & some_days)
        on_day = (day and weekday) if both else (day or weekday)
        return on_day and time.minute in allowed[0] and time.hour in allowed[1] and time.month in allowed[3]

    # From well before, so that what belongs to an earlier moment is seen there.
    moments = range(after - 3 * 86_400, until + 60, 60)
    wall = {moment: datetime.fromtimestamp(moment, zone).replace(tzinfo=None, fold=0) for moment in moments}
    if allowed[1] == set(range(24)):
        return [moment for moment in moments if after < moment <= until and matches(wall[moment])]
    found: set[int] = set()
    seen: set[datetime] = set()
    latest = wall[moments[0]] - timedelta(minutes=1)
    for moment in moments:
        time = wall[moment]
        skipped = latest + timedelta(minutes=1)
        while skipped < time:
            if matches(skipped):
                found.add(moment)
            skipped += timedelta(minutes=1)
        if time not in seen and matches(time):
            found.add(moment)
        seen.add(time)
        latest = max(latest, time)
    return sorted(moment for moment in found if after < moment <= until)


def numbers(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    pairs = st.tuples(number, number).filter(lambda pair: pair[0] != pair[1])
    ranges = pairs.map(lambda pair: f"{min(pair)}-{max(pair)}")
    stepped = st.tuples(st.one_of(st.just("*"), ranges), st.integers(1, 20)).map(lambda it: f"{it[0]}/{it[1]}")
    term = st.one_of(number.map(str), ranges, stepped)
    return st.one_of(st.just("*"), st.lists(term, min_size=1, max_size=3).map(",".join))


# At night most of all; mostly every day, or there would be little to compare.
HOURS = st.one_of(st.sampled_from(["*", "0", "1", "2", "3", "2,3", "1-3", "*/2", "0-23", "*/5"]), numbers(0, 23))
DAYS = st.one_of(st.just("*"), st.just("*"), numbers(1, 31))
WEEKDAYS = st.one_of(st.just("*"), st.just("*"), numbers(0, 7))
CRONS = st.tuples(numbers(0, 59), HOURS, DAYS, st.just("*"), WEEKDAYS).map(" ".join)


@given(CRONS, st.sampled_from(CHANGES), st.integers(-1_500, 300), st.integers(0, 1_800))
@example("30 2 * * *", ("Europe/Berlin", "2026-03-29T01:00"), -600, 1_500)
@example("*/10 2 * * *", ("Europe/Berlin", "2026-10-25T01:00"), -600, 1_500)
@example("30 0-23 * * *", ("Europe/Berlin", "2026-10-25T01:00"), -600, 1_500)
@example("0 * * * *", ("America/Sao_Paulo", "2018-11-04T03:00"), -600, 1_500)
@example("30 * 4 * *", ("America/Sao_Paulo", "2018-11-04T03:00"), -600, 1_500)
@settings(deadline=None, max_examples=60)
def test_slots_are_what_the_wall_shows(cron: str, change: tuple[str, str], begin: int, minutes: int) -> None:
    zone, night = change
    after = at(night) + 60 * begin
    until = after + 60 * minutes
    timetable = Timetable(check_cron(cron), ZoneInfo(zone))
    assert list(timetable.slots(after, until)) == walked(cron, ZoneInfo(zone), after, until)


@given(CRONS, st.sampled_from(CHANGES), st.lists(st.integers(-300, 300), min_size=3, max_size=3))
@settings(deadline=None, max_examples=60)
def test_it_does_not_matter_where_a_look_begins(cron: str, change: tuple[str, str], places: list[int]) -> None:
    """Not to the second either: what was looked at in pieces is what is seen at once."""
    zone, night = change
    timetable = Timetable(check_cron(cron), ZoneInfo(zone))
    first, middle, last = sorted(at(night) + 61 * place for place in places)
    pieces = [*timetable.slots(first, middle), *timetable.slots(middle, last)]
    assert pieces == list(timetable.slots(first, last))
    newest, more = timetable.newest(first, last, 5)
    assert newest == pieces[-5:]
    assert more == (len(pieces) > 5)


def test_a_time_that_is_skipped_comes_after_the_gap() -> None:
    timetable = Timetable("30 2 * * *", BERLIN)
    assert shown(timetable, "2026-03-27T12:00", "2026-03-30T12:00") == [
        "Sat 02:30 +0100",
        "Sun 03:00 +0200",
        "Mon 02:30 +0200",
    ]


def test_a_time_that_is_repeated_comes_the_first_time() -> None:
    timetable = Timetable("30 2 * * *", BERLIN)
    assert shown(timetable, "2026-10-24T12:00", "2026-10-26T12:00") == ["Sun 02:30 +0200", "Mon 02:30 +0100"]


def test_several_times_in_the_gap_are_one_run() -> None:
    timetable = Timetable("*/20 2,3 * * *", BERLIN)
    assert shown(timetable, "2026-03-28T12:00", "2026-03-29T12:00") == [
        "Sun 03:00 +0200",
        "Sun 03:20 +0200",
        "Sun 03:40 +0200",
    ]


def test_an_hourly_schedule_loses_no_hour_and_has_none_twice() -> None:
    timetable = Timetable("0 * * * *", BERLIN)
    for night in NIGHTS["Europe/Berlin"]:
        slots = list(timetable.slots(at(night) - 8 * 3600, at(night) + 8 * 3600))
        assert [b - a for a, b in pairwise(slots)] == [3600] * 15


def test_a_day_that_never_was_has_its_runs_when_it_is_over() -> None:
    timetable = Timetable("0 12 * * *", ZoneInfo("Pacific/Apia"))
    assert shown(timetable, "2011-12-29T00:00", "2011-12-31T12:00") == [
        "Thu 12:00 -1000",
        "Sat 00:00 +1400",
        "Sat 12:00 +1400",
    ]


def test_years_of_minutes_are_not_walked_through() -> None:
    slots, more = Timetable("* * * * *", BERLIN).newest(0, at("2026-03-01T00:00"), 3)
    assert slots == [at("2026-02-28T23:58"), at("2026-02-28T23:59"), at("2026-03-01T00:00")]
    assert more
    # All of a year in one hour: most of it lies far from the end of the look.
    slots, more = Timetable("* 0 1 1 *", BERLIN).newest(0, at("2026-12-01T00:00"), 100)
    assert slots[-1] == at("2025-12-31T23:59")
    assert len(slots) == 100


def test_the_calendar_ends() -> None:
    def dates() -> Iterator[int]:
        return Timetable("0 0 29 2 *", BERLIN).upcoming(at("9990-01-01T00:00"))

    assert [datetime.fromtimestamp(slot, BERLIN).year for slot in dates()] == [9992, 9996]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "has 0 fields"),
        ("@daily", "has 1 field"),
        ("0 0 2 * * *", "has 6 fields"),
        ("61 * * * *", "impossible minute"),
        ("* 24 * * *", "impossible hour"),
        ("* * 0 * *", "impossible day-of-month"),
        ("* * * 13 *", "impossible month"),
        ("* * * * 8", "impossible day-of-week"),
        ("*/0 * * * *", "impossible minute"),
        ("5-1 * * * *", "impossible minute"),
        ("0 0 31 2 *", "impossible day-of-month"),
        ("0 0 */31 2 1L", "never comes"),
        ("05-5/2 * * * *", r"range of one with a step \(05-5/2\)"),
        ("* * * * Mon-MON/2", "range of one"),
        ("1," * LONGEST + "1 * * * *", "characters"),
    ],
)
def test_what_is_no_expression(text: str, problem: str) -> None:
    with pytest.raises(Fault, match=problem):
        check_cron(text)


@given(st.text(st.sampled_from("0123456789*/,-#LW MONJA²ß\0\ud800"), max_size=60))
def test_any_text_is_taken_or_refused(text: str) -> None:
    try:
        cron = check_cron(text)
    except Fault:
        return
    next(iter(Timetable(cron, BERLIN).slots(0, at("2000-01-01T00:00"))), None)


def test_a_delay_is_the_same_everywhere_and_within_its_bound() -> None:
    delays = [delay("nightly", slot, 600.0) for slot in range(0, 86_400 * 1_000, 86_400)]
    assert delays == [delay("nightly", slot, 600.0) for slot in range(0, 86_400 * 1_000, 86_400)]
    assert min(delays) >= 0
    assert max(delays) < 600
    assert max(delays) - min(delays) > 550
    assert delay("another", 0, 600.0) != delays[0]
    assert delay("nightly", 0, 0.0) == 0


def test_a_run_is_called_after_its_slot_in_utc() -> None:
    assert run_name("nightly", at("2026-03-01T01:00")) == "nightly-20260301T010000Z"


@pytest.mark.parametrize(
    ("cron", "seconds"),
    [("* * * * *", 60), ("0 2 * * *", 86_400), ("0,50 1 * * *", 3_000), ("0 0 29 2 *", 126_230_400)],
)
def test_how_far_apart_runs_are(cron: str, seconds: float) -> None:
    assert shortest(cron) == seconds
