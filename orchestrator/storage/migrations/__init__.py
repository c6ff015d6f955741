"""Alembic revisions of this program's own tables. Optuna's tables, and its ``alembic_version``, are never touched."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text

from orchestrator.storage.own_tables import DROP_CASCADE

VERSION_TABLE: Final = "orchestrator_alembic_version"
"""Names the revision of the database."""

REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005", "0006")
"""All revisions, the oldest first. A command that only reads compares them without importing Alembic."""

HEAD: Final = REVISIONS[-1]

_LOCK: Final = text("SELECT pg_advisory_xact_lock(hashtext('orchestrator.migrations'))")


def lock(connection: Connection) -> None:
    """Waits until no other process upgrades this database; the lock lasts as long as the transaction.

    SQLite's transactions exclude each other without it.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(_LOCK)


def upgrade(connection: Connection, found: str | None) -> None:
    """Runs the revisions that the database lacks, in the caller's transaction.

    Args:
        connection: A transaction that writes and holds ``lock``.
        found: The revision of the tables; ``None`` where there are none.
    """
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(DROP_CASCADE)
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent))
    if found is not None:
        # Databases from before the first release with Alembic do not name their revision.
        command.stamp(config, found)
    command.upgrade(config, "head")
