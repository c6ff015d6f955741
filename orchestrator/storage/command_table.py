"""The table of commands to the control plane, and of their answers."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete, func, or_, select, update

from orchestrator.model.commands import Command
from orchestrator.model.planned_run import OPERATION
from orchestrator.storage.database import Database
from orchestrator.storage.own_tables import commands
from orchestrator.storage.sql_dialects import Transaction, insert_new_rows, integers, is_among, update_rows

LONGEST_KEPT = 1 << 20
"""Characters of the payload of a command that are kept once it was answered."""


class CommandTable:
    """Adds commands and reads answers. It needs the right to write to the database, not the writer's lease.

    Args:
        database: Prepared tables.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def issue(self, key: str, issuer: str, operation: str, study: str, payload: Mapping[str, Any]) -> None:
        """Adds a command for the control plane. The same key twice is one command."""
        self.issue_all(issuer, [Command(0, key, operation, study, dict(payload))])

    def issue_all(self, issuer: str, orders: Iterable[Command]) -> None:
        """Adds all commands or none. A key that exists is left out; the ids of ``orders`` are ignored."""
        rows = [
            {
                "key": each.key,
                "issuer": issuer,
                "operation": each.operation,
                "study": each.study,
                "payload": json.dumps(each.payload),
                "created": time.time(),
            }
            for each in orders
        ]
        with self._database.write() as connection:
            insert_new_rows(connection, commands, rows)

    def answer(self, key: str) -> str | None:
        """Returns the answer to a command, or ``None`` while there is none."""
        with self._database.read() as connection:
            return connection.scalar(select(commands.c.answer).where(commands.c.key == key))

    def withdraw(self, key: str) -> bool:
        """Deletes a command that was not applied yet; returns whether it was there."""
        with self._database.write() as connection:
            query = delete(commands).where(commands.c.key == key, commands.c.answer.is_(None))
            return connection.execute(query).rowcount > 0


def write_answers(connection: Transaction, answers: Mapping[int, str]) -> None:
    """Writes the answers to commands, by their id."""
    if not answers:
        return
    update_rows(connection, commands, ("id",), [{"id": id, "answer": answer} for id, answer in answers.items()])
    # A schedule asks for ever: its orders are as long as its spec, which is written down with the study. So is the
    # code that a spec carries.
    dialect = connection.dialect.name
    connection.execute(_without_payload(dialect), {"answered": integers(dialect, answers)})


@functools.cache
def _without_payload(dialect: str) -> Any:
    answered = is_among(dialect, commands.c.id, "answered")
    is_long = or_(commands.c.operation == OPERATION, func.length(commands.c.payload) > LONGEST_KEPT)
    return update(commands).where(is_long, answered).values(payload="{}")
