"""The table of notes: what is still to be told, what has become of the rest."""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from collections.abc import Collection, Mapping

import sqlalchemy
from sqlalchemy import Connection, select, update

from orchestrator.common.errors import BadInput
from orchestrator.model.changeset import NoteRow
from orchestrator.model.notifications import NoteState, Owed
from orchestrator.model.study_status import Told
from orchestrator.spec import Spec
from orchestrator.storage.optuna_tables import STUDIES
from orchestrator.storage.own_tables import notes, studies


def settle(connection: Connection, states: Mapping[str, NoteState]) -> None:
    """Writes what has become of notes, by their key."""
    for key, (state, tries, detail, at) in states.items():
        values = {"state": state, "tries": tries, "detail": detail, "changed": at}
        connection.execute(update(notes).where(notes.c.key == key).values(values))


def read_owed(connection: Connection) -> list[Owed]:
    """Returns the notes that are still to be told, oldest first."""
    query = (
        select(notes, studies.c.spec, STUDIES.c.study_name)
        .join(studies, studies.c.study_id == notes.c.study_id)
        .join(STUDIES, STUDIES.c.study_id == notes.c.study_id)
        .where(notes.c.state == "owed")
        .order_by(notes.c.id)
    )
    owed = []
    for row in connection.execute(query):
        # Of a spec that cannot be read, the study is refused, and that is said then.
        with contextlib.suppress(BadInput, ValueError, RecursionError):
            note = NoteRow(*(getattr(row, name) for name in NoteRow._fields))
            owed.append(Owed(row.study_name, note, Spec.from_json(json.loads(row.spec)).notify, row.tries))
    return owed


def read_told(connection: Connection, ids: Collection[int]) -> dict[int, tuple[Told, ...]]:
    """Returns the notes of studies, oldest first, by Optuna's id of the study; a database that was last prepared by an
    older version has none."""
    found: dict[int, list[Told]] = defaultdict(list)
    if sqlalchemy.inspect(connection).has_table(notes.name):
        query = select(notes).where(notes.c.study_id.in_(ids), notes.c.state != "superseded").order_by(notes.c.id)
        for row in connection.execute(query):
            found[row.study_id].append(Told(row.event, row.kind, row.state, row.tries, row.detail, row.changed))
    return {study: tuple(told) for study, told in found.items()}
