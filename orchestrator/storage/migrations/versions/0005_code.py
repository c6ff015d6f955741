"""The code bundles of studies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Makes the table of code bundles."""
    op.create_table(
        "orchestrator_code",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("archive", sa.LargeBinary, nullable=False),
        sa.Column("author", sa.LargeBinary, nullable=False),
        sa.Column("added", sa.Float(53), nullable=False),
        sa.UniqueConstraint("study_id", "digest"),
    )
