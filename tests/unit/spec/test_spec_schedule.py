"""[schedule]: what is taken, in which words the rest is refused, and which run a study is."""

from __future__ import annotations

import pytest
from spec_text import BASE, check_refused, made

from orchestrator.common.errors import BadInput
from orchestrator.spec import Spec, differences, parse
from orchestrator.spec.schedule import LastRun, RunTable, ScheduleTable

NIGHTLY = "[schedule]\ncron = '0 2 * * *'\n"
RUN = RunTable(schedule="a", slot=1_700_000_000, last=LastRun(study="a-1", value=0.5))


def schedule(more: str = "", before: str = "") -> ScheduleTable:
    table = made(before + NIGHTLY + more).schedule
    assert table is not None
    return table


def test_defaults() -> None:
    assert made().schedule is None
    table = schedule()
    assert (table.cron, table.timezone, table.jitter, table.keep) == ("0 2 * * *", "UTC", 0.0, None)
    assert (table.catch_up, table.overlap, table.warm_start, table.report) == ("last", "skip", 0, False)
    assert table.margin(0.5) is None


def test_every_key_arrives() -> None:
    table = schedule(
        "timezone = 'Europe/Berlin'\njitter = '10m'\ncatch_up = 'all'\noverlap = 'queue'\nkeep = 7\nwarm_start = 3\n"
        "report = true\nflag_worse_by = '2.5 %'\n"
    )
    assert (table.timezone, table.jitter, table.catch_up, table.overlap) == ("Europe/Berlin", 600.0, "all", "queue")
    assert (table.keep, table.warm_start, table.report) == (7, 3, True)
    assert table.definition == "0 2 * * * Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "last", "margin"), [("0", 5.0, 0.0), ("0.5", 9.0, 0.5), ("'10%'", -4.0, 0.4), ("'0%'", 4.0, 0.0)]
)
def test_margins(text: str, last: float, margin: float) -> None:
    assert schedule(f"flag_worse_by = {text}").margin(last) == pytest.approx(margin)


def test_true_is_one() -> None:
    assert [schedule(f"warm_start = {text}").warm_start for text in ("true", "false", "2")] == [1, 0, 2]


def test_blanks_do_not_make_another_timetable() -> None:
    assert made("[schedule]\ncron = '  0  2 *\t* *'\n").schedule == schedule()


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("[schedule]", ("schedule.cron: required key missing",)),
        ("schedule = 3", ("schedule: is an integer (3)", "must be a table")),
        ("[schedule]\ncron = 5", ("schedule.cron: is an integer (5)", "must be a string")),
        ("[schedule]\ncron = '@daily'", ("schedule.cron: is '@daily', which has 1 field;", "such as '0 2 * * *'")),
        ("[schedule]\ncron = '0 25 * * *'", ("schedule.cron: is '0 25 * * *', which has an impossible hour;",)),
        ("[schedule]\ncron = '" + "1," * 200 + "'", ("schedule.cron: has 400 characters, more than 256;",)),
        ("[schedule]\ncron = '0 2 * * \\u0000'", ("schedule.cron:",)),
        (NIGHTLY + "timezone = 'Europe/Berln'", ("schedule.timezone: there is no 'Europe/Berln'", "'Europe/Berlin'?")),
        (NIGHTLY + "timezone = '../../etc/passwd'", ("schedule.timezone: there is no '../../etc/passwd'",)),
        (NIGHTLY + "timezone = ''", ("schedule.timezone: there is no ''", "such as 'Europe/Berlin' or 'UTC'")),
        (NIGHTLY + 'timezone = "a\\u0000b"', ("schedule.timezone: there is no 'a\\x00b'",)),
        (NIGHTLY + "jitter = -1", ("schedule.jitter: is -1", "at least 0")),
        (NIGHTLY + "jitter = '2d'", ("schedule.jitter: is", "at most 86400")),
        (
            "[schedule]\ncron = '*/10 * * * *'\njitter = '10m'",
            ("schedule.jitter: is 600 s, and the runs are only 600 s apart; it must be shorter",),
        ),
        (NIGHTLY + "catch_up = true", ("schedule.catch_up: is a boolean (true)", "one of none, last, all")),
        (NIGHTLY + "overlap = 'alow'", ("schedule.overlap: is 'alow'", "known: queue, replace, skip")),
        (NIGHTLY + "keep = 0", ("schedule.keep: is 0", "at least 1")),
        (NIGHTLY + "warm_start = -1", ("schedule.warm_start: is -1", "at least 0")),
        (NIGHTLY + "warm_start = 4", ("schedule.warm_start: is 4, more than all 3 trials; make it smaller",)),
        (
            "enqueue = [{ x = 1 }, { x = 2 }]\n" + NIGHTLY + "warm_start = 2",
            ("schedule.warm_start: is 2 beside the 2 of 'enqueue', more than all 3 trials",),
        ),
        (NIGHTLY + "flag_worse_by = -0.5", ("schedule.flag_worse_by: is -0.5", "at least 0")),
        (NIGHTLY + "flag_worse_by = '5'", ("schedule.flag_worse_by: cannot be '5'", '"5%"')),
        (NIGHTLY + "flag_worse_by = true", ("schedule.flag_worse_by: is a boolean (true)",)),
        (
            "directions = ['minimize', 'maximize']\n" + NIGHTLY + "flag_worse_by = 1",
            ("schedule.flag_worse_by: compares best values, and with several objectives no trial is the best",),
        ),
        (NIGHTLY + "crom = 1", ("schedule.crom: unknown key", "'cron'?")),
        ("[run]\nschedule = 'a'\nslot = 1", ("run: unknown key",)),
    ],
)
def test_refused(text: str, pieces: tuple[str, ...]) -> None:
    check_refused(text, pieces)


def test_the_name_leaves_room_for_that_of_its_runs() -> None:
    text = BASE.replace('"a"', f'"{"a" * 111}"')
    assert parse(text + NIGHTLY, "s.toml").schedule is not None
    with pytest.raises(BadInput, match="name: has 112 characters"):
        parse(text.replace('"a', '"aa') + NIGHTLY, "s.toml")
    assert parse(text.replace('"a', '"aa'), "s.toml").schedule is None


def test_a_run_is_stored_as_one() -> None:
    spec = made(NIGHTLY + "flag_worse_by = '5%'\nwarm_start = true")
    assert "run" not in spec.to_json()
    assert Spec.from_json(spec.to_json()) == spec
    run = spec.model_copy(update={"name": "a-" + "x" * 120, "run": RUN})
    assert Spec.from_json(run.to_json()) == run
    assert Spec.from_json({key: value for key, value in spec.to_json().items() if key != "schedule"}).schedule is None


def test_a_schedule_makes_no_other_search() -> None:
    assert differences(made(), made(NIGHTLY)) == []
    assert differences(made().model_copy(update={"run": RUN}), made(NIGHTLY)) == []
