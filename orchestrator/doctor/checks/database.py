"""Checks of the study database: reachable, of the right version, writable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from orchestrator.common.advice import how_to
from orchestrator.common.formatting import duration
from orchestrator.doctor.checks.installation import DISK_LOW, disk_full
from orchestrator.doctor.facts import Database, Facts
from orchestrator.doctor.finding import Code, Finding, Severity

PSQL = 'psql "${ORCHESTRATOR_STORAGE_URL/+psycopg/}"'
"""Begins a command for PostgreSQL; the shell has the password, which is shown nowhere."""

CROWDED, FULL = 0.8, 0.95
"""Of ``max_connections``."""


def check(facts: Facts) -> Iterator[Finding]:
    """Yields the findings about the database."""
    database = facts.database
    if database.locked:
        yield _locked(database)
    if database.error:
        if database.missing:
            yield _absent(facts)
        elif not database.locked:
            yield _unreachable(database)
        return
    refusals = list(_versions(database))
    said = [database.version]
    if database.optuna is not None and not refusals:
        said.append(f"Optuna's schema {database.optuna.found}")
    if database.ours is not None and not refusals:
        said.append(f"tables of revision {database.ours.found}")
    if database.connections is not None:
        said.append("{} of {} connections".format(*database.connections))
    yield Code.DATABASE.finding(database.where, ", ".join(said))
    yield from refusals
    if database.ours is None:
        yield Code.DATABASE_ABSENT.finding(
            database.where,
            "holds Optuna's studies and none of this program's yet",
            "serve or run make the tables when they start",
            command="orchestrator prepare",
        )
    yield from _state(facts)
    if database.disk_free is not None and database.disk_free < DISK_LOW:
        folder = str(Path(database.url.removeprefix("sqlite:///")).parent)
        yield disk_full(folder, database.disk_free, "the study database is there", "make room, or move it")


def _absent(facts: Facts) -> Finding:
    setup, database = facts.setup, facts.database
    if setup.redis and not setup.storage:
        return Code.DATABASE_ABSENT.finding(
            "ORCHESTRATOR_STORAGE_URL",
            "is not set, so no study could be looked at; on a machine that only trains that is right",
            "elsewhere set it to the URL that serve has",
        )
    remedy = "orchestrator serve makes the tables" if setup.storage else f"{how_to('run', 'SPEC')} makes it"
    return Code.DATABASE_ABSENT.finding(database.where, database.error, remedy)


def _unreachable(database: Database) -> Finding:
    remedy = database.remedy or "start it, or mend ORCHESTRATOR_STORAGE_URL"
    command = "" if database.where.startswith("sqlite") else f"{PSQL} -c 'SELECT 1'"
    if database.refused is not None:
        remedy, command = database.refused.remedy, database.refused.command
    return Code.DATABASE_UNREACHABLE.finding(
        database.where,
        f"{database.error}; no study could be looked at",
        f"{remedy}; training goes on meanwhile, and nothing is lost",
        command=command,
    )


def _locked(database: Database) -> Finding:
    return Code.DATABASE_LOCKED.finding(
        database.where,
        "another process holds the file's write lock, so the control plane can record nothing",
        f"find out which, and end its transaction: fuser {database.url.removeprefix('sqlite:///')}",
    )


def _versions(database: Database) -> Iterator[Finding]:
    if database.optuna is not None and (refusal := database.optuna.refusal(database.url)):
        yield Code.OPTUNA_SCHEMA.finding(database.where, refusal.problem, refusal.remedy)
    if database.ours is not None and (refusal := database.ours.refusal()):
        command = "orchestrator prepare" if database.ours.known else ""
        yield Code.TABLES_VERSION.finding(database.where, refusal.problem, refusal.remedy, command=command)


def _state(facts: Facts) -> Iterator[Finding]:
    database = facts.database
    if database.refused is not None:
        then = "; the control plane that writes has other rights" if facts.active else "; `serve` would end at once"
        yield Code.DATABASE_READ_ONLY.finding(
            database.where,
            database.refused.problem + then,
            database.refused.remedy,
            command=database.refused.command,
            severity=Severity.NOTE if facts.active else Severity.PROBLEM,
        )
    elif database.read_only:
        yield Code.DATABASE_READ_ONLY.finding(
            database.where,
            "takes no writes: it is a standby, or set to read-only",
            "name the primary in ORCHESTRATOR_STORAGE_URL",
        )
    if database.connections is not None:
        used, most = database.connections
        if used >= CROWDED * most:
            yield Code.DATABASE_CONNECTIONS.finding(
                "max_connections",
                f"{used} of {most} connections are open; a control plane that cannot connect records nothing",
                "raise max_connections, or end idle sessions: SELECT * FROM pg_stat_activity",
                severity=Severity.PROBLEM if used >= FULL * most else Severity.WARNING,
            )
    for blocked in database.blocked:
        yield Code.DATABASE_LOCKED.finding(
            database.where,
            f"a session of this program has waited for {duration(blocked.seconds)} for a lock of session {blocked.pid} "
            f"({blocked.application or 'unnamed'}, {blocked.state})",
            f"end that transaction, or: SELECT pg_terminate_backend({blocked.pid})",
            command=f"{PSQL} -c 'SELECT pg_terminate_backend({blocked.pid})'",
        )
    if database.journal not in ("", "wal") and facts.active:
        yield Code.SQLITE_JOURNAL.finding(
            database.where,
            f"its journal mode is {database.journal}, although a control plane has it open: the file system cannot do "
            "WAL, and readers keep the writer waiting",
            "keep it on a disk of this machine, or take PostgreSQL",
        )
