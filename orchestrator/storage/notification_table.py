"""The table of notifications: those still to be sent, and what became of the others."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Collection, Mapping

from sqlalchemy import Connection, select

from orchestrator.common.errors import BadInput
from orchestrator.model.changeset import NoteRow
from orchestrator.model.notifications import DeliveryState, PendingNotification
from orchestrator.model.study_status import NotificationStatus
from orchestrator.spec import Spec
from orchestrator.storage.optuna_tables import STUDIES
from orchestrator.storage.own_tables import notes, studies
from orchestrator.storage.sql_dialects import Transaction, update_rows


def settle(connection: Transaction, states: Mapping[str, DeliveryState]) -> None:
    """Writes what became of notifications, by their key."""
    rows = [
        {"key": key, "state": state, "tries": tries, "detail": detail, "changed": at}
        for key, (state, tries, detail, at) in states.items()
    ]
    update_rows(connection, notes, ("key",), rows)


def read_pending(connection: Connection) -> list[PendingNotification]:
    """Returns the notifications that are still to be sent, oldest first."""
    query = (
        select(notes, studies.c.spec, STUDIES.c.study_name)
        .join(studies, studies.c.study_id == notes.c.study_id)
        .join(STUDIES, STUDIES.c.study_id == notes.c.study_id)
        .where(notes.c.state == "owed")
        .order_by(notes.c.id)
    )
    pending = []
    for row in connection.execute(query):
        # A study whose spec cannot be read is refused elsewhere, with a message.
        with contextlib.suppress(BadInput, ValueError, RecursionError):
            notify = Spec.from_json(json.loads(row.spec)).notify
            note = NoteRow(*(getattr(row, name) for name in NoteRow._fields))
            pending.append(PendingNotification(row.study_name, note, notify, row.tries))
    return pending


def read_statuses(connection: Connection, ids: Collection[int]) -> dict[int, tuple[NotificationStatus, ...]]:
    """Returns the notifications of studies, oldest first, by Optuna's id of the study."""
    found: dict[int, list[NotificationStatus]] = defaultdict(list)
    query = select(notes).where(notes.c.study_id.in_(ids), notes.c.state != "superseded").order_by(notes.c.id)
    for row in connection.execute(query):
        status = NotificationStatus(row.event, row.kind, row.state, row.tries, row.detail, row.changed)
        found[row.study_id].append(status)
    return {study: tuple(statuses) for study, statuses in found.items()}
