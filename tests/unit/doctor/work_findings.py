"""What may be wrong with what there is to do: the queues, the stream of events, and the studies."""

from __future__ import annotations

from dataclasses import replace

from cases import NOTE, PROBLEM, WARNING, Case
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
    idle,
    leaderless,
    redis,
    stream,
    study,
    workers,
)

from orchestrator.doctor.facts import Consumer, DeadLetter, Facts, Item, Queue, Stream
from orchestrator.doctor.finding import ClearQueue, Code, MakeGroup, Reconcile, TakeOver
from orchestrator.doctor.table_facts import FailedNotification, FailedStudy, Known, Study


def queue(*items: Item) -> Facts:
    """What lies in the queue beside the task that belongs there."""
    return redis(queues=(Queue("trials", (0, 1 + len(items), 0, 0), (Item("token-1", 4), *items)),))


def outrun() -> Facts:
    """Another study has both slots, and the task of ``search`` waits."""
    theirs = replace(RUNNING, study="other")
    more = replace(theirs, token="token-2", trial=1, runner="r2", slot="w@host/1")
    studies = (*WELL.books.studies, Study("other", budget=10, trials=2, live=2, weight=10.0))
    known = {"token-2": Known("running"), **WELL.books.known}
    found = books(attempts=(theirs, more, SENT), studies=studies, known=known)
    second = replace(IDLE, token="token-2", runner="r2")
    return workers(found, signs=(SIGN, second))


CASES = [
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
        queue(Item("unknown", 4)),
        "does not know: 1",
        "own database number",
        ClearQueue("trials", frozenset({"unknown"})),
    ),
    Case(
        Code.QUEUE_ENDED,
        NOTE,
        books(queue(Item("over", 4)), known={**WELL.books.known, "over": Known("done", 9.0)}),
        "attempts that have ended: 1",
        "drops it at once",
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
        "no control plane records them",
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
        "find the program",
        TakeOver("redis-cli"),
    ),
    Case(Code.STREAM_STRANDED, NOTE, stream(consumers=(Consumer("x", 0, ours=False),)), "0 events", "", TakeOver("x")),
    Case(
        Code.DEAD_LETTERS,
        WARNING,
        redis(dead=7, newest_dead=(DeadLetter(2.0, "truncated", "x"),)),
        "7 set aside",
        "XRANGE",
    ),
    Case(Code.DEAD_LETTERS, NOTE, redis(dead=1, newest_dead=(DeadLetter(9e4, "old", "x"),)), "25h 00m ago", "DEL"),
    # -- studies
    Case(Code.STUDY_UNREADABLE, PROBLEM, study(error="format 9"), "format 9", "version that made it"),
    Case(
        Code.STUDY_SUSPENDED,
        PROBLEM,
        study(suspended="OverflowError: too large"),
        "is suspended: OverflowError: too large",
        "'orchestrator resume search' takes it up again",
    ),
    Case(Code.STUDY_IDLE, PROBLEM, idle(), "running with 2 of 10 trials", "--study", Reconcile("search")),
    Case(Code.STUDY_IDLE, NOTE, alone(idle()), "no control plane asks", "orchestrator run SPEC"),
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
        Code.TRIAL_SILENT,
        WARNING,
        attempt(silent=1200.0, pace=0.3),
        "last report 20m 00s ago, usually every 0.30s",
        "orchestrator logs search 0",
    ),
    Case(
        Code.ATTEMPT_SILENT, WARNING, workers(signs=(IDLE, replace(IDLE, slot="w@host/0"))), "w@host/0 in 3.0s", "6.0s"
    ),
    Case(
        Code.ATTEMPT_OVERTAKEN,
        WARNING,
        attempt(ended=9.0),
        "another program has ended",
        "--repair",
        Reconcile("search"),
    ),
    Case(
        Code.CONFIRMATION_MISSING,
        WARNING,
        redis(unconfirmed=frozenset({"token-0"})),
        "lacks its confirmation",
        "evicts",
        Reconcile("search"),
    ),
    Case(
        Code.VERDICT_IGNORED,
        WARNING,
        attempt(state="stopping", ended=60.0),
        "told to stop 1m 00s ago, with 10 s of grace",
        "orchestrator logs search 0; restart the worker of w@host/0",
        Reconcile("search"),
    ),
    Case(Code.ATTEMPT_FENCED, NOTE, workers(signs=(SIGN, replace(SIGN, slot="w@host/1", runner="zombie"))), "dropped"),
    Case(
        Code.ATTEMPT_FENCED,
        NOTE,
        workers(signs=(SIGN, replace(SIGN, slot="w@host/1", token="deleted"))),
        "trains an attempt that has ended",
        "next heartbeat",
    ),
    Case(
        Code.NOTE_FAILED,
        NOTE,
        books(untold=(FailedNotification("search", "finished", "post", 3, "HTTP 404", 60.0),)),
        "the post was given up 1m 00s ago after 3 attempts: HTTP 404",
        "[notify]",
    ),
    Case(
        Code.NOTE_FAILED,
        NOTE,
        books(untold=(FailedNotification("search", "failed", "command", 1, "ended with exit code 3", 60.0),)),
        "notification 'failed' failed: the command was given up",
        "log",
    ),
    Case(
        Code.STUDY_HELD,
        NOTE,
        books(study(state="interrupted", live=0, trials=4), attempts=()),
        "is interrupted with 4 of 10 trials: no more are asked for",
        "orchestrator resume search",
    ),
    Case(
        Code.STUDY_OUTRUN,
        WARNING,
        outrun(),
        "waits: 2 slots of queue trials train other (weight 10); its own weight is 1",
        "orchestrator pause other",
    ),
    Case(
        Code.STUDY_FAILED,
        WARNING,
        books(failed=(FailedStudy("broken", "gpu", "the first 5 trials all failed alike: ValueError: no", 60.0),)),
        "failed 1m 00s ago: the first 5 trials all failed alike: ValueError: no",
        "mend that",
    ),
]
