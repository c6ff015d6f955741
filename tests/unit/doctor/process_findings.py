"""What may be wrong with who writes and who trains: the control plane, and the workers."""

from __future__ import annotations

from dataclasses import replace

from cases import NOTE, PROBLEM, WARNING, Case
from doctor_facts import IDLE, SENT, SIGN, WELL, alone, books, idle, leaderless, redis, study, worker, workers

from orchestrator.doctor.facts import Item, Queue, Sign, Worker, Workers
from orchestrator.doctor.finding import Code, FreeLease, Ring
from orchestrator.doctor.table_facts import Command, Overdue, Writer

NO_WORKERS = Workers(listened=3.0)
CASES = [
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
    Case(
        Code.CONTROL_PLANE_MISSING,
        PROBLEM,
        leaderless(left=3.0, stopped=17),
        "the last one, host:1:2, stands still: a signal has stopped process 17",
        "`fg`",
    ),
    Case(
        Code.CONTROL_PLANE_MISSING,
        PROBLEM,
        leaderless(left=600.0, still=5.0),
        "has not renewed its lease in 5.0s, which lasts for another 10m 00s: its host is dead",
        "orchestrator serve, which takes over after a lease",
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
        Code.WORKERS_UNKNOWN,
        NOTE,
        redis(workers(error="OOM command not allowed", workers=(), signs=(SIGN,)), used=10**9),
        "OOM command not allowed",
        "make room in Redis",
        beside={Code.REDIS_MEMORY},
    ),
    Case(
        Code.WORKER_MISSING,
        PROBLEM,
        replace(books(attempts=(SENT,)), workers=NO_WORKERS),
        "nothing trains for search",
        "orchestrator worker",
    ),
    Case(Code.WORKER_MISSING, NOTE, replace(books(idle(), studies=()), workers=NO_WORKERS), "no worker answers"),
    Case(Code.WORKER_SILENT, WARNING, workers(workers=()), "main process does not answer, although 2 slots", "restart"),
    Case(Code.WORKER_TWICE, WARNING, worker(twice=True), "two workers have this name", "--name"),
    Case(Code.WORKER_VERSION, NOTE, worker(celery="5.6.0"), "runs Celery 5.6.0, here it is 5.7.0", "everywhere"),
    Case(
        Code.HOST_WITHOUT_ROOM,
        PROBLEM,
        workers(signs=(replace(SIGN, trouble="No space left on device: /data"), IDLE)),
        "takes no trials: No space left on device: /data",
        "make room there",
    ),
    Case(Code.SLOT_SILENT, WARNING, workers(signs=(SIGN,)), "1 of its 2 slots sent no heartbeat", "log"),
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
    Case(
        Code.WORKER_VERSION,
        NOTE,
        worker(versions=(("optuna", "4.9.0"), ("python", "3.12.1"), ("trial-orchestrator", "0.1.0"))),
        "runs Python 3.12.1, here it is 3.11.9",
        "pip install 'trial-orchestrator==0.1.0'",
    ),
    Case(
        Code.WORKER_DRAINING,
        PROBLEM,
        worker(draining=True),
        "takes no more trials, and ends when those that run have; no other worker trains for search",
        "orchestrator worker",
    ),
    Case(
        Code.WORKER_DRAINING,
        NOTE,
        workers(workers=(WELL.workers.workers[0], Worker("b@host", 0, ("trials",), draining=True))),
        "takes no more trials",
        "orchestrator worker",
    ),
    Case(
        Code.CODE_NOT_ADMITTED,
        PROBLEM,
        study(worker(bundles=()), bundle="d" * 64),
        "sends its code, and w@host of queue trials admits none that is sent",
        "start its workers so",
    ),
    Case(
        Code.HOST_WITHOUT_ROOM,
        PROBLEM,
        workers(signs=(replace(SIGN, trouble="Resource temporarily unavailable"), IDLE)),
        "takes no trials: Resource temporarily",
        "limit",
    ),
    Case(
        Code.KEYS_DIFFER,
        PROBLEM,
        redis(queues=(Queue("trials", (1, 1, 0, 0), (Item("token-1", 4), Item(wrong="Unsigned: not signed"))),)),
        "what the control plane sends is not signed: workers with the keys of this shell take no trial of it",
        "the same keys",
    ),
    Case(
        Code.KEYS_DIFFER,
        PROBLEM,
        workers(unsigned="not signed", enough=False),
        "what workers send is not signed: a control plane with keys of this shell records nothing",
        "the same keys",
    ),
]
