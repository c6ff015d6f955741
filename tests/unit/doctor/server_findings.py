"""What may be wrong with this host, the clocks, Redis and the database."""

from __future__ import annotations

from dataclasses import replace

from cases import NOTE, PROBLEM, WARNING, Case
from doctor_facts import WELL, alone, books, database, idle, installation, leaderless, redis, setup, worker

from orchestrator.doctor.facts import Blocked, Clock, Facts, Package, Redis, Refusal, Workers, WrongKey
from orchestrator.doctor.finding import Code
from orchestrator.model.schema_state import OptunaSchema, OwnSchema
from tasks.server_errors import wrong_type


def package(name: str, found: str | None) -> Facts:
    return installation(packages=(*WELL.installation.packages, Package(name, ">=2", found, fits=False)))


REFUSED = Refusal("its role 'r' may not write trials", "take another", "psql postgresql://o@host/optuna -c 'GRANT …'")
CASES = [
    # -- installation
    Case(Code.PYTHON_VERSION, PROBLEM, installation(python="3.10.1", python_fits=False), "needs >=3.11", "newer"),
    Case(Code.NOT_INSTALLED, NOTE, installation(version="", packages=()), "not installed as a package", "pip install"),
    Case(Code.PACKAGE_VERSION, WARNING, package("optuna", "1.9"), "made for >=2", "pip install 'optuna>=2'"),
    Case(Code.PACKAGE_MISSING, PROBLEM, package("cmaes", None), "is not installed", "pip install 'cmaes>=2'"),
    Case(Code.PACKAGE_MISSING, NOTE, package("torchvision", None), "can do without", "where trials train"),
    Case(Code.DISK_FULL, WARNING, installation(disk_free=10**9), "1000 MB are free", "ORCHESTRATOR_DATA_DIR"),
    Case(Code.DISK_FULL, PROBLEM, installation(disk_free=10**8), "100 MB are free", "make room"),
    Case(Code.DISK_FULL, PROBLEM, installation(inodes_free=0), "has no inode left", "make room"),
    Case(Code.DISK_FULL, PROBLEM, database(url="sqlite:////d/s.db", disk_free=10**6), "the study database is", "room"),
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
    Case(Code.CLOCK_APART, WARNING, redis(writers_clock=Clock(-90.0)), "1m 30s behind", "NTP"),
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
        Code.REDIS_KEY,
        PROBLEM,
        redis(wrong_keys=(WrongKey("orchestrator:events", wrong_type("orchestrator:events", "stream")),)),
        "redis key orchestrator:events holds something that is no stream",
        "'redis-cli DEL orchestrator:events' helps",
    ),
    Case(
        Code.REDIS_HIDDEN,
        NOTE,
        redis(hidden=("CONFIG GET",), policy=None, aof=None, snapshots=None),
        "may not call it",
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
        "install that version of trial-orchestrator, and its Optuna",
    ),
    Case(
        Code.TABLES_VERSION,
        PROBLEM,
        database(ours=OwnSchema("0001", "0004", known=True), books=None),
        "of revision 0001",
        "orchestrator prepare",
    ),
    Case(
        Code.TABLES_VERSION,
        PROBLEM,
        database(ours=OwnSchema("9999", "0004", known=False), books=None),
        "of revision 9999",
        "install that version",
    ),
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
    Case(
        Code.DATABASE_READ_ONLY,
        PROBLEM,
        database(leaderless(books(idle(), studies=())), refused=REFUSED),
        "may not write trials; `serve` would end at once",
        "take another",
        beside={Code.CONTROL_PLANE_MISSING},
    ),
    Case(Code.DATABASE_READ_ONLY, NOTE, database(refused=REFUSED), "the control plane that writes has other", "take"),
    Case(
        Code.DATABASE_UNREACHABLE,
        PROBLEM,
        database(error="no right to read", refused=REFUSED),
        "no right",
        "take another",
    ),
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
]
