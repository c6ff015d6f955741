"""Loads a study in one transaction: Optuna's trials, attempts, decisions."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, Table, func, select

from orchestrator.engine.state import Snapshot
from orchestrator.model.attribute_keys import SUSPENDED
from orchestrator.model.changeset import AttemptRow, CheckpointRow, DecisionRow
from orchestrator.spec import Spec
from orchestrator.storage import own_tables
from orchestrator.storage.optuna_decoding import local
from orchestrator.storage.optuna_tables import (
    PARAMS,
    STEPS,
    STUDY_SYSTEM_ATTRS,
    STUDY_USER_ATTRS,
    SYSTEM_ATTRS,
    TRIALS,
    USER_ATTRS,
    VALUES,
    from_stored,
)


class LoadedStudy(NamedTuple):
    """A study, the decisions that were made on its trials, and how many epochs were trained a second time; ``optunas``
    says that this program has never run it."""

    snapshot: Snapshot
    decisions: list[DecisionRow]
    redone: int
    optunas: bool = False


def load_study(connection: Connection, study_id: int) -> LoadedStudy:
    """Reads a study of ours; ``study_id`` is Optuna's."""
    row = connection.execute(select(own_tables.studies).where(own_tables.studies.c.study_id == study_id)).one()
    of_study = own_tables.attempts.c.study_id == study_id
    attempts = select(*own_tables.ATTEMPT_COLUMNS).where(of_study)
    attempts = attempts.order_by(own_tables.attempts.c.trial, own_tables.attempts.c.number)
    epochs = select(own_tables.redone.c.trial, own_tables.redone.c.step).where(own_tables.redone.c.study_id == study_id)
    redone = select(func.count()).select_from(epochs.distinct().subquery())
    snapshot = Snapshot(
        spec=Spec.from_json(json.loads(row.spec)),
        uid=row.uid,
        seed=row.seed,
        state=row.state,
        reason=row.reason,
        trials=read_trials(connection, study_id),
        attempts=[AttemptRow(*each) for each in connection.execute(attempts)],
        closest=[
            DecisionRow(*(each[name] for name in DecisionRow._fields))
            for each in _ours(connection, own_tables.closest, study_id, own_tables.closest.c.id)
        ],
        checkpoints=[
            CheckpointRow(*(each[name] for name in CheckpointRow._fields))
            for each in _ours(connection, own_tables.checkpoints, study_id, own_tables.checkpoints.c.id)
        ],
        study_system_attrs={
            key: value
            for key, value in _study_attrs(connection, STUDY_SYSTEM_ATTRS, study_id).items()
            if key != SUSPENDED
        },
        study_user_attrs=_study_attrs(connection, STUDY_USER_ATTRS, study_id),
    )
    decisions = [
        DecisionRow(*(each[name] for name in DecisionRow._fields))
        for each in _ours(connection, own_tables.decisions, study_id, own_tables.decisions.c.id)
    ]
    return LoadedStudy(snapshot, decisions, connection.scalar(redone) or 0)


def load_optunas_study(connection: Connection, study_id: int, name: str, directions: Sequence[str]) -> LoadedStudy:
    """Reads a study that Optuna has made and this program has never run; its spec says no more than is known."""
    trials = read_trials(connection, study_id)
    # Not checked: Optuna takes names that a spec does not.
    spec = Spec.model_construct(
        name=name,
        objective="",
        direction=directions[0],
        directions=tuple(directions) if len(directions) > 1 else (),
        trials=len(trials),
    )
    return LoadedStudy(Snapshot(spec=spec, uid="", seed=0, state="finished", trials=trials), [], 0, optunas=True)


def _study_attrs(connection: Connection, table: Table, study_id: int) -> dict[str, Any]:
    query = select(table).where(table.c.study_id == study_id).order_by(table.c.key)
    return {row.key: json.loads(row.value_json) for row in connection.execute(query)}


def _ours(connection: Connection, table: Table, study_id: int, *order: Any) -> Iterator[Any]:
    yield from connection.execute(select(table).where(table.c.study_id == study_id).order_by(*order)).mappings()


def read_trials(connection: Connection, study_id: int) -> list[FrozenTrial]:
    """Returns the trials by number. One query a table: Optuna's own way of it makes an object of every row."""
    distribution = functools.cache(json_to_distribution)
    params: dict[int, dict[str, Any]] = defaultdict(dict)
    distributions: dict[int, dict[str, BaseDistribution]] = defaultdict(dict)
    for row in _of_trials(connection, PARAMS, study_id, PARAMS.c.param_id):
        kind = distribution(row.distribution_json)
        params[row.trial_id][row.param_name] = kind.to_external_repr(row.param_value)
        distributions[row.trial_id][row.param_name] = kind
    values: dict[int, list[float]] = defaultdict(list)
    for row in _of_trials(connection, VALUES, study_id, VALUES.c.objective):
        values[row.trial_id].append(from_stored(row.value, row.value_type))
    steps: dict[int, dict[int, float]] = defaultdict(dict)
    for row in _of_trials(connection, STEPS, study_id, STEPS.c.trial_intermediate_value_id):
        steps[row.trial_id][row.step] = from_stored(row.intermediate_value, row.intermediate_value_type)
    attributes = []
    for table in (USER_ATTRS, SYSTEM_ATTRS):
        found: dict[int, dict[str, Any]] = defaultdict(dict)
        for row in _of_trials(connection, table, study_id, table.c.key):
            found[row.trial_id][row.key] = json.loads(row.value_json)
        attributes.append(found)
    query = select(TRIALS).where(TRIALS.c.study_id == study_id).order_by(TRIALS.c.number)
    return [
        FrozenTrial(
            number=row.number,
            state=TrialState[row.state],
            value=None,
            values=values.get(row.trial_id),
            datetime_start=local(row.datetime_start),
            datetime_complete=local(row.datetime_complete),
            params=params.get(row.trial_id, {}),
            distributions=distributions.get(row.trial_id, {}),
            user_attrs=attributes[0].get(row.trial_id, {}),
            system_attrs=attributes[1].get(row.trial_id, {}),
            intermediate_values=steps.get(row.trial_id, {}),
            trial_id=row.trial_id,
        )
        for row in connection.execute(query)
    ]


def _of_trials(connection: Connection, table: Table, study_id: int, order: Any) -> Iterator[Any]:
    query = select(table).join(TRIALS, TRIALS.c.trial_id == table.c.trial_id).where(TRIALS.c.study_id == study_id)
    yield from connection.execute(query.order_by(order))
