"""The table of commands to the control plane, and of their answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import select

from orchestrator.model.commands import Command
from orchestrator.storage.database import Database
from orchestrator.storage.own_tables import commands
from orchestrator.storage.sql_dialects import insert_or_ignore


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
        statement = insert_or_ignore(self._database.dialect, commands)
        with self._database.write() as connection:
            for each in orders:
                row = {
                    "key": each.key,
                    "issuer": issuer,
                    "operation": each.operation,
                    "study": each.study,
                    "payload": json.dumps(each.payload),
                    "created": time.time(),
                }
                connection.execute(statement, row)

    def answer(self, key: str) -> str | None:
        """Returns the answer to a command, or ``None`` while there is none."""
        with self._database.read() as connection:
            return connection.scalar(select(commands.c.answer).where(commands.c.key == key))
