"""Facts about an installation, before they are judged. Ages, offsets and durations are in seconds.

What Redis has stamped is as old as Redis says, and a lease runs out by the database's clock. Other ages are by this
host's clock, and as wrong as the clocks of two hosts are apart; nothing is judged a problem by such an age alone.
Nothing here holds a password.
"""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.doctor.facts.database import Blocked, Database
from orchestrator.doctor.facts.host import Clock, Installation, Package, Setup
from orchestrator.doctor.facts.redis import Consumer, DeadLetter, Item, Queue, Redis, Stream, WrongKey
from orchestrator.doctor.facts.table_facts import (
    Attempt,
    Command,
    FailedNotification,
    Known,
    Overdue,
    Study,
    TableFacts,
    Writer,
    steady,
)
from orchestrator.doctor.facts.workers import Sign, Worker, Workers

__all__ = [
    "Attempt",
    "Blocked",
    "Clock",
    "Command",
    "Consumer",
    "Database",
    "DeadLetter",
    "Facts",
    "FailedNotification",
    "Installation",
    "Item",
    "Known",
    "Overdue",
    "Package",
    "Queue",
    "Redis",
    "Setup",
    "Sign",
    "Stream",
    "Study",
    "TableFacts",
    "Worker",
    "Workers",
    "Writer",
    "WrongKey",
    "steady",
]


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
        """What our tables say; nothing where they cannot be read."""
        return self.database.books or TableFacts()

    @property
    def active(self) -> bool:
        """Whether a control plane is at work."""
        return self.books.active
