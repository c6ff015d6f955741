"""The cost of a study: time on slots, time from its first start to its last end, attempts that were lost."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from orchestrator.storage import own_tables


@dataclass(frozen=True)
class Cost:
    """Attributes:
    slot_seconds: Summed over the attempts that have started, of those that run until now.
    wall_seconds: From the first start of an attempt to the last end; ``None`` where none has started.
    attempts: That have started.
    lost: Of these, those that were lost or crashed, so that their trial was attempted again.
    redone: Epochs that were trained again after a loss.
    """

    slot_seconds: float = 0.0
    wall_seconds: float | None = None
    attempts: int = 0
    lost: int = 0
    redone: int = 0


def read_cost(connection: Connection, study_id: int, now: float) -> Cost:
    """Returns the cost of a study of this program up to ``now``, in seconds since the epoch."""
    attempts, redone = own_tables.attempts.c, own_tables.redone.c
    query = select(attempts.started, attempts.ended, attempts.state).where(attempts.study_id == study_id)
    rows = connection.execute(query.where(attempts.started.is_not(None))).all()
    ends = [now if row.ended is None else row.ended for row in rows]
    again = select(redone.trial, redone.step).where(redone.study_id == study_id).distinct().subquery()
    return Cost(
        slot_seconds=sum(max(0.0, end - row.started) for row, end in zip(rows, ends, strict=True)),
        wall_seconds=max(0.0, max(ends) - min(row.started for row in rows)) if rows else None,
        attempts=len(rows),
        lost=sum(row.state == "lost" for row in rows),
        redone=connection.scalar(select(func.count()).select_from(again)) or 0,
    )
