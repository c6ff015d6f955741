"""Facts about an installation, before they are judged. Ages, offsets and durations are in seconds.

What Redis has stamped is as old as Redis says, and a lease runs out by the database's clock. Other ages are by this
host's clock, and as wrong as the clocks of two hosts are apart; nothing is judged a problem by such an age alone.
Nothing here holds a password.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.doctor.table_facts import TableFacts
from orchestrator.model.schema_state import OptunaSchema, OwnSchema


@dataclass(frozen=True)
class Setup:
    """The settings of this shell.

    Attributes:
        redis, storage: Whether its URL is set; else it is what `run` keeps in the data folder.
        running: Whether a `run` works in the data folder.
        heartbeat, lease: Those of the control plane that writes, where it has announced them; else those set here.
        renewal: Seconds between two renewals of its lease.
    """

    data_dir: str = ".orchestrator"
    redis: bool = True
    storage: bool = True
    running: bool = False
    heartbeat: float = 2.0
    lease: float = 6.0
    renewal: float = 2.0

    @property
    def alone(self) -> bool:
        """Whether nothing of a fleet is configured, so that all there can be is a `run`."""
        return not self.redis and not self.storage


@dataclass(frozen=True)
class Package:
    """A package that this program needs; ``found`` is ``None`` where it is not installed."""

    name: str
    wanted: str
    found: str | None
    fits: bool


@dataclass(frozen=True)
class Installation:
    """The installed packages of this host, and the free space on the disk of the data folder.

    ``version`` is empty where this program runs from a folder of source; ``inodes_free`` is ``None`` where the file
    system has no limit of them.
    """

    python: str = ""
    python_wanted: str = ""
    python_fits: bool = True
    version: str = ""
    packages: tuple[Package, ...] = ()
    gpus: int = 0
    disk_free: int | None = None
    inodes_free: int | None = None
    protocol: int = 0


@dataclass(frozen=True)
class Clock:
    """Offset of a clock from this host's, in seconds, and the largest error of that figure."""

    offset: float
    within: float = 0.0


@dataclass(frozen=True)
class Consumer:
    """A consumer of the stream's group, with what it was given and has not acknowledged.

    ``ours`` is whether it is the control plane's.
    """

    name: str
    pending: int
    ours: bool = True


@dataclass(frozen=True)
class Stream:
    """The event stream. Entries are deleted when they are committed, so whatever is in it is still to be done.

    Attributes:
        group: Whether the control plane's group is there.
        length: Entries.
        oldest: Age of the first of them.
        consumers: The group's.
    """

    group: bool = True
    length: int = 0
    oldest: float | None = None
    consumers: tuple[Consumer, ...] = ()

    @property
    def pending(self) -> int:
        """Entries that were delivered and not acknowledged."""
        return sum(each.pending for each in self.consumers)


@dataclass(frozen=True)
class DeadLetter:
    """A message that is neither an event nor a task: its beginning, as text, and the reason why it was kept aside."""

    age: float
    reason: str
    data: str


@dataclass(frozen=True)
class Item:
    """An item of a queue. Without a token it is no task, for the reason in ``wrong``."""

    token: str = ""
    version: int | None = None
    wrong: str = ""

    @property
    def unsigned(self) -> bool:
        """Whether it is no task because no key that is known here has signed it."""
        return self.wrong.startswith("Unsigned: ")


@dataclass(frozen=True)
class Queue:
    """A queue: how many items wait at each priority, the soonest first, and what they are."""

    name: str
    waiting: tuple[int, ...] = ()
    items: tuple[Item, ...] = ()


@dataclass(frozen=True)
class WrongKey:
    """A key that holds another type than this program keeps there; ``text`` says which type, and what to do."""

    key: str
    text: str


@dataclass(frozen=True)
class Redis:
    """The Redis server. What is ``None`` could not be looked at; ``hidden`` names the commands that are forbidden.

    Attributes:
        where: Its URL; empty where none is configured.
        error: Why it cannot be reached.
        seconds: One round trip.
        failing: What it cannot write to its disk.
        control_planes: Those that are connected, by name of process.
        writers_clock: The clock of the control plane that writes, where it has told something lately.
        unconfirmed: Of the attempts that were asked about, those without a readable confirmation.
    """

    where: str = ""
    error: str = ""
    version: str = ""
    seconds: float = 0.0
    policy: str | None = None
    maxmemory: int | None = None
    used: int | None = None
    aof: bool | None = None
    snapshots: bool | None = None
    failing: str = ""
    replica_of: str = ""
    clock: Clock | None = None
    hidden: tuple[str, ...] = ()
    control_planes: tuple[str, ...] | None = None
    writers_clock: Clock | None = None
    stream: Stream = Stream()
    dead: int = 0
    newest_dead: tuple[DeadLetter, ...] = ()
    queues: tuple[Queue, ...] = ()
    unconfirmed: frozenset[str] = frozenset()
    wrong_keys: tuple[WrongKey, ...] = ()

    @property
    def looked_at(self) -> bool:
        return bool(self.where) and not self.error

    @property
    def fill(self) -> float:
        """The part of ``maxmemory`` that is used; 0 without a limit."""
        return self.used / self.maxmemory if self.maxmemory and self.used is not None else 0.0


@dataclass(frozen=True)
class Blocked:
    """A session of this program that waits for a lock, and the session that holds it."""

    seconds: float
    pid: int
    application: str
    state: str


@dataclass(frozen=True)
class Refusal:
    """A right that this shell lacks in the database, and the remedy; ``command`` can be pasted."""

    problem: str
    remedy: str
    command: str = ""


@dataclass(frozen=True)
class Database:
    """The study database.

    Attributes:
        where: Its URL; empty where none is configured.
        error: Why it cannot be read; ``remedy`` is what the user can do.
        missing: Whether the database or its tables do not exist.
        url: The URL that a command in a remedy may show.
        version: The server's, or SQLite's.
        journal: SQLite's journal mode.
        connections: (open, most) of PostgreSQL.
        read_only: Whether PostgreSQL is a standby, or set to read-only.
        locked: Whether another process holds the write lock of an SQLite file.
        refused: What the role in the URL, or this user, may not do; ``None`` where it may do all.
        disk_free: Bytes that are free on the disk of an SQLite file, where that is another one than the data folder's.
    """

    where: str = ""
    error: str = ""
    remedy: str = ""
    missing: bool = False
    refused: Refusal | None = None
    disk_free: int | None = None
    url: str = ""
    version: str = ""
    optuna: OptunaSchema | None = None
    ours: OwnSchema | None = None
    journal: str = ""
    connections: tuple[int, int] | None = None
    read_only: bool = False
    blocked: tuple[Blocked, ...] = ()
    locked: bool = False
    clock: Clock | None = None
    books: TableFacts | None = None


@dataclass(frozen=True)
class Worker:
    """A worker whose main process answers.

    Attributes:
        slots: How many it has; ``None`` where it did not say.
        clock: ``None`` where it sent no heartbeat in time.
        celery: The version it runs.
        twice: Whether another one answers by the same name.
        draining: Whether it takes no more trials, and ends when those that run have.
        versions: Of Python and of packages, by name; empty where it did not say.
        bundles: The entries of its list that admit code bundles; ``None`` where it did not say.
    """

    name: str
    slots: int | None = None
    queues: tuple[str, ...] = ()
    clock: Clock | None = None
    celery: str = ""
    twice: bool = False
    draining: bool = False
    versions: tuple[tuple[str, str], ...] = ()
    bundles: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Sign:
    """A sign of life of a slot, for one attempt, or for none where it is idle.

    ``version`` is that of the protocol its keeper speaks; of a later one, nothing but the attempt is known. ``trouble``
    is why its host can train nothing for now.
    """

    slot: str
    host: str = ""
    device: str = ""
    queues: tuple[str, ...] = ()
    token: str = ""
    runner: str = ""
    version: int = 0
    trouble: str = ""

    @property
    def worker(self) -> str:
        """The name of the worker that the slot is one of."""
        return self.slot.rpartition("/")[0]


@dataclass(frozen=True)
class Workers:
    """The workers that answered, and the heartbeats that were heard.

    Attributes:
        error: Why no worker could be queried.
        unsigned: How what was heard is not signed by a key that is known here; empty where it is.
        listened: How long the stream was followed.
        enough: Whether that was long enough for silence to mean something.
        heard: Seconds since the last heartbeat, by slot, of those that were heard.
    """

    error: str = ""
    unsigned: str = ""
    listened: float = 0.0
    enough: bool = True
    workers: tuple[Worker, ...] = ()
    signs: tuple[Sign, ...] = ()
    heard: Mapping[str, float] = field(default_factory=dict)

    def serving(self, queue: str) -> bool:
        """Whether a worker consumes ``queue``."""
        return queue in self.queues

    @property
    def queues(self) -> set[str]:
        """All queues that workers consume."""
        answered = {queue for each in self.workers for queue in each.queues}
        return answered.union(*(sign.queues for sign in self.signs))


@dataclass(frozen=True)
class Facts:
    """Everything that one look has found out."""

    setup: Setup
    installation: Installation
    redis: Redis
    database: Database
    workers: Workers

    @property
    def books(self) -> TableFacts:
        """The facts from our tables; empty where they cannot be read."""
        return self.database.books or TableFacts()

    @property
    def active(self) -> bool:
        """Whether a control plane is at work."""
        return self.books.active
