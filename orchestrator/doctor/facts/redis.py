"""Facts of the Redis server and of the data in it."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.doctor.facts.host import Clock


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
    """What was no event or no task: the beginning of it, as text, and why it was kept aside."""

    age: float
    reason: str
    data: str


@dataclass(frozen=True)
class Item:
    """What lies in a queue. Without a token it is no task, for the reason in ``wrong``."""

    token: str = ""
    version: int | None = None
    wrong: str = ""


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
        unconfirmed: Of the attempts that were asked about, those of which no confirmation is readable.
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
    stream: Stream = Stream()
    dead: int = 0
    newest_dead: tuple[DeadLetter, ...] = ()
    queues: tuple[Queue, ...] = ()
    unconfirmed: frozenset[str] = frozenset()
    wrong_keys: tuple[WrongKey, ...] = ()

    @property
    def looked_at(self) -> bool:
        return bool(self.where) and not self.error
