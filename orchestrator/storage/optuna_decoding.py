"""Decodes values as Optuna stores them: parameters, final values, times."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from orchestrator.storage.optuna_tables import PARAMS, VALUES, Kind, from_stored


def final_value(value: float | None, kind: Kind | None) -> float | None:
    """Returns a value that a trial ended with; None where it has none."""
    return None if kind is None else from_stored(value, kind)


def seconds(at: datetime | None) -> float | None:
    """Returns a moment, which is stored as naive UTC, in seconds since the epoch."""
    return None if at is None else at.replace(tzinfo=UTC).timestamp()


def local(at: datetime | None) -> datetime | None:
    """Returns a moment, which is stored as naive UTC, in naive local time, as every FrozenTrial has it."""
    return None if at is None else at.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)


def decoder(distribution: str) -> Callable[[float], Any]:
    """Returns what makes of a stored number the value of a parameter, given the JSON of its distribution."""
    kind = json.loads(distribution)
    match kind.get("name"):
        case "FloatDistribution":
            return float
        case "IntDistribution":
            return int
        case "CategoricalDistribution":
            choices = kind["attributes"]["choices"]
            return lambda stored: choices[int(stored)]
    # Optuna of long ago had other kinds, which it still reads.
    from optuna.distributions import json_to_distribution

    return json_to_distribution(distribution).to_external_repr


def read_params(connection: Connection, trial_id: int) -> dict[str, Any]:
    """Returns the parameters of a trial, in the order in which it got them."""
    query = select(PARAMS).where(PARAMS.c.trial_id == trial_id).order_by(PARAMS.c.param_id)
    return {row.param_name: decoder(row.distribution_json)(row.param_value) for row in connection.execute(query)}


def read_values(connection: Connection, trial_id: int) -> tuple[float, ...]:
    """Returns the values that a trial ended with, one for each objective, or none."""
    query = select(VALUES).where(VALUES.c.trial_id == trial_id).order_by(VALUES.c.objective)
    return tuple(from_stored(row.value, row.value_type) for row in connection.execute(query))
