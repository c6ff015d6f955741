"""Schedules and their planned runs in the database: queries of the beat, writes of the control plane;
and the results of runs, which are kept when their studies are deleted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, Select, and_, delete, func, select, update

from orchestrator.common.errors import BadInput
from orchestrator.model.planned_run import OPEN, PlannedRun, RunResult, ScheduleProgress, StudyRun
from orchestrator.model.progress_events import Best
from orchestrator.spec import Spec
from orchestrator.storage import own_tables
from orchestrator.storage.best_trial_queries import read_best, read_bests, read_front, read_optima
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.optuna_tables import DIRECTIONS, STEPS, STUDIES, TRIALS
from orchestrator.storage.own_tables import schedules, slots
from orchestrator.storage.sql_dialects import replace_rows
from orchestrator.storage.study_deletion import delete_mentions, delete_rows, read_keys

_COLUMNS = tuple(name for name in PlannedRun.__dataclass_fields__ if name not in ("schedule", "planned", "result"))
"""What is written of a planned run; its result is read from its study when that has ended, or is deleted."""
_WITH_STUDY = ("waiting", "running", "ended")


class Calendar:
    """The schedules of one database, for its one writer.

    Args:
        database: Prepared tables.
        lease: The right to write.
    """

    def __init__(self, database: Database, lease: WriterLease) -> None:
        self._database = database
        self._lease = lease

    def define(self, schedule: str, definition: str, since: int) -> None:
        """Notes a schedule's timetable, unless it has that one already; with an empty one, that there is none."""
        with self._lease.writing() as connection:
            known = connection.scalar(select(schedules.c.definition).where(schedules.c.name == schedule))
            if not definition:
                connection.execute(delete(schedules).where(schedules.c.name == schedule))
            elif known != definition:
                row = {"name": schedule, "definition": definition, "since": since}
                replace_rows(connection, schedules, ("name",), [row])

    def put(self, *rows: PlannedRun) -> None:
        """Writes slots, in place of what was written of them before."""
        with self._lease.writing() as connection:
            put_slots(connection, rows)
            for row in rows:
                if row.state == "ended":
                    keep_result(connection, row.study)

    def find(self, schedule: str, planned: Iterable[int]) -> dict[int, PlannedRun]:
        """Returns those of a schedule's slots that something is written of."""
        query = select(slots).where(slots.c.schedule == schedule, slots.c.planned.in_(list(planned)))
        with self._database.read() as connection:
            return {row.planned: _slot(row) for row in connection.execute(query)}

    def open(self) -> list[StudyRun]:
        """Returns the slots of all schedules about which something is still to be done; the earliest comes first."""
        query = select_runs().where(slots.c.state.in_(OPEN)).order_by(slots.c.planned, slots.c.id)
        with self._database.read() as connection:
            return [_run_of(row) for row in connection.execute(query)]

    def runs(self, schedule: str) -> list[StudyRun]:
        """Returns a schedule's slots that wait, or have a study; the latest comes first."""
        query = select_runs().where(slots.c.schedule == schedule, slots.c.state.in_(_WITH_STUDY))
        with self._database.read() as connection:
            return [_run_of(row) for row in connection.execute(query.order_by(slots.c.planned.desc()))]

    def bests(self, study: str, most: int) -> list[Best]:
        """Returns the best completed trials, at most so many, the best one first."""
        query = select(own_tables.studies).join(STUDIES, STUDIES.c.study_id == own_tables.studies.c.study_id)
        with self._database.read() as connection:
            row = connection.execute(query.where(STUDIES.c.study_name == study)).one_or_none()
            if row is None:
                return []
            spec = Spec.from_json(json.loads(row.spec))
            if spec.directions:
                return read_optima(connection, row.study_id, spec.objectives, most)
            return read_bests(connection, row.study_id, most, maximize=spec.direction == "maximize")

    def attempts_of(self, study: str) -> tuple[str, list[str]]:
        """Returns a study's unique id, and the tokens of its attempts."""
        with self._database.read() as connection:
            keys = read_keys(connection, study)
        if keys is None:
            raise BadInput(f"study '{study}'", "there is none of that name in this database")
        return keys.uid, list(keys.tokens)

    def throw_study(self, slot: PlannedRun) -> None:
        """Deletes the study of a slot, with everything that belongs to it, and writes the slot."""
        with self._lease.writing() as connection:
            if read_keys(connection, slot.study) is not None:
                keep_result(connection, slot.study)
                delete_rows(connection, slot.study)
            put_slots(connection, [slot])

    def delete_study(self, name: str, at: float) -> bool:
        """Deletes a study that a person wants deleted, with everything that belongs to it, and the commands about it;
        ``at`` is the time in seconds since the epoch. Returns whether there was one."""
        with self._lease.writing() as connection:
            keep_result(connection, name)
            found = delete_rows(connection, name)
            delete_mentions(connection, name, at)
        return found


def put_slots(connection: Connection, rows: Iterable[PlannedRun]) -> None:
    """Writes planned runs within a transaction of the writer."""
    # Of a run that is named twice the last is what holds.
    last = {(row.schedule, row.planned): row for row in rows}
    values = [
        {name: getattr(row, name) for name in (*_COLUMNS, "schedule", "planned")}
        | {"spec": None if row.spec is None else json.dumps(row.spec)}
        for row in last.values()
    ]
    replace_rows(connection, slots, ("schedule", "planned"), values)


def read_known(connection: Connection, names: Iterable[str]) -> dict[str, ScheduleProgress]:
    """Returns the progress of these schedules by name; runs that a person requested do not count."""
    listed = list(names)
    newest = func.max(slots.c.planned).label("newest")
    defined = connection.execute(select(schedules).where(schedules.c.name.in_(listed))).all()
    decided = select(slots.c.schedule, newest).where(slots.c.schedule.in_(listed), ~slots.c.manual)
    last = {row.schedule: row.newest for row in connection.execute(decided.group_by(slots.c.schedule))}
    return {row.name: ScheduleProgress(row.definition, row.since, last.get(row.name, 0)) for row in defined}


def read_slots(connection: Connection, schedule: str, most: int) -> list[PlannedRun]:
    """Returns a schedule's last planned runs, at most ``most``, the latest first."""
    query = select(slots).where(slots.c.schedule == schedule).order_by(slots.c.planned.desc()).limit(most)
    return [_slot(row) for row in connection.execute(query)]


def select_runs() -> Select[Any]:
    """Selects planned runs with the state and the spec of their studies."""
    return (
        select(slots, own_tables.studies.c.state.label("study_state"), own_tables.studies.c.spec.label("stored"))
        .outerjoin(STUDIES, STUDIES.c.study_name == slots.c.study)
        .outerjoin(own_tables.studies, own_tables.studies.c.study_id == STUDIES.c.study_id)
    )


def _run_of(row: Any) -> StudyRun:
    """Reads a row of ``select_runs``."""
    return StudyRun(_slot(row), row.study_state, row.stored)


def _slot(row: Any) -> PlannedRun:
    found = {name: getattr(row, name) for name in PlannedRun.__dataclass_fields__}
    return PlannedRun(**found | {"spec": _spec_of(row), "result": _result_of(row.result)})


def _result_of(text: str | None) -> RunResult | None:
    """Returns the result of a planned run; ``None`` where there is none, or a later version has written it."""
    try:
        found = json.loads(text or "null")
        if found is None:
            return None
        there = RunResult(**{key: found[key] for key in RunResult._fields if key in found})
        return msgspec.convert(list(there), RunResult)
    except (ValueError, TypeError, RecursionError, msgspec.ValidationError):
        return None


def _spec_of(row: Any) -> dict[str, Any] | None:
    """Returns the stored spec of a planned run; an empty one, which is refused later, where it cannot be read."""
    if row.spec is None:
        return None
    try:
        spec = json.loads(row.spec)
    except (ValueError, TypeError, RecursionError):
        spec = None
    return spec if isinstance(spec, dict) else {}


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
        of_it = and_(slots.c.study == study, slots.c.state.in_(("running", "ended", "deleting")))
        connection.execute(update(slots).where(of_it).values(result=text))
