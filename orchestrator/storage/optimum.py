"""The best of a study, found in the database without reading what its trials reported."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Select, case, literal, not_, select

from orchestrator.notices import Best
from orchestrator.storage.reading import final_value, read_params, read_values
from orchestrator.storage.theirs import SYSTEM_ATTRS, TRIALS, VALUES, from_stored


def violating() -> Select[Any]:
    """Selects the ids of the trials that violate a constraint of theirs."""
    return select(SYSTEM_ATTRS.c.trial_id).where(
        SYSTEM_ATTRS.c.key.like("constraints:%"),
        sqlalchemy.cast(SYSTEM_ATTRS.c.value_json, sqlalchemy.Float) > 0,
    )


def read_best(connection: Connection, study_id: int, *, maximize: bool) -> Best | None:
    """Returns the best completed trial as Optuna sees it: feasible, and of equals the one with the lowest number."""
    return next(iter(read_bests(connection, study_id, 1, maximize=maximize)), None)


def read_bests(connection: Connection, study_id: int, most: int, *, maximize: bool) -> list[Best]:
    """Returns the best completed trials, at most so many, the best one first."""
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
        .where(TRIALS.c.study_id == study_id, TRIALS.c.state == "COMPLETE", not_(TRIALS.c.trial_id.in_(violating())))
        .order_by(*order, TRIALS.c.number)
        .limit(most)
    )
    return [
        Best(
            number=row.number,
            value=from_stored(row.value, row.value_type),
            params=read_params(connection, row.trial_id),
        )
        for row in connection.execute(query).all()
    ]


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
        select(TRIALS.c.number, VALUES.c.value, VALUES.c.value_type)
        .join(VALUES, VALUES.c.trial_id == TRIALS.c.trial_id)
        .where(TRIALS.c.study_id == study_id, TRIALS.c.state == "COMPLETE", not_(TRIALS.c.trial_id.in_(violating())))
        .order_by(TRIALS.c.number, VALUES.c.objective)
    )
    values: dict[int, list[float]] = defaultdict(list)
    for row in connection.execute(query):
        value = final_value(row.value, row.value_type)
        if value is not None:
            values[row.number].append(value)
    # Heavy, and few studies have several objectives.
    from optuna.trial import TrialState, create_trial

    from orchestrator.optima import front_of, in_memory

    complete = [create_trial(state=TrialState.COMPLETE, values=each) for each in values.values()]
    numbers = list(values)
    # In a study of these alone a trial's number is its place among them.
    return [numbers[each.number] for each in front_of(in_memory(complete, directions)) or ()]
