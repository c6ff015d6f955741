"""Which of Optuna's studies our rows belong to.

Optuna deletes a study without our rows where SQLite does not do that by itself, and gives its id to the next study. So
each study of ours carries our unique id of it as a system attribute, which Optuna deletes with it.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, and_, literal, or_, select

from orchestrator.attributes import OWNER
from orchestrator.storage import tables
from orchestrator.storage.statements import insert_or_update
from orchestrator.storage.theirs import STUDIES, STUDY_SYSTEM_ATTRS

_MARK: ColumnElement[str] = STUDY_SYSTEM_ATTRS.c.value_json


def mark(connection: Connection, study_id: int, uid: str) -> None:
    """Notes with Optuna's study under which unique id our rows have it."""
    statement = insert_or_update(connection.dialect.name, STUDY_SYSTEM_ATTRS, ("study_id", "key"), ("value_json",))
    connection.execute(statement, {"study_id": study_id, "key": OWNER, "value_json": json.dumps(uid)})


def select_ours(*columns: Column[Any]) -> Select[Any]:
    """Returns a query for our rows of studies, each with ``study_name`` and ``marked``, whether its study has a mark.

    Rows that a deleted study has left behind are left out. Studies of a database that an older version wrote have no
    mark yet.

    Args:
        columns: Of our table of studies; all of them by default.
    """
    mine = literal('"') + tables.studies.c.uid + literal('"')
    return (
        select(*(columns or tables.studies.c), STUDIES.c.study_name, _MARK.is_not(None).label("marked"))
        .join(STUDIES, STUDIES.c.study_id == tables.studies.c.study_id)
        .outerjoin(
            STUDY_SYSTEM_ATTRS,
            and_(STUDY_SYSTEM_ATTRS.c.study_id == STUDIES.c.study_id, STUDY_SYSTEM_ATTRS.c.key == OWNER),
        )
        .where(or_(_MARK.is_(None), mine == _MARK))
    )
