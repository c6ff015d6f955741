"""The study database."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.doctor.facts.host import Clock
from orchestrator.doctor.facts.table_facts import TableFacts
from orchestrator.model.schema_state import OptunaSchema, OwnSchema


@dataclass(frozen=True)
class Blocked:
    """A session of this program that waits for a lock, and who holds it."""

    seconds: float
    pid: int
    application: str
    state: str


@dataclass(frozen=True)
class Database:
    """The study database.

    Attributes:
        where: Its URL; empty where none is configured.
        error: Why it cannot be looked at, with what would be right as ``remedy``.
        missing: Whether that is because there is none, or none of its tables.
        url: As a command may name it.
        version: The server's, or SQLite's.
        journal: SQLite's journal mode.
        connections: (open, most) of PostgreSQL.
        locked: Whether another process keeps everybody from writing to an SQLite file.
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
