"""Checks of the Redis server: reachable, new enough, and set up to keep its data."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.common.advice import how_to
from orchestrator.common.formatting import percent
from orchestrator.doctor.facts import Facts, Redis
from orchestrator.doctor.finding import Code, Finding, Severity

OLDEST = (6, 2)
"""The first version that has the commands in use here."""

REDIS_CLI = r'redis-cli -u "${ORCHESTRATOR_REDIS_URL/:\/\/:/://default:}"'
"""Begins a command for the server; the shell has the password, which is shown nowhere. Of a URL with a password alone
redis-cli makes a user without a name, whom no server knows: that user is called 'default'."""

FILLING, FULL = 0.75, 0.95
"""Of ``maxmemory``."""


def check(facts: Facts) -> Iterator[Finding]:
    """Yields the findings about the server."""
    redis = facts.redis
    if not redis.where:
        yield _absent(facts)
        return
    if redis.error:
        yield Code.REDIS_UNREACHABLE.finding(
            redis.where,
            f"Redis cannot be reached: {redis.error}; queue, stream and workers could not be looked at",
            "start it, or mend ORCHESTRATOR_REDIS_URL; training goes on meanwhile, and nothing is lost",
            command=f"{REDIS_CLI} PING",
        )
        return
    cli = "" if facts.setup.alone else REDIS_CLI
    troubles = [*_settings(redis, cli), *_state(redis, cli)]
    wrong = {finding.code for finding in troubles}
    said = [redis.version] if redis.version else []
    if redis.policy and Code.REDIS_EVICTION not in wrong:
        said.append(redis.policy)
    if redis.aof or redis.snapshots:
        said.append("append-only file" if redis.aof else "snapshots")
    if redis.used is not None:
        said.append(f"{redis.used / 10**6:.1f} MB used")
    said.append(f"answers in {redis.seconds * 1000:.1f} ms")
    yield Code.REDIS.finding(redis.where, ", ".join(said))
    yield from troubles


def _absent(facts: Facts) -> Finding:
    if facts.setup.alone:
        return Code.REDIS_ABSENT.finding(
            facts.setup.data_dir,
            "no `run` works in this folder, and no fleet is configured: there are no queue, stream and workers",
            f"{how_to('run', 'SPEC')}; for a fleet set ORCHESTRATOR_REDIS_URL and ORCHESTRATOR_STORAGE_URL",
            severity=Severity.NOTE,
        )
    return Code.REDIS_ABSENT.finding(
        "ORCHESTRATOR_REDIS_URL",
        "is not set, so queue, stream and workers could not be looked at",
        "set it to the URL that serve and the workers have",
    )


def _settings(redis: Redis, cli: str) -> Iterator[Finding]:
    if redis.version and _number(redis.version) < OLDEST:
        yield Code.REDIS_VERSION.finding(
            redis.version, "is older than 6.2, whose streams are needed", "install Redis 6.2 or later, or Valkey"
        )
    if redis.policy not in (None, "", "noeviction"):
        everything = str(redis.policy).startswith("allkeys")
        thrown = "queues and events" if everything else "verdicts and confirmations"
        yield Code.REDIS_EVICTION.finding(
            "maxmemory-policy",
            f"is {redis.policy}: once memory is full it throws away {thrown}",
            "redis-cli CONFIG SET maxmemory-policy noeviction, and the same in its configuration file; where other "
            "programs need the policy, give this one a server of its own",
            severity=Severity.PROBLEM if everything else Severity.WARNING,
            command=cli and f"{cli} CONFIG SET maxmemory-policy noeviction",
        )
    if redis.aof is False and redis.snapshots is False:
        yield Code.REDIS_PERSISTENCE.finding(
            "appendonly",
            "is off, and no snapshots are made: after a restart the queue is made again from the database, and workers "
            "send again what was not recorded, which costs time",
            "redis-cli CONFIG SET appendonly yes, and the same in its configuration file",
            command=cli and f"{cli} CONFIG SET appendonly yes",
        )
    if redis.hidden:
        yield Code.REDIS_HIDDEN.finding(
            " and ".join(redis.hidden),
            "this user may not call it, so some checks could not be made",
            "look at maxmemory-policy (noeviction) and appendonly (yes) yourself, or allow it: ACL SETUSER … "
            + " ".join(f"+{command.lower().replace(' ', '|')}" for command in redis.hidden),
        )


def _state(redis: Redis, cli: str) -> Iterator[Finding]:
    if redis.replica_of:
        yield Code.REDIS_REPLICA.finding(
            redis.where,
            f"is a replica of {redis.replica_of}: it takes nothing, or loses what it takes",
            "name its master in ORCHESTRATOR_REDIS_URL, or promote it: redis-cli REPLICAOF NO ONE",
        )
    if redis.maxmemory and redis.used is not None and redis.fill > FILLING:
        yield Code.REDIS_MEMORY.finding(
            "maxmemory",
            f"{percent(redis.used, redis.maxmemory)} of {redis.maxmemory / 10**6:.0f} MB are used; when it is full "
            "nothing is lost, but workers hold what they report and no task is sent",
            "raise maxmemory, or find out what fills it: redis-cli --bigkeys",
            severity=Severity.PROBLEM if redis.fill > FULL else Severity.WARNING,
            command=cli and f"{cli} CONFIG SET maxmemory {2 * max(redis.maxmemory, redis.used)}",
        )
    for each in redis.wrong_keys:
        problem, _, remedy = each.text.partition("; ")
        yield Code.REDIS_KEY.finding(redis.where, problem, remedy)
    if redis.failing:
        yield Code.REDIS_DISK.finding(
            redis.where,
            f"cannot write {redis.failing}, and may refuse whatever is sent to it",
            "make room on its disk, and look into its log",
        )


def _number(version: str) -> tuple[int, ...]:
    """Of "redis 7.0.15"; what is no number counts as newer."""
    parts = version.rpartition(" ")[2].split(".")
    return tuple(int(part) if part.isdigit() else 10**9 for part in parts[:2])
