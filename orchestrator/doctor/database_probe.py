"""Facts of the study database: versions, locks, the lease, and the work that has not ended. Changes nothing."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

import sqlalchemy
from sqlalchemy import Connection, and_, exc, func, select, text

from orchestrator.common.errors import BadInput
from orchestrator.common.urls import redact
from orchestrator.doctor.facts import Blocked, Clock, Database, Refusal
from orchestrator.doctor.table_facts import (
    Attempt,
    Command,
    FailedNotification,
    FailedStudy,
    Known,
    Overdue,
    Study,
    TableFacts,
    Writer,
)
from orchestrator.doctor.write_access import refused_file, refused_role
from orchestrator.model.attribute_keys import EXTRA, SILENT
from orchestrator.model.lifecycle import LIVE
from orchestrator.model.silence import Silence
from orchestrator.model.study_states import ENDED
from orchestrator.queries.readonly import NothingThere, open_connection
from orchestrator.schedule.policies import MOST_MISSED, PUNCTUAL_SECONDS
from orchestrator.spec import Spec
from orchestrator.spec.cron import Timetable, delay, shortest
from orchestrator.spec.schedule import LONGEST_JITTER
from orchestrator.storage import own_tables
from orchestrator.storage.database import Database as StudyDatabase
from orchestrator.storage.database import is_gone, stopped_pid
from orchestrator.storage.optuna_decoding import seconds
from orchestrator.storage.optuna_tables import STUDIES, SYSTEM_ATTRS, TRIALS
from orchestrator.storage.own_tables import notes, schedules, slots
from orchestrator.storage.schedule_store import read_known, select_runs
from orchestrator.storage.schema_check import optuna_schema, own_schema, shown
from orchestrator.storage.sql_dialects import current_time
from orchestrator.storage.sqlite_files import path_of
from orchestrator.storage.suspension_store import read_suspensions
from tasks.program.allowlist import entry_of

LOCK_SECONDS = 1.0
"""Wait for SQLite's write lock; a control plane holds it for milliseconds."""

FAILED_SECONDS = 86_400.0
"""Age up to which a failed notification is reported."""

_ASKED_AT_ONCE = 1_000

_BLOCKED = text(
    """
    SELECT extract(epoch from clock_timestamp() - waiting.state_change)::float8 AS seconds,
           holding.pid, coalesce(holding.application_name, '') AS application, coalesce(holding.state, '') AS state
    FROM pg_stat_activity AS waiting
    CROSS JOIN LATERAL unnest(pg_blocking_pids(waiting.pid)) AS blocking(pid)
    JOIN pg_stat_activity AS holding ON holding.pid = blocking.pid
    WHERE waiting.datname = current_database() AND waiting.application_name = 'orchestrator'
    """
)
_READ_ONLY = text("SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool")
_CONNECTIONS = text(
    "SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity WHERE datid IS NOT NULL"
)


def read_database(url: str, tokens: Collection[str] = ()) -> Database:
    """Reads the facts of a database.

    Args:
        url: The database.
        tokens: Attempts that are asked about.

    Returns:
        What there is to know; with its ``error`` where it cannot be looked at.
    """
    where = redact(url)
    journal, locked, file = "", False, file_of(url)
    try:
        if file is not None:
            journal, locked = _journal(file), _is_locked(file)
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return Database(where, error="another process has locked the file", url=shown(url), locked=True)
    except sqlite3.DatabaseError:
        pass  # what it is, the proper connection will say
    try:
        with open_connection(url) as connection:
            return _read_facts(connection, url, journal, tokens, locked=locked)
    except NothingThere as error:
        return Database(where, error=error.problem, missing=True)
    except BadInput as error:
        return Database(where, error=error.problem, remedy=error.remedy, refused=_refused(url))


def _read_facts(connection: Connection, url: str, journal: str, tokens: Collection[str], *, locked: bool) -> Database:
    optuna, ours = optuna_schema(connection), own_schema(connection)
    usable = ours is not None and ours.refusal() is None and optuna is not None and optuna.refusal(url) is None
    before = time.time()
    now = float(connection.scalars(select(current_time(connection.dialect.name))).one())
    after = time.time()
    found: dict[str, Any] = {
        "where": redact(url),
        "url": shown(url),
        "optuna": optuna,
        "ours": ours,
        "journal": journal,
        "locked": locked,
        "books": _books(connection, now, tokens) if usable else None,
    }
    if connection.dialect.name != "postgresql":
        # Its clock is this host's.
        path = file_of(url)
        refused = None if path is None else refused_file(path)
        return Database(version=f"SQLite {sqlite3.sqlite_version}", refused=refused, **found)
    version = str(connection.scalar(text("SHOW server_version"))).split()[0]
    used, most = connection.execute(_CONNECTIONS).one()
    return Database(
        version=f"PostgreSQL {version}",
        connections=(used, most),
        read_only=bool(connection.scalar(_READ_ONLY)),
        refused=refused_role(connection, url),
        blocked=tuple(
            Blocked(row.seconds, row.pid, row.application, row.state) for row in connection.execute(_BLOCKED)
        ),
        clock=Clock(now - (before + after) / 2, (after - before) / 2),
        **found,
    )


def _refused(url: str) -> Refusal | None:
    """Returns what the role of a PostgreSQL URL lacks, where it cannot even read."""
    try:
        with closing(StudyDatabase(url, read_only=True)) as database, database.read() as connection:
            return refused_role(connection, url) if database.dialect == "postgresql" else None
    except exc.SQLAlchemyError:
        return None


def _journal(path: Path) -> str:
    """Returns the journal mode of an SQLite file, by a connection that does not ask for another one, as ours do."""
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=LOCK_SECONDS)) as connection:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1")  # the mode alone can be had of a locked file, too
        return str(connection.execute("PRAGMA journal_mode").fetchone()[0])


def _is_locked(path: Path) -> bool:
    """Whether another process keeps the write lock of an SQLite file."""
    try:
        with closing(sqlite3.connect(path, timeout=LOCK_SECONDS, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        return "locked" in str(error)
    return False


def file_of(url: str) -> Path | None:
    """Returns the file of an SQLite database, if it is one and is there."""
    try:
        parsed = sqlalchemy.make_url(url)
    except sqlalchemy.exc.ArgumentError:
        return None
    path = path_of(parsed)
    return path if path is not None and path.is_file() else None


def _books(connection: Connection, now: float, tokens: Collection[str]) -> TableFacts:
    rows = connection.execute(
        select(own_tables.studies, STUDIES.c.study_name)
        .join(STUDIES, STUDIES.c.study_id == own_tables.studies.c.study_id)
        .order_by(own_tables.studies.c.created, own_tables.studies.c.study_id)
    ).all()
    attempts = list(_attempts(connection, time.time()))
    live = Counter(each.study for each in attempts)
    suspended = {study: suspension.cause for study, (_, suspension) in read_suspensions(connection).items()}
    unsettled = [row for row in rows if row.state not in ENDED or live[row.study_name] or row.study_id in suspended]
    return TableFacts(
        writer=_writer(connection, now),
        studies=tuple(
            replace(_study(connection, row, live[row.study_name]), suspended=suspended.get(row.study_id, ""))
            for row in unsettled
        ),
        ended=len(rows) - len(unsettled),
        attempts=tuple(attempts),
        unattended=tuple(_unattended(connection)),
        failed=tuple(_failed(row) for row in rows if row.state == "failed" and now - row.changed < FAILED_SECONDS),
        commands=tuple(_commands(connection)),
        untold=tuple(read_failed(connection, time.time() - FAILED_SECONDS, time.time())),
        overdue=tuple(read_overdue(connection, now)),
        known=_known(connection, sorted(tokens)),
        code=_code(connection),
    )


def _code(connection: Connection) -> tuple[int, int]:
    table = own_tables.code.c
    count, size = connection.execute(select(func.count(), func.sum(func.length(table.archive)))).one()
    return int(count), int(size or 0)


def _writer(connection: Connection, now: float) -> Writer | None:
    row = connection.execute(select(own_tables.writer).where(own_tables.writer.c.id == 1)).one_or_none()
    if row is None:
        return None
    gone, stopped = is_gone(row.holder), stopped_pid(row.holder)
    return Writer(row.holder, row.term, row.expires - now, gone, stopped, row.expires)


def _study(connection: Connection, row: Any, live: int) -> Study:
    changed = time.time() - row.changed
    try:
        spec = Spec.from_json(json.loads(row.spec))
    except (BadInput, ValueError, RecursionError) as error:
        return Study(row.study_name, row.state, live=live, changed=changed, error=str(error))
    extra = select(func.count()).join(
        SYSTEM_ATTRS, and_(SYSTEM_ATTRS.c.trial_id == TRIALS.c.trial_id, SYSTEM_ATTRS.c.key == EXTRA)
    )
    of_it = TRIALS.c.study_id == row.study_id
    trials = connection.scalar(select(func.count()).select_from(TRIALS).where(of_it)) or 0
    return Study(
        name=row.study_name,
        state=row.state,
        queue=spec.queue,
        grace=spec.grace,
        changed=changed,
        budget=spec.budget(connection.scalar(extra.select_from(TRIALS).where(of_it)) or 0, trials),
        trials=trials,
        live=live,
        weight=spec.weight,
        bundle="" if spec.code is None else spec.code.bundle,
    )


def _failed(row: Any) -> FailedStudy:
    found = FailedStudy(row.study_name, "trials", row.reason, time.time() - row.changed)
    try:
        spec = Spec.from_json(json.loads(row.spec))
    except (BadInput, ValueError, RecursionError):
        return found
    program = "" if spec.command is None else entry_of(spec.command.command())
    return replace(found, queue=spec.queue, sends_code=bool(spec.code and spec.code.bundle), program=program)


def _attempts(connection: Connection, now: float) -> Iterator[Attempt]:
    attempts = own_tables.attempts.c
    query = (
        select(
            own_tables.attempts,
            STUDIES.c.study_name,
            TRIALS.c.datetime_complete,
            SYSTEM_ATTRS.c.value_json.label("silent"),
        )
        .join(STUDIES, STUDIES.c.study_id == attempts.study_id)
        .outerjoin(TRIALS, and_(TRIALS.c.study_id == attempts.study_id, TRIALS.c.number == attempts.trial))
        .outerjoin(SYSTEM_ATTRS, and_(SYSTEM_ATTRS.c.trial_id == TRIALS.c.trial_id, SYSTEM_ATTRS.c.key == SILENT))
        .where(attempts.state.in_(sorted(LIVE)))
        .order_by(attempts.study_id, attempts.trial)
    )
    for row in connection.execute(query):
        ended = seconds(row.datetime_complete)
        yield Attempt(
            token=row.token,
            study=row.study_name,
            trial=row.trial,
            state=row.state,
            runner=row.runner,
            slot=row.slot,
            sent=row.sent,
            age=now - next(at for at in (row.started, row.sent, row.created) if at is not None),
            ended=None if ended is None else now - ended,
            silent=None if (silence := Silence.read(json.loads(row.silent or "null"))) is None else now - silence.since,
            pace=None if silence is None else silence.pace,
        )


def _unattended(connection: Connection) -> Iterator[tuple[str, int]]:
    attempts = own_tables.attempts.c
    live = select(attempts.token).where(
        attempts.study_id == TRIALS.c.study_id, attempts.trial == TRIALS.c.number, attempts.state.in_(sorted(LIVE))
    )
    query = (
        select(STUDIES.c.study_name, TRIALS.c.number)
        .join(STUDIES, STUDIES.c.study_id == TRIALS.c.study_id)
        .join(own_tables.studies, own_tables.studies.c.study_id == TRIALS.c.study_id)
        .where(TRIALS.c.state == "RUNNING", own_tables.studies.c.state.not_in(sorted(ENDED)), ~live.exists())
        .order_by(STUDIES.c.study_name, TRIALS.c.number)
    )
    for row in connection.execute(query):
        yield row.study_name, row.number


def _commands(connection: Connection) -> Iterator[Command]:
    query = select(own_tables.commands).where(own_tables.commands.c.answer.is_(None)).order_by(own_tables.commands.c.id)
    now = time.time()
    for row in connection.execute(query):
        yield Command(row.operation, row.study, now - row.created)


def _known(connection: Connection, tokens: Sequence[str]) -> dict[str, Known]:
    found = {}
    attempts = own_tables.attempts.c
    now = time.time()
    for start in range(0, len(tokens), _ASKED_AT_ONCE):
        query = select(attempts.token, attempts.state, attempts.ended).where(
            attempts.token.in_(tokens[start : start + _ASKED_AT_ONCE])
        )
        for row in connection.execute(query):
            found[row.token] = Known(row.state, None if row.ended is None else now - row.ended)
    return found


def read_failed(connection: Connection, since: float, now: float) -> list[FailedNotification]:
    """Returns the notifications that failed after ``since``, oldest first; times are seconds since the epoch."""
    query = (
        select(notes, STUDIES.c.study_name)
        .join(STUDIES, STUDIES.c.study_id == notes.c.study_id)
        .where(notes.c.state == "failed", notes.c.changed > since)
        .order_by(notes.c.id)
    )
    return [
        FailedNotification(row.study_name, row.event, row.kind, row.tries, row.detail, now - row.changed)
        for row in connection.execute(query)
    ]


def read_overdue(connection: Connection, now: float) -> Iterator[Overdue]:
    """Yields the schedules whose runs are due although no beat has asked for them.

    How long a run may be late by its jitter is known from the last one's spec; before there was any, it is not sure
    before the next one is due, or a day has passed.
    """
    names = connection.scalars(select(schedules.c.name).order_by(schedules.c.name)).all()
    for name, known in read_known(connection, names).items():
        cron, _, zone = known.definition.rpartition(" ")
        timetable, jitter = Timetable(cron, ZoneInfo(zone)), _jitter(connection, name)
        passed, _ = timetable.newest(max(known.since, known.newest), int(now), MOST_MISSED)
        longest = min(shortest(cron), LONGEST_JITTER)
        due = [slot + (longest if jitter is None else delay(name, slot, jitter)) for slot in passed]
        late = [now - begin for begin in due if begin + PUNCTUAL_SECONDS < now]
        if late:
            yield Overdue(name, len(late), late[0])


def _jitter(connection: Connection, schedule: str) -> float | None:
    """Returns the jitter that the spec of a schedule's last run has, where there was one."""
    query = select_runs().where(slots.c.schedule == schedule, own_tables.studies.c.spec.is_not(None))
    row = connection.execute(query.order_by(slots.c.planned.desc()).limit(1)).one_or_none()
    table = None if row is None else json.loads(row.stored).get("schedule")
    return None if table is None else float(table.get("jitter", 0.0))
