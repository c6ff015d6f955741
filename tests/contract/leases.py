"""Leases as other processes leave them, for tests of the one writer."""

from __future__ import annotations

from collections.abc import Callable

from leased_store import LeasedStore
from sqlalchemy import text, update
from sqlalchemy.exc import OperationalError

from orchestrator.storage.own_tables import writer

STRANGER = "another-host:1:1"


def held_by(leased: LeasedStore, holder: str, seconds: float) -> None:
    """Another process has the lease for that many more seconds, in the next term."""
    with leased.database.write() as connection:
        now = float(connection.scalar(text(f"SELECT {now_in(leased)}")) or 0.0)
        term = connection.scalar(writer.select().with_only_columns(writer.c.term))
        assert term is not None
        connection.execute(update(writer).values(term=term + 1, holder=holder, expires=now + seconds, backend=None))


def now_in(leased: LeasedStore) -> str:
    if leased.database.dialect == "sqlite":
        return "(julianday('now') - 2440587.5) * 86400.0"
    return "extract(epoch from clock_timestamp())"


def persistently(write: Callable[[LeasedStore], object], leased: LeasedStore) -> None:
    """Tries again where a connection broke: a new holder ends the old one's."""
    try:
        write(leased)
    except OperationalError:
        write(leased)
