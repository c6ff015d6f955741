"""Suspensions of studies, stored as a system attribute of Optuna's study, which a deleted study takes along."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from orchestrator.model.attribute_keys import SUSPENDED
from orchestrator.model.suspension import Suspension, printable
from orchestrator.storage.optuna_tables import STUDIES, STUDY_SYSTEM_ATTRS, study_id_of

_OF_THIS_KEY = STUDY_SYSTEM_ATTRS.c.key == SUSPENDED


def write_suspension(connection: Connection, name: str, suspension: Suspension) -> None:
    """Stores the suspension of a study; does nothing where there is no such study."""
    study = study_id_of(connection, name)
    if study is not None:
        delete_suspension(connection, name)
        row = {"study_id": study, "key": SUSPENDED, "value_json": json.dumps(suspension._asdict())}
        connection.execute(insert(STUDY_SYSTEM_ATTRS).values(row))


def delete_suspension(connection: Connection, name: str) -> None:
    """Deletes the suspension of a study."""
    study = select(STUDIES.c.study_id).where(STUDIES.c.study_name == name).scalar_subquery()
    connection.execute(delete(STUDY_SYSTEM_ATTRS).where(_OF_THIS_KEY, STUDY_SYSTEM_ATTRS.c.study_id == study))


def read_suspensions(connection: Connection, ids: Collection[int] | None = None) -> dict[int, tuple[str, Suspension]]:
    """Returns (name, suspension) of the suspended studies, by Optuna's id of the study.

    Args:
        connection: A transaction.
        ids: Optuna's ids of the studies; all by default.
    """
    query = (
        select(STUDIES.c.study_id, STUDIES.c.study_name, STUDY_SYSTEM_ATTRS.c.value_json)
        .join(STUDIES, STUDIES.c.study_id == STUDY_SYSTEM_ATTRS.c.study_id)
        .where(_OF_THIS_KEY)
        .order_by(STUDIES.c.study_id)
    )
    if ids is not None:
        query = query.where(STUDIES.c.study_id.in_(list(ids)))
    return {row.study_id: (row.study_name, _suspension(row.value_json)) for row in connection.execute(query)}


def _suspension(text: str) -> Suspension:
    try:
        found: Any = json.loads(text)
        return Suspension(printable(str(found["cause"])), float(found["at"]), found.get("passing") is True)
    except (ValueError, TypeError, KeyError, RecursionError):
        return Suspension("the cause cannot be read", 0.0)
