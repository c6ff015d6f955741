"""The result of a planned run, read from its study: what is kept when the study is deleted."""

from __future__ import annotations

import json
import math
from typing import Any

from sqlalchemy import Connection, func, select, update

from orchestrator.storage import own_tables
from orchestrator.storage.best_trial_queries import read_best, read_front
from orchestrator.storage.optuna_tables import DIRECTIONS, STEPS, STUDIES, TRIALS


def read_result(connection: Connection, study: str) -> dict[str, Any] | None:
    """Returns the result of a study of this program as plain data; ``None`` where there is none of that name.

    The keys are those of ``planned_run.RunResult``.
    """
    studies = own_tables.studies.c
    query = select(studies.study_id, studies.state).join(STUDIES, STUDIES.c.study_id == studies.study_id)
    row = connection.execute(query.where(STUDIES.c.study_name == study)).one_or_none()
    if row is None:
        return None
    of_it = TRIALS.c.study_id == row.study_id
    states = select(TRIALS.c.state, func.count()).where(of_it).group_by(TRIALS.c.state)
    counted: dict[str, int] = dict(map(tuple, connection.execute(states)))
    epochs = select(func.count()).select_from(STEPS).join(TRIALS, TRIALS.c.trial_id == STEPS.c.trial_id).where(of_it)
    directions = select(DIRECTIONS.c.direction).where(DIRECTIONS.c.study_id == row.study_id)
    found = [each.lower() for each in connection.scalars(directions.order_by(DIRECTIONS.c.objective))]
    best = front = None
    if len(found) > 1:
        front = len(read_front(connection, row.study_id, found))
    else:
        best = read_best(connection, row.study_id, maximize=found == ["maximize"])
    finite = best is not None and math.isfinite(best.value)
    return {
        "state": row.state,
        "complete": counted.get("COMPLETE", 0),
        "pruned": counted.get("PRUNED", 0),
        "failed": counted.get("FAIL", 0),
        "epochs": connection.scalar(epochs) or 0,
        "best": best.value if best is not None and finite else None,
        "best_trial": best.number if best is not None and finite else None,
        "front": front,
    }


def keep_result(connection: Connection, study: str) -> None:
    """Writes the result of a study into the planned run that it is, if it is one."""
    slots = own_tables.slots
    if connection.scalar(select(slots.c.id).where(slots.c.study == study).limit(1)) is None:
        return
    if (result := read_result(connection, study)) is not None:
        text = json.dumps(result)
        connection.execute(update(slots).where(slots.c.study == study, _WITH_STUDY).values(result=text))


_WITH_STUDY = own_tables.slots.c.state.in_(("running", "ended", "deleting"))
