"""The results of planned runs, which outlive their studies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Adds the column of results."""
    op.add_column("orchestrator_slots", sa.Column("result", sa.Text))
