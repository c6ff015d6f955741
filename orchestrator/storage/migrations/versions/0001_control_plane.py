"""Studies, attempts, decisions, commands, and the lease of their writer."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_LIVE = sa.text("state IN ('queued', 'running', 'sent', 'stopping')")


def upgrade() -> None:
    """Makes the first tables."""
    # The mark that programs from before Alembic read, which refuse a number above their own.
    op.create_table("orchestrator_meta", sa.Column("schema_version", sa.Integer, primary_key=True))
    op.execute("INSERT INTO orchestrator_meta VALUES (1)")
    op.create_table(
        "orchestrator_writer",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("term", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("backend", sa.BigInteger),
        sa.Column("expires", sa.Float(53), nullable=False),
    )
    op.create_table(
        "orchestrator_studies",
        sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.study_id", ondelete="CASCADE"), primary_key=True),
        sa.Column("uid", sa.String(36), nullable=False, unique=True),
        sa.Column("spec", sa.Text, nullable=False),
        sa.Column("seed", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("changed", sa.Float(53), nullable=False),
    )
    op.create_table(
        "orchestrator_attempts",
        sa.Column("token", sa.String(36), primary_key=True),
        sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False),
        sa.Column("trial", sa.Integer, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("runner", sa.String(64), nullable=False),
        sa.Column("acknowledged", sa.BigInteger, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.Column("verdict", sa.String(64), nullable=False),
        sa.Column("verdict_step", sa.BigInteger),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("pid", sa.BigInteger),
        sa.Column("slot", sa.Text, nullable=False),
        sa.Column("device", sa.Text, nullable=False),
        sa.Column("sent", sa.Float(53)),
        sa.Column("started", sa.Float(53)),
        sa.Column("ended", sa.Float(53)),
        sa.Column("gap", sa.Float(53)),
        sa.Column("latency", sa.Float(53)),
        sa.Column("signal_latency", sa.Float(53)),
        sa.UniqueConstraint("study_id", "trial", "number"),
    )
    op.create_index(
        "orchestrator_one_live_attempt",
        "orchestrator_attempts",
        ["study_id", "trial"],
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    )
    op.create_table(
        "orchestrator_decisions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False),
        sa.Column("trial", sa.Integer, nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Float(53)),
        sa.Column("threshold", sa.Float(53)),
        sa.Column("peers", sa.Integer, nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.UniqueConstraint("study_id", "trial"),
    )
    op.create_table(
        "orchestrator_redone",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "study_id", sa.Integer, sa.ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("trial", sa.Integer, nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("value", sa.String(32), nullable=False),
        sa.UniqueConstraint("study_id", "trial", "step", "value"),
    )
    op.create_table(
        "orchestrator_commands",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("operation", sa.String(32), nullable=False),
        sa.Column("study", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("created", sa.Float(53), nullable=False),
        sa.Column("answer", sa.Text),
    )
