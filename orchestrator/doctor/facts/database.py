"""Facts of the study database."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.doctor.facts.host import Clock
from orchestrator.doctor.facts.table_facts import TableFacts
from orchestrator.model.schema_state import OptunaSchema, OwnSchema


@dataclass(frozen=True)
class Blocked:
    """A session of this program that waits for a lock, and the session that holds it."""

    seconds: float
    pid: int
    application: str
    state: str


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
        locked: Whether another process holds the write lock of an SQLite file.
    """

    where: str = ""
    error: str = ""
    remedy: str = ""
    missing: bool = False
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
