"""Deletes the rows of a study: this program's, Optuna's, and what other tables say of it by its name."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from orchestrator.model.commands import DELETE
from orchestrator.storage import own_tables
from orchestrator.storage.optuna_tables import STUDIES, delete_study, study_id_of

BY_HAND = "deleted by hand"
"""Reason of a planned run whose study a person has deleted."""


@dataclass(frozen=True)
class StudyKeys:
    """The names under which files of a study are kept: its unique id, and the tokens of its attempts."""

    uid: str
    tokens: tuple[str, ...] = ()


def read_keys(connection: Connection, name: str) -> StudyKeys | None:
    """Returns the keys of a study of this program; ``None`` where there is none of that name."""
    studies, attempts = own_tables.studies.c, own_tables.attempts.c
    query = select(studies.study_id, studies.uid).join(STUDIES, STUDIES.c.study_id == studies.study_id)
    row = connection.execute(query.where(STUDIES.c.study_name == name)).one_or_none()
    if row is None:
        return None
    tokens = select(attempts.token).where(attempts.study_id == row.study_id)
    return StudyKeys(str(row.uid), tuple(connection.scalars(tokens)))


def delete_rows(connection: Connection, name: str) -> bool:
    """Deletes all rows of a study, whether this program or Optuna alone has run it; returns whether there was one.

    Call it in a transaction that has checked the writer's lease. Idempotent.
    """
    study_id = study_id_of(connection, name)
    if study_id is None:
        return False
    for table in own_tables.OF_A_STUDY:
        connection.execute(delete(table).where(table.c.study_id == study_id))
    delete_study(connection, study_id)
    return True


def delete_mentions(connection: Connection, name: str, at: float) -> None:
    """Deletes the commands about a study, and notes in its planned runs that a person has deleted it.

    A command that waits would otherwise be applied to the next study of that name. One to delete it stays until it is
    answered.

    Args:
        connection: As of ``delete_rows``.
        name: Of the study.
        at: The time, in seconds since the epoch.
    """
    commands = own_tables.commands.c
    answered = commands.answer.is_not(None) | (commands.operation != DELETE)
    connection.execute(delete(own_tables.commands).where(commands.study == name, answered))
    slots = own_tables.slots
    gone = {"state": "deleted", "reason": BY_HAND, "report": "", "decided": at, "spec": None}
    with_study = slots.c.state.in_(("running", "ended", "deleting"))
    connection.execute(update(slots).where(slots.c.study == name, with_study).values(gone))
