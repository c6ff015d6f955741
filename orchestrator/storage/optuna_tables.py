"""Optuna's tables, as far as anything of them is read or written here, and how it stores a number.

Named here, and not taken from Optuna's own models: these are private to it, and a look at a study would have to import
all of Optuna, half a second of it, for ten names. That both agree is a test's business. The tables are made by Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, Literal

from sqlalchemy import (
    Column,
    Connection,
    DateTime,
    Enum,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    delete,
    select,
)

Kind = Literal["FINITE", "INF_POS", "INF_NEG", "NAN"]
"""What a number is; only a finite one stands in its own column."""

_OTHERS: Mapping[Kind, float] = {"INF_POS": math.inf, "INF_NEG": -math.inf, "NAN": math.nan}

metadata = MetaData()

STUDIES: Final = Table(
    "studies",
    metadata,
    Column("study_id", Integer, primary_key=True),
    Column("study_name", String(512), index=True, unique=True, nullable=False),
)
DIRECTIONS: Final = Table(
    "study_directions",
    metadata,
    Column("study_direction_id", Integer, primary_key=True),
    Column("direction", Enum("NOT_SET", "MINIMIZE", "MAXIMIZE", name="studydirection"), nullable=False),
    Column("study_id", Integer, ForeignKey("studies.study_id"), nullable=False),
    Column("objective", Integer, nullable=False),
)
TRIALS: Final = Table(
    "trials",
    metadata,
    Column("trial_id", Integer, primary_key=True),
    Column("number", Integer),
    Column("study_id", Integer, ForeignKey("studies.study_id"), index=True),
    Column("state", Enum("RUNNING", "COMPLETE", "PRUNED", "FAIL", "WAITING", name="trialstate"), nullable=False),
    Column("datetime_start", DateTime),
    Column("datetime_complete", DateTime),
)
PARAMS: Final = Table(
    "trial_params",
    metadata,
    Column("param_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id")),
    Column("param_name", String(512)),
    Column("param_value", Float(53)),
    Column("distribution_json", Text),
)
VALUES: Final = Table(
    "trial_values",
    metadata,
    Column("trial_value_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id"), nullable=False),
    Column("objective", Integer, nullable=False),
    Column("value", Float(53)),
    # Checked before it is written: SQLite takes any text, and Optuna could not read it.
    Column(
        "value_type",
        Enum("FINITE", "INF_POS", "INF_NEG", name="trialvaluetype", validate_strings=True),
        nullable=False,
    ),
)
STEPS: Final = Table(
    "trial_intermediate_values",
    metadata,
    Column("trial_intermediate_value_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id"), nullable=False),
    Column("step", Integer, nullable=False),
    Column("intermediate_value", Float(53)),
    Column(
        "intermediate_value_type",
        Enum("FINITE", "INF_POS", "INF_NEG", "NAN", name="trialintermediatevaluetype"),
        nullable=False,
    ),
)
HEARTBEATS: Final = Table(
    "trial_heartbeats",
    metadata,
    Column("trial_heartbeat_id", Integer, primary_key=True),
    Column("trial_id", Integer, ForeignKey("trials.trial_id"), nullable=False),
    Column("heartbeat", DateTime, nullable=False),
)


def _attributes(table: str, of: str, owner: str) -> Table:
    return Table(
        table,
        metadata,
        Column(f"{of}_id", Integer, primary_key=True),
        Column(f"{owner}_id", Integer, ForeignKey(f"{'studies' if owner == 'study' else 'trials'}.{owner}_id")),
        Column("key", String(512)),
        Column("value_json", Text),
    )


STUDY_USER_ATTRS: Final = _attributes("study_user_attributes", "study_user_attribute", "study")
STUDY_SYSTEM_ATTRS: Final = _attributes("study_system_attributes", "study_system_attribute", "study")
USER_ATTRS: Final = _attributes("trial_user_attributes", "trial_user_attribute", "trial")
SYSTEM_ATTRS: Final = _attributes("trial_system_attributes", "trial_system_attribute", "trial")


def from_stored(value: float | None, kind: Kind) -> float:
    """Returns the number that was stored so, by ``batch_writer.to_stored`` or by Optuna."""
    return _OTHERS[kind] if value is None else value


def study_id_of(connection: Connection, name: str) -> int | None:
    """Returns Optuna's id of a study; ``None`` where there is none of that name."""
    return connection.scalar(select(STUDIES.c.study_id).where(STUDIES.c.study_name == name))


def delete_study(connection: Connection, study_id: int) -> None:
    """Deletes a study with everything that Optuna keeps of it, without reading it first, as Optuna would."""
    trials = select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study_id)
    # What refers to others comes before them.
    for table in reversed(metadata.sorted_tables):
        if "study_id" in table.c:
            connection.execute(delete(table).where(table.c.study_id == study_id))
        else:
            connection.execute(delete(table).where(table.c.trial_id.in_(trials)))
