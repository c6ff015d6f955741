"""Every finding, drawn from facts: what it takes, how bad it is, what it says, and what would mend it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import pytest
from worlds import (
    IDLE,
    RUNNING,
    SENT,
    SIGN,
    WELL,
    alone,
    attempt,
    books,
    database,
    installation,
    leaderless,
    redis,
    setup,
    stream,
    study,
    worker,
    workers,
)

from orchestrator.doctor.checks import findings
from orchestrator.doctor.facts import (
    Blocked,
    Clock,
    Command,
    Consumer,
    DeadLetter,
    Facts,
    Item,
    Known,
    Overdue,
    Package,
    Queue,
    Redis,
    Sign,
    Stream,
    Untold,
    Workers,
    Writer,
)
from orchestrator.doctor.finding import (
    ClearQueue,
    Code,
    Finding,
    FreeLease,
    Group,
    MakeGroup,
    Mend,
    Reconcile,
    Ring,
    Severity,
    TakeOver,
)
from orchestrator.schema import OptunaSchema, OurSchema

NOTE, WARNING, PROBLEM = Severity.NOTE, Severity.WARNING, Severity.PROBLEM
NOBODY = Workers(listened=3.0)
EMPTY = Queue("trials", (0, 0, 0, 0))


class Case(NamedTuple):
    """One thing that is wrong, with words of its text and of its remedy; ``beside`` is what goes with it."""

    code: Code
    severity: Severity
    facts: Facts
    says: str
    remedy: str = ""
    mend: Mend | None = None
    beside: Collection[Code] = ()


def queue(*items: Item) -> Facts:
    """What lies in the queue beside the task that belongs there."""
    return redis(queues=(Queue("trials", (0, 1 + len(items), 0, 0), (Item("token-1", 4), *items)),))


def package(name: str, found: str | None) -> Facts:
    return installation(packages=(*WELL.installation.packages, Package(name, ">=2", found, fits=False)))


def idle() -> Facts:
    return books(study(live=0), attempts=())


CASES = [
    # -- installation
    Case(Code.PYTHON_VERSION, PROBLEM, installation(python="3.10.1", python_fits=False), "needs >=3.11", "newer"),
    Case(Code.NOT_INSTALLED, NOTE, installation(version="", packages=()), "not installed as a package", "pip install"),
    Case(Code.PACKAGE_VERSION, WARNING, package("optuna", "1.9"), "made for >=2", "pip install 'optuna>=2'"),
    Case(Code.PACKAGE_MISSING, PROBLEM, package("cmaes", None), "is not installed", "pip install 'cmaes>=2'"),
    Case(Code.PACKAGE_MISSING, NOTE, package("torchvision", None), "can do without", "where trials train"),
    Case(Code.DISK_FULL, WARNING, installation(disk_free=10**9), "1000 MB are free", "ORCHESTRATOR_DATA_DIR"),
    Case(Code.DISK_FULL, PROBLEM, installation(disk_free=10**8), "100 MB are free", "make room"),
    Case(
        Code.CUDA_MISSING,
        WARNING,
        installation(gpus=2, packages=(Package("torch", ">=2", "2.15.0+cpu", fits=True),)),
        "2 GPUs",
        "torch",
    ),
    # -- clocks
    Case(Code.CLOCK_APART, WARNING, redis(clock=Clock(-3600.0)), "1h 00m behind", "NTP"),
    Case(Code.CLOCK_APART, WARNING, database(clock=Clock(9.0, 1.0)), "9.0s ahead of", "NTP"),
    Case(Code.CLOCK_APART, WARNING, worker(clock=Clock(3600.0)), "1h 00m ahead of", "NTP"),
    # -- redis
    Case(Code.REDIS_VERSION, PROBLEM, redis(version="Redis 6.0.16"), "older than 6.2", "install"),
    Case(Code.REDIS_EVICTION, PROBLEM, redis(policy="allkeys-lru"), "queues and events", "CONFIG SET"),
    Case(Code.REDIS_EVICTION, WARNING, redis(policy="volatile-ttl"), "verdicts and confirmations", "noeviction"),
    Case(Code.REDIS_MEMORY, WARNING, redis(used=8 * 10**8), "80% of 1000 MB", "maxmemory"),
    Case(Code.REDIS_MEMORY, PROBLEM, redis(used=10**9), "100% of 1000 MB", "bigkeys"),
    Case(Code.REDIS_PERSISTENCE, WARNING, redis(aof=False), "no snapshots", "appendonly yes"),
    Case(Code.REDIS_DISK, PROBLEM, redis(failing="its append-only file"), "cannot write its append-only file", "room"),
    Case(Code.REDIS_REPLICA, PROBLEM, redis(replica_of="other:6379"), "replica of other:6379", "REPLICAOF NO ONE"),
    Case(
        Code.REDIS_HIDDEN,
        NOTE,
        redis(hidden=("CONFIG GET",), policy=None, aof=None, snapshots=None),
        "may not be called",
        "+config|get",
    ),
    Case(
        Code.REDIS_ABSENT,
        PROBLEM,
        setup(replace(WELL, redis=Redis(), workers=Workers()), redis=False),
        "is not set",
        "that serve and the workers have",
    ),
    Case(
        Code.REDIS_ABSENT,
        NOTE,
        replace(alone(running=False), redis=Redis(), workers=Workers()),
        "no `run` works in this folder",
        "orchestrator run SPEC",
    ),
    Case(
        Code.REDIS_UNREACHABLE,
        PROBLEM,
        replace(WELL, redis=Redis("redis://host:6379/0", error="refused"), workers=Workers()),
        "cannot be reached: refused",
        "ORCHESTRATOR_REDIS_URL",
    ),
    # -- database
    Case(
        Code.OPTUNA_SCHEMA,
        PROBLEM,
        database(optuna=OptunaSchema("v3.0.0.d", "v3.2.0.a", known=True, library="3.1"), books=None),
        "v3.0.0.d, made by Optuna 3.1; the Optuna installed here works with v3.2.0.a",
        "optuna storage upgrade --storage postgresql://host/optuna",
    ),
    Case(
        Code.OPTUNA_SCHEMA,
        PROBLEM,
        database(optuna=OptunaSchema("v9.0.0.a", "v3.2.0.a", known=False, library="9.0"), books=None),
        "v9.0.0.a",
        "pip install --upgrade trial-orchestrator optuna",
    ),
    Case(
        Code.TABLES_VERSION,
        PROBLEM,
        database(ours=OurSchema(1, 2), books=None),
        "of version 1",
        "version that wrote it",
    ),
    Case(Code.TABLES_VERSION, PROBLEM, database(ours=OurSchema(3, 2), books=None), "of version 3", "--upgrade"),
    Case(Code.DATABASE_ABSENT, NOTE, database(ours=None, books=None), "none of this program's", "when they start"),
    Case(Code.DATABASE_ABSENT, NOTE, database(error="there is no such database", missing=True), "no such", "serve"),
    Case(
        Code.DATABASE_ABSENT,
        NOTE,
        setup(database(error="there is no such database", missing=True), storage=False),
        "only trains",
        "elsewhere",
    ),
    Case(
        Code.DATABASE_UNREACHABLE, PROBLEM, database(error="connection refused"), "refused", "ORCHESTRATOR_STORAGE_URL"
    ),
    Case(Code.DATABASE_READ_ONLY, PROBLEM, database(read_only=True), "takes no writes", "primary"),
    Case(Code.DATABASE_CONNECTIONS, WARNING, database(connections=(85, 100)), "85 of 100", "max_connections"),
    Case(Code.DATABASE_CONNECTIONS, PROBLEM, database(connections=(97, 100)), "97 of 100", "pg_stat_activity"),
    Case(
        Code.DATABASE_LOCKED,
        PROBLEM,
        database(blocked=(Blocked(300.0, 17, "psql", "idle in transaction"),)),
        "5m 00s for a lock of session 17 (psql, idle in transaction)",
        "pg_terminate_backend(17)",
    ),
    Case(Code.DATABASE_LOCKED, PROBLEM, database(url="sqlite:////a.db", locked=True), "write lock", "fuser /a.db"),
    Case(
        Code.DATABASE_LOCKED,
        PROBLEM,
        database(url="sqlite:////a.db", locked=True, error="locked", books=None),
        "write lock",
        "fuser /a.db",
    ),
    Case(Code.SQLITE_JOURNAL, WARNING, database(journal="delete"), "cannot do WAL", "PostgreSQL"),
    # -- control plane
    Case(
        Code.CONTROL_PLANE_MISSING,
        PROBLEM,
        leaderless(),
        "the last one, host:1:2, lost the lease 1m 00s ago; studies that wait for one: search",
        "orchestrator serve",
    ),
    Case(
        Code.CONTROL_PLANE_MISSING,
        PROBLEM,
        books(idle(), writer=None, studies=(), commands=(Command("submit", "new", 1.0),)),
        "commands that wait for one: 1",
        "orchestrator serve",
    ),
    Case(
        Code.CONTROL_PLANE_MISSING, NOTE, books(idle(), writer=Writer("", 3, -1.0), studies=()), "no control plane is"
    ),
    Case(Code.CONTROL_PLANE_MISSING, NOTE, alone(leaderless(), running=False), "is active", "orchestrator run SPEC"),
    Case(Code.CONTROL_PLANE_MISSING, WARNING, alone(leaderless()), "is active", "/data/logs/serve.log"),
    Case(
        Code.LEASE_LEFT,
        NOTE,
        leaderless(left=3.0, gone=True),
        "without giving the writer's lease back",
        "takes it at once",
        FreeLease("host:1:2"),
        {Code.CONTROL_PLANE_MISSING},
    ),
    Case(
        Code.COMMAND_UNANSWERED,
        WARNING,
        books(commands=(Command("pause", "search", 40.0),)),
        "40.0s ago",
        "--study",
        Ring(),
    ),
    Case(
        Code.SCHEDULE_OVERDUE,
        NOTE,
        books(overdue=(Overdue("nightly", 1, 10_800.0),)),
        "the run that was due 3h 00m ago",
        "orchestrator beat",
    ),
    Case(
        Code.SCHEDULE_OVERDUE,
        NOTE,
        books(overdue=(Overdue("nightly", 4, 10_800.0),)),
        "the first of 4 runs that were due 3h",
        "orchestrator beat",
    ),
    Case(Code.COMMAND_UNANSWERED, NOTE, alone(books(commands=(Command("pause", "x", 40.0),))), "40.0s", "", Ring()),
    # -- workers
    Case(Code.WORKERS_UNKNOWN, NOTE, workers(error="no permission"), "no permission", "ACL SETUSER"),
    Case(
        Code.WORKER_MISSING,
        PROBLEM,
        replace(books(attempts=(SENT,)), workers=NOBODY),
        "nothing trains for search",
        "orchestrator worker",
    ),
    Case(Code.WORKER_MISSING, NOTE, replace(books(idle(), studies=()), workers=NOBODY), "no worker answers"),
    Case(Code.WORKER_SILENT, WARNING, workers(workers=()), "main process does not answer, although 2 slots", "restart"),
    Case(Code.WORKER_TWICE, WARNING, worker(twice=True), "two workers answer", "--name"),
    Case(Code.WORKER_VERSION, NOTE, worker(celery="5.6.0"), "runs Celery 5.6.0, here it is 5.7.0", "everywhere"),
    Case(Code.SLOT_SILENT, WARNING, workers(signs=(SIGN,)), "of its 2 slots 1 gave no sign of life", "log"),
    Case(
        Code.PROTOCOL_VERSION,
        PROBLEM,
        workers(signs=(SIGN, replace(IDLE, version=5))),
        "speaks protocol version 5",
        "same",
    ),
    Case(Code.PROTOCOL_VERSION, PROBLEM, workers(signs=(SIGN, IDLE, Sign("", version=9))), "version 9", "restart"),
    Case(
        Code.PROTOCOL_VERSION,
        PROBLEM,
        redis(queues=(Queue("trials", (1, 0, 0, 0), (Item("token-1", 3),)),)),
        "version 3",
    ),
    # -- queue and stream
    Case(
        Code.QUEUE_UNSERVED,
        PROBLEM,
        redis(study(queue="gpu"), queues=(Queue("gpu", (0, 1, 0, 0), (Item("token-1", 4),)), EMPTY)),
        "tasks in it: 1; studies that need it: search",
        "--queues gpu; served now: trials",
    ),
    Case(
        Code.QUEUE_UNSERVED,
        WARNING,
        redis(queues=(*WELL.redis.queues, Queue("old", (1, 0, 0, 0), (Item("token-0", 4),)))),
        "tasks in it: 1",
        "--queues old",
    ),
    Case(
        Code.QUEUE_MALFORMED,
        WARNING,
        queue(Item(wrong="oh")),
        "no tasks: 1, the first for oh",
        "",
        ClearQueue("trials"),
    ),
    Case(
        Code.QUEUE_UNKNOWN,
        WARNING,
        queue(Item("nobody's", 4)),
        "does not know: 1",
        "own database number",
        ClearQueue("trials", frozenset({"nobody's"})),
    ),
    Case(
        Code.QUEUE_ENDED,
        NOTE,
        books(queue(Item("over", 4)), known={**WELL.books.known, "over": Known("done", 9.0)}),
        "attempts that are over: 1",
        "nothing has to be done",
        ClearQueue("trials", frozenset({"over"})),
    ),
    Case(Code.GROUP_MISSING, WARNING, redis(stream=Stream(group=False)), "is not there", "another Redis", MakeGroup()),
    Case(
        Code.GROUP_MISSING,
        NOTE,
        redis(leaderless(books(idle(), studies=())), stream=Stream(group=False)),
        "no control plane has used it yet",
        "serve makes it",
        MakeGroup(),
        {Code.CONTROL_PLANE_MISSING},
    ),
    Case(
        Code.GROUP_MISSING,
        WARNING,
        redis(leaderless(), stream=Stream(group=False, length=3, oldest=90.0)),
        "events in the stream: 3",
        "serve makes it",
        MakeGroup(),
        {Code.CONTROL_PLANE_MISSING},
    ),
    Case(
        Code.STREAM_BEHIND,
        WARNING,
        stream(leaderless(), length=3, oldest=900.0),
        "the oldest 15m 00s old",
        "nobody records them",
        None,
        {Code.CONTROL_PLANE_MISSING},
    ),
    Case(
        Code.STREAM_BEHIND, WARNING, stream(length=9, oldest=7.0), "9 events not recorded yet, the oldest 7.0s", "log"
    ),
    Case(Code.STREAM_BEHIND, PROBLEM, stream(length=9, oldest=61.0), "does not keep up", "database"),
    Case(
        Code.STREAM_STRANDED,
        WARNING,
        stream(consumers=(Consumer("writer", 0), Consumer("redis-cli", 2, ours=False))),
        "was given 2 events",
        "find out who",
        TakeOver("redis-cli"),
    ),
    Case(Code.STREAM_STRANDED, NOTE, stream(consumers=(Consumer("x", 0, ours=False),)), "0 events", "", TakeOver("x")),
    Case(
        Code.DEAD_LETTERS, WARNING, redis(dead=7, newest_dead=(DeadLetter(2.0, "truncated", "x"),)), "7 kept", "XRANGE"
    ),
    Case(Code.DEAD_LETTERS, NOTE, redis(dead=1, newest_dead=(DeadLetter(9e4, "old", "x"),)), "25h 00m ago", "DEL"),
    # -- studies
    Case(Code.STUDY_UNREADABLE, PROBLEM, study(error="format 9"), "format 9", "version that made it"),
    Case(Code.STUDY_IDLE, PROBLEM, idle(), "running with 2 of 10 trials", "--study", Reconcile("search")),
    Case(Code.STUDY_IDLE, NOTE, alone(idle()), "nobody asks", "orchestrator run SPEC"),
    Case(
        Code.TRIAL_UNATTENDED,
        WARNING,
        books(unattended=(("search", 4), ("search", 5))),
        "RUNNING in Optuna's table",
        "--repair",
        Reconcile("search"),
    ),
    Case(Code.ATTEMPT_UNSENT, WARNING, redis(queues=(EMPTY,)), "sent 1m 00s ago", "within 12.0s", Reconcile("search")),
    Case(Code.ATTEMPT_UNSENT, NOTE, alone(redis(queues=(EMPTY,))), "sent 1m 00s ago", "when its spec is run again"),
    Case(
        Code.ATTEMPT_SILENT, WARNING, workers(signs=(IDLE, replace(IDLE, slot="w@host/0"))), "w@host/0 in 3.0s", "6.0s"
    ),
    Case(
        Code.ATTEMPT_OVERTAKEN, WARNING, attempt(ended=9.0), "another program's word", "--repair", Reconcile("search")
    ),
    Case(
        Code.CONFIRMATION_MISSING,
        WARNING,
        redis(unconfirmed=frozenset({"token-0"})),
        "does not have what is recorded",
        "evicts",
        Reconcile("search"),
    ),
    Case(
        Code.VERDICT_IGNORED,
        WARNING,
        attempt(state="stopping", ended=60.0),
        "told 1m 00s ago to stop, with 10 s of grace",
        "orchestrator logs search 0; restart the worker of w@host/0",
        Reconcile("search"),
    ),
    Case(Code.ATTEMPT_FENCED, NOTE, workers(signs=(SIGN, replace(SIGN, slot="w@host/1", runner="zombie"))), "dropped"),
    Case(
        Code.ATTEMPT_FENCED,
        NOTE,
        workers(signs=(SIGN, replace(SIGN, slot="w@host/1", token="deleted"))),
        "trains an attempt that is over",
        "next sign of life",
    ),
    Case(
        Code.NOTE_FAILED,
        NOTE,
        books(untold=(Untold("search", "finished", "post", 3, "HTTP 404", 60.0),)),
        "the post was given up 1m 00s ago after 3 attempts: HTTP 404",
        "[notify]",
    ),
    Case(
        Code.NOTE_FAILED,
        NOTE,
        books(untold=(Untold("search", "failed", "command", 1, "ended with exit code 3", 60.0),)),
        "told that it has 'failed': the command was given up",
        "log",
    ),
]


def wrong(facts: Facts) -> list[Finding]:
    return [finding for finding in findings(facts) if finding.severity is not Severity.OK]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.severity}")
def test_it_is_found_and_nothing_else(case: Case) -> None:
    found = wrong(case.facts)
    assert {finding.code for finding in found} == {case.code, *case.beside}
    (finding,) = (finding for finding in found if finding.code is case.code)
    assert (finding.severity, finding.mend) == (case.severity, case.mend)
    assert case.says in finding.text
    assert case.remedy in finding.remedy
    assert finding.remedy, "a finding without a remedy helps nobody"


def test_there_is_a_case_for_every_code() -> None:
    healthy = {finding.code for finding in findings(WELL)}
    assert {case.code for case in CASES} | healthy == set(Code)


def test_where_all_is_well_there_is_a_short_line_for_each_thing() -> None:
    assert [(finding.group, finding.code, finding.text) for finding in findings(WELL)] == [
        (Group.INSTALLATION, Code.PACKAGES, "Python 3.11.9, 2 packages as required"),
        (
            Group.INSTALLATION,
            Code.CLOCKS,
            "within 5 s of this host's: Redis, the database, worker w@host",
        ),
        (Group.REDIS, Code.REDIS, "Redis 7.0.15, noeviction, append-only file, 1.0 MB used, answers in 0.2 ms"),
        (
            Group.DATABASE,
            Code.DATABASE,
            "PostgreSQL 15.20, Optuna's schema v3.2.0.a, tables of version 2, 7 of 100 connections",
        ),
        (Group.CONTROL_PLANE, Code.CONTROL_PLANE, "writes in term 3, 1 stands by"),
        (Group.WORKERS, Code.WORKERS, "2 slots, 1 busy: w@host"),
        (Group.QUEUE_AND_STREAM, Code.QUEUES, "trials 1"),
        (Group.QUEUE_AND_STREAM, Code.STREAM, "0 events not recorded yet, 0 of them in work"),
        (Group.STUDIES, Code.STUDIES, "attempts that train: 1, that wait: 1; search (running)"),
    ]


def test_groups_come_in_order() -> None:
    spoilt = replace(
        redis(leaderless(), policy="allkeys-lru", stream=Stream(group=False)),
        installation=installation(python_fits=False).installation,
    )
    order = list(Group)
    groups = [order.index(finding.group) for finding in findings(spoilt)]
    assert groups == sorted(groups)


UNSTEADY = [
    attempt(steady=False, runner="r1"),
    books(redis(queues=(EMPTY,)), attempts=(RUNNING, replace(SENT, steady=False))),
    attempt(steady=False, ended=9.0),
    redis(attempt(steady=False), unconfirmed=frozenset({"token-0"})),
    books(study(live=0, steady=False), attempts=()),
    redis(books(attempts=(RUNNING, replace(SENT, age=3.0))), queues=(EMPTY,)),
]


@pytest.mark.parametrize("facts", UNSTEADY)
def test_what_is_on_its_way_is_no_disagreement(facts: Facts) -> None:
    codes = {finding.code for finding in wrong(facts)}
    assert not {code for code in codes if code.group is Group.STUDIES}


BESIDE_THE_POINT = {
    "a clock that may be right": redis(clock=Clock(6.0, 3.0)),
    "memory without a limit": redis(maxmemory=0, used=10**12),
    "snapshots instead of an append-only file": redis(aof=False, snapshots=True),
    "an odd version": redis(version="Redis 255.255.255"),
    "a later version": redis(version="Valkey 9.1.2"),
    "another journal mode while nobody writes": database(leaderless(books(idle(), studies=())), journal="delete"),
    "a command just issued": books(commands=(Command("pause", "search", 1.0),)),
    "heartbeats that are too long to be waited for": workers(enough=False, signs=(IDLE,)),
    "a paused study with nothing underway": books(study(state="paused", live=0), attempts=()),
    "an attempt that ended while the stream was followed": books(
        workers(signs=(SIGN, replace(SIGN, slot="w@host/1", token="t", runner="r"))),
        known={**WELL.books.known, "t": Known("done", 1.0)},
    ),
    "a verdict that was just given": attempt(state="stopping", ended=9.0),
}


@pytest.mark.parametrize("facts", BESIDE_THE_POINT.values(), ids=BESIDE_THE_POINT.keys())
def test_what_is_nothing_to_worry_about(facts: Facts) -> None:
    assert {finding.code for finding in wrong(facts)} <= {Code.CONTROL_PLANE_MISSING}


def test_without_a_control_plane_nothing_is_left_to_it() -> None:
    facts = leaderless(redis(books(unattended=(("search", 4),)), queues=(EMPTY,), unconfirmed=frozenset({"token-0"})))
    found = {finding.code: finding for finding in wrong(facts)}
    for code in (Code.TRIAL_UNATTENDED, Code.ATTEMPT_UNSENT, Code.CONFIRMATION_MISSING):
        assert (found[code].mend, found[code].remedy) == (None, "serve mends it when it starts")


def test_with_redis_away_the_database_is_looked_at_all_the_same() -> None:
    facts = replace(books(unattended=(("search", 4),)), redis=Redis("redis://host", error="refused"), workers=Workers())
    assert {finding.code for finding in wrong(facts)} == {Code.REDIS_UNREACHABLE, Code.TRIAL_UNATTENDED}


def test_with_the_database_away_redis_is_looked_at_all_the_same() -> None:
    facts = redis(
        database(error="refused", books=None), policy="allkeys-lru", queues=(Queue("trials", (1,), (Item("t", 4),)),)
    )
    assert {finding.code for finding in wrong(facts)} == {Code.DATABASE_UNREACHABLE, Code.REDIS_EVICTION}
