"""Findings of doctor, each with a code that never changes, and the repairs that it can apply."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """Severity of a finding; only a problem makes the command fail."""

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
    """The kind of a finding, its section and its usual severity.

    ``docs/operations.md`` has a paragraph on each; a test holds the two together.
    """

    group: Group
    severity: Severity

    def __new__(cls, code: str, group: Group, severity: Severity) -> Code:
        made = str.__new__(cls, code)
        made._value_ = code
        made.group = group
        made.severity = severity
        return made

    def finding(
        self,
        about: str,
        text: str,
        remedy: str = "",
        *,
        severity: Severity | None = None,
        details: tuple[str, ...] = (),
        repair: Repair | None = None,
        command: str = "",
    ) -> Finding:
        """Returns a finding of this kind, of its usual severity unless another one is given."""
        if repair is not None and not command:
            command = "orchestrator doctor --repair"
        return Finding(self, severity or self.severity, about, text, remedy, details, repair, command)

    PACKAGES = "packages", Group.INSTALLATION, Severity.OK
    NOT_INSTALLED = "not-installed", Group.INSTALLATION, Severity.NOTE
    PYTHON_VERSION = "python-version", Group.INSTALLATION, Severity.PROBLEM
    PACKAGE_MISSING = "package-missing", Group.INSTALLATION, Severity.PROBLEM
    PACKAGE_VERSION = "package-version", Group.INSTALLATION, Severity.WARNING
    CUDA_MISSING = "cuda-missing", Group.INSTALLATION, Severity.WARNING
    DISK_FULL = "disk-full", Group.INSTALLATION, Severity.PROBLEM
    CLOCKS = "clocks", Group.INSTALLATION, Severity.OK
    CLOCK_APART = "clock-apart", Group.INSTALLATION, Severity.WARNING

    REDIS = "redis", Group.REDIS, Severity.OK
    REDIS_ABSENT = "redis-absent", Group.REDIS, Severity.PROBLEM
    REDIS_UNREACHABLE = "redis-unreachable", Group.REDIS, Severity.PROBLEM
    REDIS_VERSION = "redis-version", Group.REDIS, Severity.PROBLEM
    REDIS_EVICTION = "redis-eviction", Group.REDIS, Severity.PROBLEM
    REDIS_MEMORY = "redis-memory", Group.REDIS, Severity.PROBLEM
    REDIS_PERSISTENCE = "redis-persistence", Group.REDIS, Severity.WARNING
    REDIS_DISK = "redis-disk", Group.REDIS, Severity.PROBLEM
    REDIS_REPLICA = "redis-replica", Group.REDIS, Severity.PROBLEM
    REDIS_HIDDEN = "redis-hidden", Group.REDIS, Severity.NOTE
    REDIS_KEY = "redis-key", Group.REDIS, Severity.PROBLEM

    DATABASE = "database", Group.DATABASE, Severity.OK
    DATABASE_ABSENT = "database-absent", Group.DATABASE, Severity.NOTE
    DATABASE_UNREACHABLE = "database-unreachable", Group.DATABASE, Severity.PROBLEM
    OPTUNA_SCHEMA = "optuna-schema", Group.DATABASE, Severity.PROBLEM
    TABLES_VERSION = "tables-version", Group.DATABASE, Severity.PROBLEM
    DATABASE_READ_ONLY = "database-read-only", Group.DATABASE, Severity.PROBLEM
    DATABASE_CONNECTIONS = "database-connections", Group.DATABASE, Severity.PROBLEM
    DATABASE_LOCKED = "database-locked", Group.DATABASE, Severity.PROBLEM
    SQLITE_JOURNAL = "sqlite-journal", Group.DATABASE, Severity.WARNING

    CONTROL_PLANE = "control-plane", Group.CONTROL_PLANE, Severity.OK
    CONTROL_PLANE_MISSING = "control-plane-missing", Group.CONTROL_PLANE, Severity.PROBLEM
    LEASE_LEFT = "lease-left", Group.CONTROL_PLANE, Severity.NOTE
    COMMAND_UNANSWERED = "command-unanswered", Group.CONTROL_PLANE, Severity.NOTE
    SCHEDULE_OVERDUE = "schedule-overdue", Group.CONTROL_PLANE, Severity.NOTE

    WORKERS = "workers", Group.WORKERS, Severity.OK
    WORKERS_UNKNOWN = "workers-unknown", Group.WORKERS, Severity.NOTE
    WORKER_MISSING = "worker-missing", Group.WORKERS, Severity.PROBLEM
    WORKER_SILENT = "worker-silent", Group.WORKERS, Severity.WARNING
    WORKER_TWICE = "worker-twice", Group.WORKERS, Severity.WARNING
    WORKER_VERSION = "worker-version", Group.WORKERS, Severity.NOTE
    KEYS_DIFFER = "keys-differ", Group.WORKERS, Severity.PROBLEM
    CODE_NOT_ADMITTED = "code-not-admitted", Group.WORKERS, Severity.PROBLEM
    WORKER_DRAINING = "worker-draining", Group.WORKERS, Severity.NOTE
    HOST_WITHOUT_ROOM = "host-without-room", Group.WORKERS, Severity.PROBLEM
    SLOT_SILENT = "slot-silent", Group.WORKERS, Severity.WARNING
    PROTOCOL_VERSION = "protocol-version", Group.WORKERS, Severity.PROBLEM

    QUEUES = "queues", Group.QUEUE_AND_STREAM, Severity.OK
    QUEUE_UNSERVED = "queue-unserved", Group.QUEUE_AND_STREAM, Severity.PROBLEM
    QUEUE_MALFORMED = "queue-malformed", Group.QUEUE_AND_STREAM, Severity.WARNING
    QUEUE_UNKNOWN = "queue-unknown", Group.QUEUE_AND_STREAM, Severity.WARNING
    QUEUE_ENDED = "queue-ended", Group.QUEUE_AND_STREAM, Severity.NOTE
    STREAM = "stream", Group.QUEUE_AND_STREAM, Severity.OK
    GROUP_MISSING = "group-missing", Group.QUEUE_AND_STREAM, Severity.WARNING
    STREAM_BEHIND = "stream-behind", Group.QUEUE_AND_STREAM, Severity.PROBLEM
    STREAM_STRANDED = "stream-stranded", Group.QUEUE_AND_STREAM, Severity.WARNING
    DEAD_LETTERS = "dead-letters", Group.QUEUE_AND_STREAM, Severity.WARNING

    STUDIES = "studies", Group.STUDIES, Severity.OK
    STUDY_UNREADABLE = "study-unreadable", Group.STUDIES, Severity.PROBLEM
    STUDY_SUSPENDED = "study-suspended", Group.STUDIES, Severity.PROBLEM
    STUDY_IDLE = "study-idle", Group.STUDIES, Severity.NOTE
    STUDY_HELD = "study-held", Group.STUDIES, Severity.NOTE
    STUDY_OUTRUN = "study-outrun", Group.STUDIES, Severity.WARNING
    STUDY_FAILED = "study-failed", Group.STUDIES, Severity.WARNING
    TRIAL_UNATTENDED = "trial-unattended", Group.STUDIES, Severity.WARNING
    ATTEMPT_UNSENT = "attempt-unsent", Group.STUDIES, Severity.WARNING
    TRIAL_SILENT = "trial-silent", Group.STUDIES, Severity.WARNING
    ATTEMPT_SILENT = "attempt-silent", Group.STUDIES, Severity.WARNING
    ATTEMPT_OVERTAKEN = "attempt-overtaken", Group.STUDIES, Severity.WARNING
    ATTEMPT_FENCED = "attempt-fenced", Group.STUDIES, Severity.NOTE
    CONFIRMATION_MISSING = "confirmation-missing", Group.STUDIES, Severity.WARNING
    VERDICT_IGNORED = "verdict-ignored", Group.STUDIES, Severity.WARNING
    NOTE_FAILED = "note-failed", Group.STUDIES, Severity.NOTE


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
        command: What can be pasted into the shell that `doctor` was called in, and helps.
    """

    code: Code
    severity: Severity
    about: str
    text: str
    remedy: str = ""
    details: tuple[str, ...] = ()
    repair: Repair | None = None
    command: str = ""

    @property
    def group(self) -> Group:
        return self.code.group
