"""Facts for tests: a world in which all is well, and ways to spoil one thing of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from orchestrator.doctor.facts import (
    Clock,
    Consumer,
    Database,
    Facts,
    Installation,
    Item,
    Package,
    Queue,
    Redis,
    Setup,
    Sign,
    Stream,
    Worker,
    Workers,
)
from orchestrator.doctor.table_facts import Attempt, Known, Study, TableFacts, Writer
from orchestrator.model.schema_state import OptunaSchema, OwnSchema

RUNNING = Attempt("token-0", "search", 0, "running", runner="r0", slot="w@host/0", sent=1.0, age=60.0)
SENT = Attempt("token-1", "search", 1, "sent", sent=2.0, age=60.0)
SIGN = Sign("w@host/0", "host", "cpu", ("trials",), "token-0", "r0", 4)
IDLE = Sign("w@host/1", "host", "cpu", ("trials",), version=4)
EMPTY = Queue("trials", (0, 0, 0, 0))
WELL = Facts(
    Setup(data_dir="/data"),
    Installation(
        python="3.11.9",
        python_wanted=">=3.11",
        version="0.1.0",
        packages=(
            Package("celery", ">=5.7", "5.7.0", fits=True),
            Package("torch", ">=2.15", "2.15.0", fits=True),
        ),
        disk_free=10**11,
        protocol=4,
    ),
    Redis(
        "redis://host:6379/0",
        version="Redis 7.0.15",
        seconds=0.0002,
        policy="noeviction",
        maxmemory=10**9,
        used=10**6,
        aof=True,
        snapshots=False,
        clock=Clock(0.001, 0.0001),
        control_planes=("host:1:2", "other:3:4"),
        stream=Stream(consumers=(Consumer("writer", 0),)),
        queues=(Queue("trials", (0, 1, 0, 0), (Item("token-1", 4),)),),
    ),
    Database(
        "postgresql://host/optuna",
        url="postgresql://host/optuna",
        version="PostgreSQL 15.20",
        optuna=OptunaSchema("v3.2.0.a", "v3.2.0.a", known=True, library="5.0.0"),
        ours=OwnSchema("0004", "0004", known=True),
        connections=(7, 100),
        clock=Clock(-0.002, 0.001),
        books=TableFacts(
            writer=Writer("host:1:2", 3, 4.0),
            studies=(Study("search", budget=10, trials=2, live=2),),
            attempts=(RUNNING, SENT),
            known={"token-0": Known("running"), "token-1": Known("sent")},
        ),
    ),
    Workers(
        listened=3.0,
        workers=(Worker("w@host", 2, ("trials",), Clock(0.01, 0.02), "5.7.0"),),
        signs=(SIGN, IDLE),
    ),
)
"""A fleet with one worker of two slots: one trial trains, one waits."""


def installation(**changes: Any) -> Facts:
    return replace(WELL, installation=replace(WELL.installation, **changes))


def setup(facts: Facts = WELL, **changes: Any) -> Facts:
    return replace(facts, setup=replace(facts.setup, **changes))


def redis(facts: Facts = WELL, **changes: Any) -> Facts:
    return replace(facts, redis=replace(facts.redis, **changes))


def stream(facts: Facts = WELL, **changes: Any) -> Facts:
    return redis(facts, stream=replace(facts.redis.stream, **changes))


def database(facts: Facts = WELL, **changes: Any) -> Facts:
    return replace(facts, database=replace(facts.database, **changes))


def books(facts: Facts = WELL, **changes: Any) -> Facts:
    assert facts.database.books is not None
    return database(facts, books=replace(facts.database.books, **changes))


def study(facts: Facts = WELL, **changes: Any) -> Facts:
    (found,) = facts.books.studies
    return books(facts, studies=(replace(found, **changes),))


def attempt(facts: Facts = WELL, **changes: Any) -> Facts:
    """Changes the attempt that runs."""
    return books(facts, attempts=(replace(RUNNING, **changes), SENT))


def idle() -> Facts:
    """A study runs of which no trial is underway."""
    return books(study(live=0), attempts=())


def workers(facts: Facts = WELL, **changes: Any) -> Facts:
    return replace(facts, workers=replace(facts.workers, **changes))


def worker(**changes: Any) -> Facts:
    return workers(workers=(replace(WELL.workers.workers[0], **changes),))


def leaderless(facts: Facts = WELL, **changes: Any) -> Facts:
    """Without a writer: the lease ran out a minute ago."""
    return books(facts, writer=replace(Writer("host:1:2", 3, -60.0), **changes))


def alone(facts: Facts = WELL, *, running: bool = True) -> Facts:
    """Nothing of a fleet is configured."""
    return setup(facts, redis=False, storage=False, running=running)
