"""The writer's lease: a row that names the one writer, until when by the database's clock, and its term."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Float, bindparam, select, text, update

from orchestrator.common.errors import NotTheWriter
from orchestrator.storage.database import Database, is_gone, process_name
from orchestrator.storage.own_tables import writer
from orchestrator.storage.sql_dialects import Transaction, current_time, insert_new_rows

_HOLD = text(
    "SELECT backend = pg_backend_pid() AS is_this FROM orchestrator_writer WHERE id = 1 AND term = :the_term"
    " FOR KEY SHARE"
)
_USE_BACKEND = text("UPDATE orchestrator_writer SET backend = pg_backend_pid() WHERE id = 1")
_END_BACKEND = text("SELECT pg_terminate_backend(:pid) WHERE :pid <> pg_backend_pid()")


def renewal_seconds(heartbeat: float, lease: float) -> float:
    """Returns the seconds between two renewals of a lease by a control plane with these settings."""
    return min(heartbeat, lease / 3)


@dataclass(frozen=True)
class Held:
    """Another holder of the lease, and the seconds until it expires."""

    holder: str
    seconds: float


class WriterLease:
    """The right to write studies.

    Every transaction is one of ``writing``, which fails when the term is not ours any more. A writer that was frozen
    therefore finds out before it changes anything, whatever it believes. ``renew`` keeps the lease from ending.

    Args:
        database: Where the row is.
        seconds: How long the lease lasts without renewal.
        monotonic: Time in seconds, by which another's renewals are watched.
    """

    def __init__(self, database: Database, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._seconds = seconds
        self._monotonic = monotonic
        self._now = current_time(database.dialect)
        self._seen: tuple[int, float] | None = None
        self._seen_since = 0.0
        self._renewals = 0
        self._ended_before = 0.0
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
                insert_new_rows(connection, writer, [first])
                row = connection.execute(select(writer).where(writer.c.id == 1)).one()
            if (held := self._held(row, holder, now)) is not None:
                return held
            if row.backend and row.holder:
                # A frozen predecessor may hold locks in an open transaction; only ending its session releases them.
                connection.execute(_END_BACKEND, {"pid": row.backend})
            row = connection.execute(select(writer).where(writer.c.id == 1).with_for_update()).one()
            if (held := self._held(row, holder, now)) is not None:
                return held
            self.term = row.term + 1
            self._ended_before = min(now, row.expires - self._seconds if row.holder else row.expires)
            connection.execute(
                update(writer)
                .where(writer.c.id == 1)
                .values(term=self.term, holder=holder, backend=self._backend(connection), expires=now + self._seconds)
            )
        return None

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction that writes as the holder of the lease; raises NotTheWriter before it begins."""
        with self._database.write() as connection:
            self.hold(connection)()
            yield connection

    @contextmanager
    def writing_together(self) -> Iterator[tuple[Transaction, Callable[[], None]]]:
        """The same, with few messages. Yields a check, too, that comes before the first change: what else has to be
        known by then can be asked together with it."""
        with self._database.write_together() as connection:
            yield connection, self.hold(connection)

    def hold(self, connection: Transaction) -> Callable[[], None]:
        """Keeps others from taking over within the caller's transaction; returns what checks that none has.

        On PostgreSQL the lease is not renewed by that: a lock that lets ``renew`` pass beside it keeps a transaction
        that lasts longer than the lease from ending it. The check raises NotTheWriter where another control plane has
        taken over.
        """
        if isinstance(connection, Connection) and self._database.dialect != "postgresql":
            self._extend(connection)
            return lambda: None
        found = connection.execute(_HOLD, {"the_term": self.term})

        def check() -> None:
            row = next(iter(found), None)
            if row is None:
                raise self._deposed()
            if not row.is_this:
                # The next writer ends this connection, should it be frozen.
                connection.execute(_USE_BACKEND, {})

        return check

    def renew(self, database: Database) -> None:
        """Renews the lease in a transaction of its own, over ``database``.

        Raises:
            NotTheWriter: another control plane has taken over.
        """
        with database.write() as connection:
            self._extend(connection)

    def _extend(self, connection: Connection) -> None:
        result = connection.execute(self._renew, {"the_term": self.term, "seconds": self._seconds})
        if result.rowcount != 1:
            raise self._deposed()

    def _deposed(self) -> NotTheWriter:
        return NotTheWriter(f"another control plane has taken over (this one wrote in term {self.term})")

    def release(self) -> None:
        """Gives the lease back, so that the next control plane need not wait for its end; when, stays in the row."""
        self._give_back(self._now)

    def release_unseen(self) -> None:
        """Gives back a lease that was held by no control plane: since when none is seen, stays as it was."""
        self._give_back(self._ended_before)

    def _give_back(self, ended: Any) -> None:
        with self._database.write() as connection:
            connection.execute(
                update(writer)
                .where(writer.c.id == 1, writer.c.term == self.term)
                .values(holder="", expires=ended, backend=None)
            )

    def _held(self, row: Any, holder: str, now: float) -> Held | None:
        if row.holder in ("", holder) or is_gone(row.holder):
            return None
        if self._seen != (row.term, row.expires):
            self._renewals += self._seen is not None
            self._seen, self._seen_since = (row.term, row.expires), self._monotonic()
        unchanged = self._monotonic() - self._seen_since
        left = row.expires - now
        if left > 0:
            # After the database's clock was set back, that end lies far away; a holder that lives renews it before.
            return Held(row.holder, left) if unchanged <= self._seconds else None
        # One that was renewed a moment ago, as was seen, has ended because the database's clock was set forward.
        fresh = self._seconds / 2 - unchanged
        return Held(row.holder, fresh) if self._renewals and fresh > 0 else None

    def _backend(self, connection: Connection) -> int | None:
        if self._database.dialect != "postgresql":
            return None
        pid: int | None = connection.scalar(select(text("pg_backend_pid()")))
        return pid
