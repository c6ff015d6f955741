"""Promotion, checkpoints and shadow rules: a trial may have several decisions, and an attempt may be paused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_LIVE = sa.text("state IN ('paused', 'queued', 'running', 'sent', 'stopping')")

# PostgreSQL gave the unnamed constraint this name; Alembic gives it to SQLite's by the naming convention.
_NAMES = {"uq": "%(table_name)s_%(column_0_N_name)s_key"}
_ONE_A_TRIAL = "orchestrator_decisions_study_id_trial_key"
_ONE_A_STEP = "orchestrator_decisions_study_id_trial_action_step_key"


def upgrade() -> None:
    """Extends decisions by what they did: until then, each had pruned its trial."""
    op.execute("UPDATE orchestrator_meta SET schema_version = 2")
    with op.batch_alter_table("orchestrator_decisions", naming_convention=_NAMES) as decisions:
        decisions.add_column(sa.Column("action", sa.String(16), nullable=False, server_default="prune"))
        decisions.drop_constraint(_ONE_A_TRIAL, type_="unique")
        decisions.create_unique_constraint(_ONE_A_STEP, ["study_id", "trial", "action", "step"])
    with op.batch_alter_table("orchestrator_decisions") as decisions:
        decisions.alter_column("action", existing_type=sa.String(16), existing_nullable=False, server_default=None)
    op.drop_index("orchestrator_one_live_attempt", "orchestrator_attempts")
    op.create_index(
        "orchestrator_one_live_attempt",
        "orchestrator_attempts",
        ["study_id", "trial"],
        unique=True,
        sqlite_where=_LIVE,
        postgresql_where=_LIVE,
    )
    op.create_table(
        "orchestrator_closest",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False),
        sa.Column("trial", sa.Integer, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("rule", sa.String(64), nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("value", sa.Float(53)),
        sa.Column("threshold", sa.Float(53)),
        sa.Column("peers", sa.Integer, nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.UniqueConstraint("study_id", "trial"),
    )
    op.create_table(
        "orchestrator_checkpoints",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("study_id", sa.Integer, sa.ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False),
        sa.Column("trial", sa.Integer, nullable=False),
        sa.Column("step", sa.BigInteger, nullable=False),
        sa.Column("location", sa.String(512), nullable=False),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.UniqueConstraint("study_id", "location"),
    )
