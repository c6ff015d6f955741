"""This program's tables, beside Optuna's in the same database. Times are seconds since the epoch, in UTC.

They are made and changed by ``migrations`` alone; a test holds both to each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    text,
)

from orchestrator.model.changeset import AttemptRow
from orchestrator.model.lifecycle import LIVE
from orchestrator.model.planned_run import OPEN

metadata = MetaData()
# Optuna's own table, named here only so that foreign keys can point at it; it is never created from this.
Table("studies", metadata, Column("study_id", Integer, primary_key=True))

meta = Table("orchestrator_meta", metadata, Column("schema_version", Integer, primary_key=True))
"""The version that programs from before ``migrations`` look for; revisions that they can work with leave it alone."""

writer = Table(
    "orchestrator_writer",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("term", BigInteger, nullable=False),
    Column("holder", String(255), nullable=False),
    Column("backend", BigInteger),
    Column("expires", Float(53), nullable=False),
)
"""One row: the writer, the end of its lease by the database's clock, and its term."""

studies = Table(
    "orchestrator_studies",
    metadata,
    Column("study_id", Integer, ForeignKey("studies.study_id", ondelete="CASCADE"), primary_key=True),
    Column("uid", String(36), nullable=False, unique=True),
    Column("spec", Text, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("changed", Float(53), nullable=False),
)

attempts = Table(
    "orchestrator_attempts",
    metadata,
    Column("token", String(36), primary_key=True),
    Column("study_id", Integer, ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False),
    Column("trial", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", Float(53), nullable=False),
    Column("runner", String(64), nullable=False),
    Column("acknowledged", BigInteger, nullable=False),
    Column("cause", Text, nullable=False),
    Column("verdict", String(64), nullable=False),
    Column("verdict_step", BigInteger),
    Column("host", Text, nullable=False),
    Column("pid", BigInteger),
    Column("slot", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("sent", Float(53)),
    Column("started", Float(53)),
    Column("ended", Float(53)),
    Column("gap", Float(53)),
    Column("latency", Float(53)),
    Column("signal_latency", Float(53)),
    UniqueConstraint("study_id", "trial", "number"),
)

ATTEMPT_COLUMNS = tuple(attempts.c[each.name] for each in fields(AttemptRow))
"""The columns of an ``AttemptRow``, in the order of its fields."""


def _in_state(states: Iterable[str]) -> TextClause:
    return text("state IN ({})".format(", ".join(f"'{state}'" for state in sorted(states))))


_live = _in_state(LIVE)
Index(
    "orchestrator_one_live_attempt",
    attempts.c.study_id,
    attempts.c.trial,
    unique=True,
    sqlite_where=_live,
    postgresql_where=_live,
)


def _grounds() -> tuple[Column[Any], ...]:
    """The columns of a decision; see ``changeset.DecisionRow``."""
    return (
        Column("trial", Integer, nullable=False),
        Column("action", String(16), nullable=False),
        Column("rule", String(64), nullable=False),
        Column("step", BigInteger, nullable=False),
        Column("value", Float(53)),
        Column("threshold", Float(53)),
        Column("peers", Integer, nullable=False),
        Column("at", Float(53), nullable=False),
    )


decisions = Table(
    "orchestrator_decisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False),
    *_grounds(),
    UniqueConstraint("study_id", "trial", "action", "step"),
)
"""Decisions that did something, or that a shadow rule would have taken."""

closest = Table(
    "orchestrator_closest",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False),
    *_grounds(),
    UniqueConstraint("study_id", "trial"),
)
"""Of each trial the decision that let it go on by the smallest margin."""

checkpoints = Table(
    "orchestrator_checkpoints",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False),
    Column("trial", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("location", String(512), nullable=False),
    Column("digest", String(128), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("at", Float(53), nullable=False),
    UniqueConstraint("study_id", "location"),
)
"""Checkpoints that a trial may resume from; a row is deleted when its file is no longer needed."""

redone = Table(
    "orchestrator_redone",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("trial", Integer, nullable=False),
    Column("step", BigInteger, nullable=False),
    Column("value", String(32), nullable=False),
    UniqueConstraint("study_id", "trial", "step", "value"),
)
"""Values of epochs that were trained again after a loss, as text, where a NaN equals itself.

The first values stand in Optuna's table.
"""

commands = Table(
    "orchestrator_commands",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("key", String(64), nullable=False, unique=True),
    Column("issuer", Text, nullable=False),
    Column("operation", String(32), nullable=False),
    Column("study", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("created", Float(53), nullable=False),
    Column("answer", Text),
)
"""Commands to the control plane. ``answer`` is null until the command was applied."""

notes = Table(
    "orchestrator_notes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False, index=True),
    Column("key", String(128), nullable=False, unique=True),
    Column("event", String(16), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("body", Text, nullable=False),
    Column("at", Float(53), nullable=False),
    Column("state", String(16), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("detail", Text, nullable=False),
    Column("changed", Float(53), nullable=False),
)
"""Notifications, sent or still to be sent; see ``changeset.NoteRow`` and ``notifications.DeliveryState``."""

code = Table(
    "orchestrator_code",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", Integer, ForeignKey("studies.study_id", ondelete="CASCADE"), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("archive", LargeBinary, nullable=False),
    Column("author", LargeBinary, nullable=False),
    Column("added", Float(53), nullable=False),
    UniqueConstraint("study_id", "digest"),
)
"""Code bundles that trials of a study have run, packed; ``author`` is the signature of the digest, or empty."""

# -- schedules: the rows of these two tables belong to no study, and outlive the studies that they name

schedules = Table(
    "orchestrator_schedules",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("definition", Text, nullable=False),
    Column("since", BigInteger, nullable=False),
)
"""The timetable of each schedule, and since when it holds: no earlier time counts as missed."""

slots = Table(
    "orchestrator_slots",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("schedule", String(128), nullable=False),
    Column("planned", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("study", String(128), nullable=False),
    Column("manual", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("report", Text, nullable=False),
    Column("decided", Float(53), nullable=False),
    Column("spec", Text),
    Column("result", Text),
    UniqueConstraint("schedule", "planned"),
)
"""Planned runs, by timetable or by a person; see ``planned_run.PlannedRun``."""

_open = _in_state(OPEN)
Index("orchestrator_open_slots", slots.c.schedule, sqlite_where=_open, postgresql_where=_open)

OF_A_STUDY = (attempts, decisions, closest, checkpoints, redone, notes, code, studies)
"""The tables whose rows belong to one study."""

_GONE = "".join(f"DELETE FROM {table.name} WHERE study_id = OLD.study_id; " for table in OF_A_STUDY)
CREATE_CASCADE = f"CREATE TRIGGER IF NOT EXISTS orchestrator_forgets AFTER DELETE ON studies BEGIN {_GONE}END"
"""Has SQLite delete this program's rows of a study with the study, as PostgreSQL does by its foreign keys.

SQLite enforces those only on connections that ask for it, which Optuna's do not, and gives the id of a deleted study to
the next one, to which the rows would belong then.
"""

DROP_CASCADE = "DROP TRIGGER IF EXISTS orchestrator_forgets"
"""Comes before a revision: SQLite renames no table while a trigger names a table that is not there."""

DELETE_ORPHANS = tuple(
    f"DELETE FROM {table.name} WHERE study_id NOT IN (SELECT study_id FROM studies)" for table in OF_A_STUDY
)
"""Delete the rows of studies that were deleted before the database had the trigger."""
