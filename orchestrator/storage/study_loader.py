"""Loads a study in one transaction: Optuna's trials, attempts, decisions."""

from __future__ import annotations

import functools
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Column, Connection, Row, Table, func, select

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
    attributes = _study_attrs(connection, STUDY_SYSTEM_ATTRS, study_id)
    snapshot = Snapshot(spec=spec, uid="", seed=0, state="finished", trials=trials, study_system_attrs=attributes)
    return LoadedStudy(snapshot, [], 0, optunas=True)


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
    columns = PARAMS.c.param_name, PARAMS.c.param_value, PARAMS.c.distribution_json
    for trial, name, value, text in _of_trials(connection, columns, study_id, PARAMS.c.param_id):
        kind = distribution(text)
        params[trial][name] = kind.to_external_repr(value)
        distributions[trial][name] = kind
    values: dict[int, list[float]] = defaultdict(list)
    for trial, value, kind in _of_trials(
        connection, (VALUES.c.value, VALUES.c.value_type), study_id, VALUES.c.objective
    ):
        values[trial].append(from_stored(value, kind))
    steps: dict[int, dict[int, float]] = defaultdict(dict)
    columns = STEPS.c.step, STEPS.c.intermediate_value, STEPS.c.intermediate_value_type
    for trial, step, value, kind in _of_trials(connection, columns, study_id, STEPS.c.trial_intermediate_value_id):
        steps[trial][step] = from_stored(value, kind)
    attributes = []
    for table in (USER_ATTRS, SYSTEM_ATTRS):
        found: dict[int, dict[str, Any]] = defaultdict(dict)
        for trial, key, text in _of_trials(connection, (table.c.key, table.c.value_json), study_id, table.c.key):
            found[trial][key] = json.loads(text)
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


def _of_trials(
    connection: Connection, columns: Sequence[Column[Any]], study_id: int, order: Column[Any]
) -> Sequence[Row[*tuple[Any, ...]]]:
    """Returns, by ``order``, the rows of a table of trials: Optuna's id of the trial, then ``columns``."""
    table = columns[0].table
    query = select(table.c.trial_id, *columns).join(TRIALS, TRIALS.c.trial_id == table.c.trial_id)
    # At once: to ask for one after the other costs more than to read them.
    return connection.execute(query.where(TRIALS.c.study_id == study_id).order_by(order)).all()
