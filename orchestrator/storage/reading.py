"""How Optuna stores single things, read back: values that may be no finite numbers, parameters, moments."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.storages._rdb import models
from sqlalchemy import Connection, select

from orchestrator.storage.theirs import PARAMS, VALUES

_decode_report = models.TrialIntermediateValueModel.stored_repr_to_intermediate_value


def final_value(value: float | None, kind: Any) -> float | None:
    """Returns a value that a trial ended with; None where it has none."""
    return None if kind is None else models.TrialValueModel.stored_repr_to_value(value, kind)


def reported_value(value: float | None, kind: Any) -> float:
    """Returns a value that a trial reported."""
    return _decode_report(value, kind) if value is None else value


def seconds(at: datetime | None) -> float | None:
    """Returns a moment, which is stored as naive UTC, in seconds since the epoch."""
    return None if at is None else at.replace(tzinfo=UTC).timestamp()


def read_params(connection: Connection, trial_id: int) -> dict[str, Any]:
    """Returns the parameters of a trial, in the order in which it got them."""
    query = select(PARAMS).where(PARAMS.c.trial_id == trial_id).order_by(PARAMS.c.param_id)
    return {
        row.param_name: json_to_distribution(row.distribution_json).to_external_repr(row.param_value)
        for row in connection.execute(query)
    }


def read_values(connection: Connection, trial_id: int) -> tuple[float, ...]:
    """Returns the values that a trial ended with, one for each objective, or none."""
    query = select(VALUES).where(VALUES.c.trial_id == trial_id).order_by(VALUES.c.objective)
    stored = (final_value(row.value, row.value_type) for row in connection.execute(query))
    return tuple(value for value in stored if value is not None)
