"""Every finding: what it takes, how bad it is, what it says, what would mend it; and what is no reason for one."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import Any

import process_findings
import pytest
import server_findings
import work_findings
from cases import Case
from doctor_facts import (
    EMPTY,
    IDLE,
    RUNNING,
    SENT,
    SIGN,
    WELL,
    alone,
    attempt,
    books,
    database,
    idle,
    installation,
    leaderless,
    redis,
    study,
    workers,
)

from orchestrator.doctor.checks import findings
from orchestrator.doctor.checks.redis import REDIS_CLI
from orchestrator.doctor.facts import Clock, Facts, Item, Queue, Redis, Stream, Worker, Workers
from orchestrator.doctor.finding import Code, Finding, Group, Severity
from orchestrator.doctor.table_facts import Command, FailedStudy, Known
from orchestrator.model.schema_state import OwnSchema

pytestmark = pytest.mark.usefixtures("shell")

CASES = [*server_findings.CASES, *process_findings.CASES, *work_findings.CASES]


def no_workers(queue: str) -> Facts:
    return workers(study(idle(), queue=queue), workers=(), signs=())


def failed(reason: str, **more: Any) -> Facts:
    return books(failed=(FailedStudy("broken", "gpu", reason, 60.0, **more),))


def wrong(facts: Facts) -> list[Finding]:
    return [finding for finding in findings(facts) if finding.severity is not Severity.OK]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.severity}")
def test_it_is_found_and_nothing_else(case: Case) -> None:
    found = wrong(case.facts)
    assert {finding.code for finding in found} == {case.code, *case.beside}
    (finding,) = (finding for finding in found if finding.code is case.code)
    assert (finding.severity, finding.repair) == (case.severity, case.repair)
    assert case.says in finding.text
    assert case.remedy in finding.remedy
    assert finding.remedy, "a finding without a remedy is no help"


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
            "PostgreSQL 15.20, Optuna's schema v3.2.0.a, tables of revision 0004, 7 of 100 connections",
        ),
        (Group.CONTROL_PLANE, Code.CONTROL_PLANE, "writes in term 3, 1 stands by"),
        (Group.WORKERS, Code.WORKERS, "2 slots, 1 busy: w@host"),
        (Group.QUEUE_AND_STREAM, Code.QUEUES, "trials 1"),
        (Group.QUEUE_AND_STREAM, Code.STREAM, "0 events not recorded yet, 0 of them being processed"),
        (Group.STUDIES, Code.STUDIES, "attempts: 1 training, 1 queued; search (running)"),
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
    "a disk without a number of inodes": installation(inodes_free=None),
    "snapshots instead of an append-only file": redis(aof=False, snapshots=True),
    "an odd version": redis(version="Redis 255.255.255"),
    "a later version": redis(version="Valkey 9.1.2"),
    "another journal mode without a writer": database(leaderless(books(idle(), studies=())), journal="delete"),
    "a command just issued": books(commands=(Command("pause", "search", 1.0),)),
    "heartbeats that are too long to be waited for": workers(enough=False, signs=(IDLE,)),
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
        assert (found[code].repair, found[code].remedy) == (None, "serve mends it when it starts")


def test_with_redis_away_the_database_is_looked_at_all_the_same() -> None:
    facts = replace(books(unattended=(("search", 4),)), redis=Redis("redis://host", error="refused"), workers=Workers())
    assert {finding.code for finding in wrong(facts)} == {Code.REDIS_UNREACHABLE, Code.TRIAL_UNATTENDED}


def test_with_the_database_away_redis_is_looked_at_all_the_same() -> None:
    facts = redis(
        database(error="refused", books=None), policy="allkeys-lru", queues=(Queue("trials", (1,), (Item("t", 4),)),)
    )
    assert {finding.code for finding in wrong(facts)} == {Code.DATABASE_UNREACHABLE, Code.REDIS_EVICTION}


NOT_ADMITTED = (
    "the first 5 trials all failed alike: mine.train:objective: this worker does not admit 'mine.train'; it admits "
    "ORCHESTRATOR_OBJECTIVES=other,more: add 'mine.train' there to admit it"
)
NOT_RUN = (
    "this worker does not run this command; to admit it, add it or its beginning to ORCHESTRATOR_COMMANDS, whose "
    "entries are separated by ; — python train.py --lr '{lr}'"
)
NO_BUNDLES = (
    "bundle:0123456789ab:train: this worker runs no code that is sent to it; to admit all of it, add bundle:* to "
    "ORCHESTRATOR_OBJECTIVES, or bundle:NAME for what was signed with the key of that name"
)
SIGNED = "bundle:0123456789ab:train: it is signed with {}; this worker admits ORCHESTRATOR_OBJECTIVES=mine,bundle:eve"
WRONG_QUEUE = redis(study(queue="gpu"), queues=(Queue("gpu", (0, 1, 0, 0), (Item("token-1", 4),)), EMPTY))
ALONE = alone(leaderless(), running=False)
ADVICE: list[tuple[str, Facts, Code, str]] = [
    ("a queue of its own", no_workers("gpu"), Code.WORKER_MISSING, "orchestrator worker --queues gpu"),
    ("the usual queue", no_workers("trials"), Code.WORKER_MISSING, "orchestrator worker"),
    ("a wrong queue", WRONG_QUEUE, Code.QUEUE_UNSERVED, "orchestrator worker --queues gpu"),
    ("no control plane", leaderless(), Code.CONTROL_PLANE_MISSING, "orchestrator serve"),
    ("no run", ALONE, Code.CONTROL_PLANE_MISSING, "orchestrator resume search"),
    ("paused", books(study(state="paused")), Code.STUDY_HELD, "orchestrator resume search"),
    ("suspended", study(suspended="its sampler died"), Code.STUDY_SUSPENDED, "orchestrator resume search"),
    # Another program may rename a study.
    ("odd name", study(name="a;b", suspended="its name"), Code.STUDY_SUSPENDED, "orchestrator resume 'a;b'"),
    ("other studies", work_findings.outrun(), Code.STUDY_OUTRUN, "orchestrator pause other"),
    ("unattended", books(unattended=(("search", 5),)), Code.TRIAL_UNATTENDED, "orchestrator doctor --repair"),
    (
        "evicting",
        redis(policy="allkeys-lru"),
        Code.REDIS_EVICTION,
        f"{REDIS_CLI} CONFIG SET maxmemory-policy noeviction",
    ),
    (
        "full",
        redis(used=99 * 10**7),
        Code.REDIS_MEMORY,
        f"{REDIS_CLI} CONFIG SET maxmemory 2000000000",
    ),
    (
        "not admitted",
        failed(NOT_ADMITTED),
        Code.STUDY_FAILED,
        "ORCHESTRATOR_OBJECTIVES=other,more,mine.train orchestrator worker --queues gpu",
    ),
    (
        "not admitted beside bundles",
        failed(NOT_ADMITTED.replace("other,more", "bundle:eve,more")),
        Code.STUDY_FAILED,
        "ORCHESTRATOR_OBJECTIVES=bundle:eve,more,mine.train orchestrator worker --queues gpu",
    ),
    (
        "code that is sent",
        failed(NO_BUNDLES),
        Code.STUDY_FAILED,
        "ORCHESTRATOR_OBJECTIVES='bundle:*' orchestrator worker --queues gpu",
    ),
    (
        "code that is sent, beside modules",
        failed(f"{NO_BUNDLES}; it admits ORCHESTRATOR_OBJECTIVES=mine.train,more"),
        Code.STUDY_FAILED,
        "ORCHESTRATOR_OBJECTIVES='mine.train,more,bundle:*' orchestrator worker --queues gpu",
    ),
    (
        "a program whose files are sent",
        failed(NO_BUNDLES, sends_code=True, program="python train.py"),
        Code.STUDY_FAILED,
        "ORCHESTRATOR_OBJECTIVES='bundle:*' ORCHESTRATOR_COMMANDS='python train.py' orchestrator worker --queues gpu",
    ),
    (
        "a program that is not admitted, whose files are sent",
        failed(NOT_RUN, sends_code=True, program="python train.py --lr '{lr}'"),
        Code.STUDY_FAILED,
        (
            "ORCHESTRATOR_OBJECTIVES='bundle:*' ORCHESTRATOR_COMMANDS='python train.py --lr '\"'\"'{lr}'\"'\"'' "
            "orchestrator worker --queues gpu"
        ),
    ),
    (
        "code of another author",
        failed(SIGNED.format("the key 'alice'")),
        Code.STUDY_FAILED,
        "ORCHESTRATOR_OBJECTIVES=mine,bundle:eve,bundle:alice orchestrator worker --queues gpu",
    ),
    ("stopped", leaderless(left=3.0, stopped=17), Code.CONTROL_PLANE_MISSING, "kill -CONT 17"),
    ("little room", installation(disk_free=10**6), Code.DISK_FULL, "du -xh -d 2 /data"),
    ("no inodes", installation(inodes_free=0), Code.DISK_FULL, "du -x --inodes -d 2 /data"),
    (
        "draining",
        workers(study(queue="gpu"), workers=(Worker("w@host", 2, ("cpu", "gpu"), draining=True),), signs=()),
        Code.WORKER_DRAINING,
        "orchestrator worker --queues cpu,gpu",
    ),
    (
        "no room",
        workers(signs=(replace(SIGN, trouble="No space left on device: /a b"), IDLE)),
        Code.HOST_WITHOUT_ROOM,
        "df -h '/a b' && df -i '/a b'",
    ),
    (
        "away",
        database(error="connection refused"),
        Code.DATABASE_UNREACHABLE,
        """psql "${ORCHESTRATOR_STORAGE_URL/+psycopg/}" -c 'SELECT 1'""",
    ),
    (
        "a program that is not run",
        failed(NOT_RUN),
        Code.STUDY_FAILED,
        """ORCHESTRATOR_COMMANDS='python train.py --lr '"'"'{lr}'"'"'' orchestrator worker --queues gpu""",
    ),
    ("an error of its own", failed("ValueError: no"), Code.STUDY_FAILED, "orchestrator why broken last"),
    (
        "older tables",
        database(ours=OwnSchema("0003", "0004", known=True)),
        Code.TABLES_VERSION,
        "orchestrator prepare",
    ),
]


@pytest.mark.parametrize(("facts", "code", "command"), [each[1:] for each in ADVICE], ids=[each[0] for each in ADVICE])
def test_the_command_that_helps_can_be_pasted(facts: Facts, code: Code, command: str) -> None:
    (finding,) = (each for each in wrong(facts) if each.code is code)
    assert finding.command == command
    assert shlex.split(command), "a shell can read it"
