"""Findings of doctor, each with a code that never changes, and the repairs that it can apply."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is; only a problem makes the command fail."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    PROBLEM = "problem"


class Group(StrEnum):
    """Sections of the output, in their order."""

    INSTALLATION = "installation"
    REDIS = "redis"
    DATABASE = "database"
    CONTROL_PLANE = "control plane"
    WORKERS = "workers"
    QUEUE_AND_STREAM = "queue and stream"
    STUDIES = "studies"


class Code(StrEnum):
    """The kind of a finding. ``docs/operations.md`` has a paragraph on each; a test holds the two together."""

    group: Group

    def __new__(cls, code: str, group: Group) -> Code:
        made = str.__new__(cls, code)
        made._value_ = code
        made.group = group
        return made

    PACKAGES = "packages", Group.INSTALLATION
    NOT_INSTALLED = "not-installed", Group.INSTALLATION
    PYTHON_VERSION = "python-version", Group.INSTALLATION
    PACKAGE_MISSING = "package-missing", Group.INSTALLATION
    PACKAGE_VERSION = "package-version", Group.INSTALLATION
    CUDA_MISSING = "cuda-missing", Group.INSTALLATION
    DISK_FULL = "disk-full", Group.INSTALLATION
    CLOCKS = "clocks", Group.INSTALLATION
    CLOCK_APART = "clock-apart", Group.INSTALLATION

    REDIS = "redis", Group.REDIS
    REDIS_ABSENT = "redis-absent", Group.REDIS
    REDIS_UNREACHABLE = "redis-unreachable", Group.REDIS
    REDIS_VERSION = "redis-version", Group.REDIS
    REDIS_EVICTION = "redis-eviction", Group.REDIS
    REDIS_MEMORY = "redis-memory", Group.REDIS
    REDIS_PERSISTENCE = "redis-persistence", Group.REDIS
    REDIS_DISK = "redis-disk", Group.REDIS
    REDIS_REPLICA = "redis-replica", Group.REDIS
    REDIS_HIDDEN = "redis-hidden", Group.REDIS
    REDIS_KEY = "redis-key", Group.REDIS

    DATABASE = "database", Group.DATABASE
    DATABASE_ABSENT = "database-absent", Group.DATABASE
    DATABASE_UNREACHABLE = "database-unreachable", Group.DATABASE
    OPTUNA_SCHEMA = "optuna-schema", Group.DATABASE
    TABLES_VERSION = "tables-version", Group.DATABASE
    DATABASE_READ_ONLY = "database-read-only", Group.DATABASE
    DATABASE_CONNECTIONS = "database-connections", Group.DATABASE
    DATABASE_LOCKED = "database-locked", Group.DATABASE
    SQLITE_JOURNAL = "sqlite-journal", Group.DATABASE

    CONTROL_PLANE = "control-plane", Group.CONTROL_PLANE
    CONTROL_PLANE_MISSING = "control-plane-missing", Group.CONTROL_PLANE
    LEASE_LEFT = "lease-left", Group.CONTROL_PLANE
    COMMAND_UNANSWERED = "command-unanswered", Group.CONTROL_PLANE
    SCHEDULE_OVERDUE = "schedule-overdue", Group.CONTROL_PLANE

    WORKERS = "workers", Group.WORKERS
    WORKERS_UNKNOWN = "workers-unknown", Group.WORKERS
    WORKER_MISSING = "worker-missing", Group.WORKERS
    WORKER_SILENT = "worker-silent", Group.WORKERS
    WORKER_TWICE = "worker-twice", Group.WORKERS
    WORKER_VERSION = "worker-version", Group.WORKERS
    HOST_WITHOUT_ROOM = "host-without-room", Group.WORKERS
    SLOT_SILENT = "slot-silent", Group.WORKERS
    PROTOCOL_VERSION = "protocol-version", Group.WORKERS

    QUEUES = "queues", Group.QUEUE_AND_STREAM
    QUEUE_UNSERVED = "queue-unserved", Group.QUEUE_AND_STREAM
    QUEUE_MALFORMED = "queue-malformed", Group.QUEUE_AND_STREAM
    QUEUE_UNKNOWN = "queue-unknown", Group.QUEUE_AND_STREAM
    QUEUE_ENDED = "queue-ended", Group.QUEUE_AND_STREAM
    STREAM = "stream", Group.QUEUE_AND_STREAM
    GROUP_MISSING = "group-missing", Group.QUEUE_AND_STREAM
    STREAM_BEHIND = "stream-behind", Group.QUEUE_AND_STREAM
    STREAM_STRANDED = "stream-stranded", Group.QUEUE_AND_STREAM
    DEAD_LETTERS = "dead-letters", Group.QUEUE_AND_STREAM

    STUDIES = "studies", Group.STUDIES
    STUDY_UNREADABLE = "study-unreadable", Group.STUDIES
    STUDY_SUSPENDED = "study-suspended", Group.STUDIES
    STUDY_IDLE = "study-idle", Group.STUDIES
    TRIAL_UNATTENDED = "trial-unattended", Group.STUDIES
    ATTEMPT_UNSENT = "attempt-unsent", Group.STUDIES
    TRIAL_SILENT = "trial-silent", Group.STUDIES
    ATTEMPT_SILENT = "attempt-silent", Group.STUDIES
    ATTEMPT_OVERTAKEN = "attempt-overtaken", Group.STUDIES
    ATTEMPT_FENCED = "attempt-fenced", Group.STUDIES
    CONFIRMATION_MISSING = "confirmation-missing", Group.STUDIES
    VERDICT_IGNORED = "verdict-ignored", Group.STUDIES
    NOTE_FAILED = "note-failed", Group.STUDIES


@dataclass(frozen=True)
class MakeGroup:
    """Make the control plane's group of the stream; it begins with the oldest entry."""


@dataclass(frozen=True)
class TakeOver:
    """Claim the pending entries of another consumer of the group for the control plane, and drop that consumer."""

    consumer: str


@dataclass(frozen=True)
class ClearQueue:
    """Remove these tasks, or without tokens the items that are no tasks, from a queue; they become dead letters."""

    queue: str
    tokens: frozenset[str] = frozenset()


@dataclass(frozen=True)
class FreeLease:
    """Release the writer's lease of a control plane that is gone."""

    holder: str


@dataclass(frozen=True)
class Reconcile:
    """Have the active control plane read a study again and make queue and confirmations say what the database says."""

    study: str


@dataclass(frozen=True)
class Ring:
    """Wake the active control plane."""


Repair = MakeGroup | TakeOver | ClearQueue | FreeLease | Reconcile | Ring


@dataclass(frozen=True)
class Finding:
    """A result of a check, good or bad.

    Attributes:
        about: The server, queue or study; empty where the group says it.
        text: Its state.
        remedy: What the user can do.
        details: Further lines.
        repair: What ``--repair`` does.
    """

    code: Code
    severity: Severity
    about: str
    text: str
    remedy: str = ""
    details: tuple[str, ...] = ()
    repair: Repair | None = None

    @property
    def group(self) -> Group:
        return self.code.group
