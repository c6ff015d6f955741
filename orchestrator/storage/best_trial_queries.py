"""Queries for the best trials of a study, without reading the trials' reports."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Row, Select, case, literal, or_, select

from orchestrator.model.progress_events import Best
from orchestrator.model.ranking import feasible
from orchestrator.storage.optuna_decoding import final_value, read_params, read_values
from orchestrator.storage.optuna_tables import SYSTEM_ATTRS, TRIALS, VALUES, from_stored
from tasks.constraints import KEY, PREFIX, constraints_of, is_feasible

_FIRST, _MOST = 10, 10_000
"""Chunk sizes, first and largest, in which constraints are read: mostly the first trial is feasible."""


def read_constraints(
    connection: Connection, study_id: int, ids: Collection[int] | None = None
) -> dict[int, list[float]]:
    """Returns the constraints of a study's trials that have any, of those with these ids where they are given; by
    Optuna's id of the trial."""
    query = select(SYSTEM_ATTRS.c.trial_id, SYSTEM_ATTRS.c.key, SYSTEM_ATTRS.c.value_json).where(
        or_(SYSTEM_ATTRS.c.key == KEY, SYSTEM_ATTRS.c.key.like(f"{PREFIX}%"))
    )
    if ids is None:
        query = query.join(TRIALS, TRIALS.c.trial_id == SYSTEM_ATTRS.c.trial_id).where(TRIALS.c.study_id == study_id)
    else:
        query = query.where(SYSTEM_ATTRS.c.trial_id.in_(ids))
    attributes: dict[int, dict[str, Any]] = defaultdict(dict)
    for row in connection.execute(query):
        attributes[row.trial_id][row.key] = json.loads(row.value_json)
    return {trial: list(constraints_of(found).values()) for trial, found in attributes.items()}


def read_best(connection: Connection, study_id: int, *, maximize: bool) -> Best | None:
    """Returns the best completed trial as Optuna sees it: feasible, and of equals the one with the lowest number."""
    return next(iter(read_bests(connection, study_id, 1, maximize=maximize)), None)


def read_bests(connection: Connection, study_id: int, most: int, *, maximize: bool) -> list[Best]:
    """Returns the best completed trials that satisfy their constraints, at most so many, the best one first."""
    # Infinities are stored as a kind, not as a number.
    size = case(
        (VALUES.c.value_type == "INF_POS", sqlalchemy.cast(literal(1), sqlalchemy.Integer)),
        (VALUES.c.value_type == "INF_NEG", literal(-1)),
        else_=literal(0),
    )
    order = [size.desc(), VALUES.c.value.desc()] if maximize else [size, VALUES.c.value]
    query = (
        select(TRIALS.c.trial_id, TRIALS.c.number, VALUES.c.value, VALUES.c.value_type)
        .join(VALUES, VALUES.c.trial_id == TRIALS.c.trial_id)
        .where(TRIALS.c.study_id == study_id, TRIALS.c.state == "COMPLETE", VALUES.c.objective == 0)
        .order_by(*order, TRIALS.c.number)
    )
    return [
        Best(
            number=row.number,
            value=from_stored(row.value, row.value_type),
            params=read_params(connection, row.trial_id),
        )
        for row in itertools.islice(_feasible(connection, study_id, query), most)
    ]


def _feasible(connection: Connection, study_id: int, query: Select[Any]) -> Iterator[Row[Any]]:
    """Yields the rows of trials that satisfy their constraints; not many more are read than are asked for."""
    known: dict[int, list[float]] = {}

    def in_order() -> Iterator[Row[Any]]:
        read, size = 0, _FIRST
        while rows := connection.execute(query.offset(read).limit(size)).all():
            known.update(read_constraints(connection, study_id, [row.trial_id for row in rows]))
            yield from rows
            read, size = read + len(rows), min(10 * size, _MOST)

    yield from feasible(in_order(), lambda row: known.get(row.trial_id, ()))


def read_optima(connection: Connection, study_id: int, directions: Sequence[str], most: int) -> list[Best]:
    """Returns the trials on the Pareto front, at most so many, by first value, which is theirs here."""
    numbers = read_front(connection, study_id, directions)[:most]
    query = select(TRIALS.c.trial_id, TRIALS.c.number).where(
        TRIALS.c.study_id == study_id, TRIALS.c.number.in_(numbers)
    )
    ids = {row.number: row.trial_id for row in connection.execute(query)}
    return [
        Best(
            number=number,
            value=read_values(connection, ids[number])[0],
            params=read_params(connection, ids[number]),
        )
        for number in numbers
    ]


def read_front(connection: Connection, study_id: int, directions: Sequence[str]) -> list[int]:
    """Returns the numbers of the trials on the Pareto front, by first value, best first."""
    query = (
        select(TRIALS.c.trial_id, TRIALS.c.number, VALUES.c.value, VALUES.c.value_type)
        .join(VALUES, VALUES.c.trial_id == TRIALS.c.trial_id)
        .where(TRIALS.c.study_id == study_id, TRIALS.c.state == "COMPLETE")
        .order_by(TRIALS.c.number, VALUES.c.objective)
    )
    constraints = read_constraints(connection, study_id)
    values: dict[int, list[float]] = defaultdict(list)
    for row in connection.execute(query):
        value = final_value(row.value, row.value_type)
        if value is not None and is_feasible(constraints.get(row.trial_id, ())):
            values[row.number].append(value)
    # Heavy, and few studies have several objectives.
    from optuna.trial import TrialState, create_trial

    from orchestrator.sampling.best_trials import front_of, in_memory

    complete = [create_trial(state=TrialState.COMPLETE, values=each) for each in values.values()]
    numbers = list(values)
    # In a study of these alone a trial's number is its place among them.
    return [numbers[each.number] for each in front_of(in_memory(complete, directions)) or ()]
