"""The trial that leads a study while none has completed."""

from __future__ import annotations

import math

from sqlalchemy import Connection, and_, func, select

from orchestrator.model.progress_events import Best, Leading
from orchestrator.model.records import ListedTrial
from orchestrator.queries.trial_queries import StudyTrials
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


def leader(listing: StudyTrials, *, promotes: bool) -> list[ListedTrial]:
    """Returns the trial that leads by what it has reported; none of several objectives, and where none has reported.

    A trial that goes on comes before one that has ended, and with promotion the higher rung before the value.
    """
    if len(listing.directions) > 1:
        return []
    reported = [head for head in listing.heads() if head.epochs and head.state != "FAIL" and head.feasible]
    there = [each for each in listing.trials(reported) if not math.isnan(last_report(each))]
    going_on = [each for each in there if each.head.state == "RUNNING"] or there
    sign = -1.0 if listing.directions[0] == "maximize" else 1.0

    def place(trial: ListedTrial) -> tuple[int, float, int]:
        return -(trial.last_step or 0) if promotes else 0, sign * last_report(trial), trial.head.number

    return [min(going_on, key=place)] if going_on else []


def last_report(trial: ListedTrial) -> float:
    """Returns the value of a trial's last report; NaN where it has made none."""
    return math.nan if trial.last_value is None else trial.last_value
