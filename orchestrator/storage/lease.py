"""One writer: a row that names who may write, renewed and judged by the database's own clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Float, bindparam, select, text, update

from orchestrator.errors import NotTheWriter
from orchestrator.storage.database import Database, is_gone, process_name
from orchestrator.storage.statements import current_time, insert_or_ignore
from orchestrator.storage.tables import writer

_END_BACKEND = text("SELECT pg_terminate_backend(:pid) WHERE :pid <> pg_backend_pid()")


@dataclass(frozen=True)
class Held:
    """Who else holds the lease, and for how many more seconds."""

    holder: str
    seconds: float


class WriterLease:
    """The right to write.

    Every transaction calls ``check`` first, which renews the lease and fails when the term is not ours any more. A
    writer that was frozen therefore finds out before it changes anything, whatever it believes.

    Args:
        database: Where the row is.
        seconds: How long the lease lasts without renewal.
    """

    def __init__(self, database: Database, seconds: float) -> None:
        self._database = database
        self._seconds = seconds
        self._now = current_time(database.dialect)
        self.term = 0
        self._renew = (
            update(writer)
            .where(writer.c.id == 1, writer.c.term == bindparam("the_term"))
            .values(expires=self._now + bindparam("seconds", type_=Float))
        )

    def acquire(self) -> Held | None:
        """Takes the lease if it is free, expired, or held by a process of this host that is gone.

        Returns ``None`` when it is ours now, otherwise who holds it.
        """
        holder = process_name()
        with self._database.write() as connection:
            now = float(connection.scalar(select(self._now)) or 0.0)
            # Looked at without a lock, which a frozen predecessor might hold.
            row = connection.execute(select(writer).where(writer.c.id == 1)).one_or_none()
            if row is None:
                # Another that starts at the same time may be making the row, too.
                first = {"id": 1, "term": 0, "holder": "", "expires": 0.0}
                connection.execute(insert_or_ignore(self._database.dialect, writer), first)
                row = connection.execute(select(writer).where(writer.c.id == 1)).one()
            if (held := self._held(row, holder, now)) is not None:
                return held
            if row.backend and row.holder:
                # A frozen predecessor may sit in a transaction and hold locks that nobody else would release.
                connection.execute(_END_BACKEND, {"pid": row.backend})
            row = connection.execute(select(writer).where(writer.c.id == 1).with_for_update()).one()
            if (held := self._held(row, holder, now)) is not None:
                return held
            self.term = row.term + 1
            connection.execute(
                update(writer)
                .where(writer.c.id == 1)
                .values(term=self.term, holder=holder, backend=self._backend(connection), expires=now + self._seconds)
            )
        return None

    def check(self, connection: Connection) -> None:
        """Renews the lease within the caller's transaction.

        Raises:
            NotTheWriter: another control plane has taken over.
        """
        result = connection.execute(self._renew, {"the_term": self.term, "seconds": self._seconds})
        if result.rowcount != 1:
            raise NotTheWriter(f"another control plane has taken over (this one wrote in term {self.term})")

    def release(self) -> None:
        """Gives the lease back, so that the next control plane need not wait for its end."""
        with self._database.write() as connection:
            connection.execute(
                update(writer)
                .where(writer.c.id == 1, writer.c.term == self.term)
                .values(holder="", expires=0.0, backend=None)
            )

    def _held(self, row: Any, holder: str, now: float) -> Held | None:
        if row.expires > now and row.holder not in ("", holder) and not is_gone(row.holder):
            return Held(row.holder, row.expires - now)
        return None

    def _backend(self, connection: Connection) -> int | None:
        if self._database.dialect != "postgresql":
            return None
        pid: int | None = connection.scalar(select(text("pg_backend_pid()")))
        return pid
