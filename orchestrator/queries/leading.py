"""The unfinished trial that leads a study, read from the database."""

from __future__ import annotations

import math

from sqlalchemy import Connection, and_, func, select

from orchestrator.model.progress_events import Best, Leading
from orchestrator.storage.optuna_decoding import read_params
from orchestrator.storage.optuna_tables import STEPS, TRIALS, from_stored


def read_leading(connection: Connection, study: int, best: Best | None, *, maximize: bool) -> Leading | None:
    """Returns the trial that has not ended and whose last report is better than the best trial and all other reports.

    Args:
        connection: A transaction.
        study: Optuna's id of the study, which has one objective.
        best: Its best completed trial.
        maximize: Whether larger values are better.
    """
    last = (
        select(STEPS.c.trial_id, func.max(STEPS.c.step).label("step"))
        .join(TRIALS, TRIALS.c.trial_id == STEPS.c.trial_id)
        .where(TRIALS.c.study_id == study, TRIALS.c.state == "RUNNING")
        .group_by(STEPS.c.trial_id)
        .subquery()
    )
    query = (
        select(TRIALS.c.number, STEPS)
        .join(last, and_(last.c.trial_id == STEPS.c.trial_id, last.c.step == STEPS.c.step))
        .join(TRIALS, TRIALS.c.trial_id == STEPS.c.trial_id)
        .order_by(TRIALS.c.number)
    )
    sign = -1.0 if maximize else 1.0
    found = []
    for row in connection.execute(query):
        value = from_stored(row.intermediate_value, row.intermediate_value_type)
        if math.isfinite(value):
            found.append((sign * value, row.number, row.step, row.trial_id))
    if not found or (best is not None and sign * best.value <= min(found)[0]):
        return None
    score, number, step, trial_id = min(found)
    return Leading(number=number, value=sign * score, step=step, params=read_params(connection, trial_id))
