"""Schedules and their planned runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_OPEN = sa.text("state IN ('deleting', 'running', 'waiting')")


def upgrade() -> None:
    """Makes the tables of schedules."""
    op.create_table(
        "orchestrator_schedules",
        sa.Column("name", sa.String(128), primary_key=True),
        sa.Column("definition", sa.Text, nullable=False),
        sa.Column("since", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "orchestrator_slots",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("schedule", sa.String(128), nullable=False),
        sa.Column("planned", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("study", sa.String(128), nullable=False),
        sa.Column("manual", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.Column("decided", sa.Float(53), nullable=False),
        sa.Column("spec", sa.Text),
        sa.UniqueConstraint("schedule", "planned"),
    )
    op.create_index(
        "orchestrator_open_slots", "orchestrator_slots", ["schedule"], sqlite_where=_OPEN, postgresql_where=_OPEN
    )
