"""Status of studies, counted by the database without reading their trials."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, and_, func, literal, or_, select

from orchestrator.common.errors import BadInput
from orchestrator.engine.explanations import describe_end
from orchestrator.model.attribute_keys import DECISION, EXTRA, FAILURE, FLAGGED, SILENT, WITHIN
from orchestrator.model.commands import ADDING
from orchestrator.model.lifecycle import WAITING, AttemptState
from orchestrator.model.progress_events import Progress, SlotLine, TrialEnded
from orchestrator.model.silence import Silence
from orchestrator.model.study_states import ENDED, OPTUNAS
from orchestrator.model.study_status import PACE_TRIALS, Overview, Work, since
from orchestrator.model.suspension import Suspension, describe, remedy
from orchestrator.model.trial_length import length, saved
from orchestrator.queries.leading import read_leading
from orchestrator.spec import Spec
from orchestrator.storage import own_tables
from orchestrator.storage.best_trial_queries import read_best, read_front
from orchestrator.storage.notification_table import read_statuses
from orchestrator.storage.optuna_decoding import read_params, read_values, seconds
from orchestrator.storage.optuna_tables import (
    DIRECTIONS,
    STEPS,
    STUDIES,
    STUDY_USER_ATTRS,
    SYSTEM_ATTRS,
    TRIALS,
    USER_ATTRS,
    from_stored,
)
from orchestrator.storage.suspension_store import read_suspensions

_ENDED = ("COMPLETE", "PRUNED", "FAIL")


def read_overviews(connection: Connection, names: Iterable[str] | None = None) -> list[Overview]:
    """Reads where studies of ours stand; the one that was made last comes last.

    Args:
        connection: A transaction.
        names: Of the studies; all of them by default.
    """
    query = select(own_tables.studies, STUDIES.c.study_name).join(
        STUDIES, STUDIES.c.study_id == own_tables.studies.c.study_id
    )
    if names is not None:
        query = query.where(STUDIES.c.study_name.in_(list(names)))
    rows = connection.execute(query.order_by(own_tables.studies.c.created, own_tables.studies.c.study_id)).all()
    if not rows:
        return []
    ids = [row.study_id for row in rows]
    counted, suspended = _Counted(connection, ids), read_suspensions(connection, ids)
    found = []
    for row in rows:
        try:
            overview = _overview(connection, row, counted)
        except (BadInput, ValueError, TypeError, LookupError, RecursionError) as error:
            overview = _unreadable(row, error)
        if row.study_id in suspended:
            overview = _suspended(overview, suspended[row.study_id][1])
        found.append(overview)
    return found


def read_optunas(connection: Connection, ours: Table | None, name: str | None = None) -> list[Overview]:
    """Reads where studies stand that Optuna has made and this program has never run.

    Args:
        connection: A transaction.
        ours: The table of our studies, where the database has one.
        name: Of the one study that is read; all of them by default.
    """
    query = select(STUDIES.c.study_id, STUDIES.c.study_name).order_by(STUDIES.c.study_id)
    if ours is not None:
        query = query.where(STUDIES.c.study_id.not_in(select(ours.c.study_id)))
    if name is not None:
        query = query.where(STUDIES.c.study_name == name)
    return [_optunas(connection, row) for row in connection.execute(query).all()]


def _optunas(connection: Connection, row: Any) -> Overview:
    of_study = TRIALS.c.study_id == row.study_id
    counts = select(TRIALS.c.state, func.count()).where(of_study).group_by(TRIALS.c.state)
    states = Counter({row.state: row[1] for row in connection.execute(counts)})
    epochs = select(func.count()).select_from(TRIALS).join(STEPS, STEPS.c.trial_id == TRIALS.c.trial_id).where(of_study)
    moments = select(
        func.min(TRIALS.c.datetime_start), func.max(TRIALS.c.datetime_start), func.max(TRIALS.c.datetime_complete)
    ).where(of_study)
    first, *latest = map(seconds, connection.execute(moments).one())
    directions = [
        each.lower()
        for each in connection.scalars(
            select(DIRECTIONS.c.direction).where(DIRECTIONS.c.study_id == row.study_id).order_by(DIRECTIONS.c.objective)
        )
    ]
    several = len(directions) > 1
    progress = Progress(
        study=row.study_name,
        state=OPTUNAS,
        reason="",
        budget=states.total(),
        complete=states["COMPLETE"],
        pruned=states["PRUNED"],
        failed=states["FAIL"],
        running=states["RUNNING"],
        waiting=states["WAITING"],
        epochs=connection.scalar(epochs) or 0,
        best=None if several else read_best(connection, row.study_id, maximize=directions[0] == "maximize"),
        front=len(read_front(connection, row.study_id, directions)) if several else None,
    )
    return Overview(
        progress=progress,
        created=first,
        changed=max((at for at in latest if at is not None), default=None),
        ends=_ends(connection, row.study_id, None),
    )


def read_ended(connection: Connection, study: str, most: int) -> list[TrialEnded]:
    """Returns how the trials ended that did so last, at most so many, oldest first."""
    epochs = select(func.count()).where(STEPS.c.trial_id == TRIALS.c.trial_id).scalar_subquery()
    attempts = own_tables.attempts.c
    on_slot = select(func.sum(attempts.ended - attempts.started)).where(
        attempts.study_id == TRIALS.c.study_id, attempts.trial == TRIALS.c.number
    )
    query = (
        select(TRIALS, epochs.label("epochs"), on_slot.scalar_subquery().label("on_slot"))
        .join(STUDIES, STUDIES.c.study_id == TRIALS.c.study_id)
        .where(STUDIES.c.study_name == study, TRIALS.c.state.in_(_ENDED))
        .order_by(TRIALS.c.datetime_complete.desc(), TRIALS.c.number.desc())
        .limit(most)
    )
    return [_ended(connection, row) for row in reversed(connection.execute(query).all())]


class _Counted:
    """Counts of several studies, by Optuna's id of the study."""

    def __init__(self, connection: Connection, ids: list[int]) -> None:
        self._connection = connection
        self._ids = ids
        self.states = self._count(TRIALS.c.state, lambda query: query)
        steps = self._count(literal(0), lambda query: query.join(STEPS, STEPS.c.trial_id == TRIALS.c.trial_id))
        self.epochs = {study: counts[0] for study, counts in steps.items()}
        extra = self._count(
            literal(0),
            lambda query: query.join(
                SYSTEM_ATTRS, and_(SYSTEM_ATTRS.c.trial_id == TRIALS.c.trial_id, SYSTEM_ATTRS.c.key == EXTRA)
            ),
        )
        self.extra = {study: counts[0] for study, counts in extra.items()}
        within = self._count(
            TRIALS.c.state,
            lambda query: query.join(
                SYSTEM_ATTRS, and_(SYSTEM_ATTRS.c.trial_id == TRIALS.c.trial_id, SYSTEM_ATTRS.c.key == WITHIN)
            ),
        )
        self.within = {study: counts["WAITING"] for study, counts in within.items()}
        orders = own_tables.commands.c
        stored = (
            select(STUDIES.c.study_id, func.count())
            .join(own_tables.commands, orders.study == STUDIES.c.study_name)
            .where(STUDIES.c.study_id.in_(ids), orders.answer.is_(None), orders.operation.in_(ADDING))
        )
        self.stored = dict(map(tuple, connection.execute(stored.group_by(STUDIES.c.study_id))))
        self.sparse = self._lengths(func.max(STEPS.c.step) > func.count(STEPS.c.step))
        self.pruned = self._lengths(TRIALS.c.state == "PRUNED")
        self.notes = read_statuses(connection, ids)
        self.attempts: dict[int, Counter[str]] = defaultdict(Counter)
        flags = select(STUDY_USER_ATTRS.c.study_id, STUDY_USER_ATTRS.c.value_json).where(
            STUDY_USER_ATTRS.c.study_id.in_(ids), STUDY_USER_ATTRS.c.key == FLAGGED
        )
        self.flagged = {study: str(json.loads(flag) or "") for study, flag in connection.execute(flags)}
        attempts = own_tables.attempts.c
        live = select(attempts.study_id, attempts.state, func.count()).where(attempts.study_id.in_(ids))
        earlier = own_tables.attempts.alias().c
        begun = select(earlier.trial).where(
            earlier.study_id == attempts.study_id, earlier.trial == attempts.trial, earlier.started.is_not(None)
        )
        unbegun = select(attempts.study_id, func.count()).where(
            attempts.study_id.in_(ids), attempts.state.in_(sorted(WAITING)), ~begun.exists()
        )
        self.unbegun = dict(map(tuple, connection.execute(unbegun.group_by(attempts.study_id))))
        for study, state, count in connection.execute(live.group_by(attempts.study_id, attempts.state)):
            self.attempts[study][state] = count

    def _count(self, by: ColumnElement[Any], join: Callable[[Any], Any]) -> dict[int, Counter[Any]]:
        found: dict[int, Counter[Any]] = defaultdict(Counter)
        query = join(select(TRIALS.c.study_id, by, func.count()).select_from(TRIALS))
        query = query.where(TRIALS.c.study_id.in_(self._ids)).group_by(TRIALS.c.study_id, by)
        for study, value, count in self._connection.execute(query):
            found[study][value] = count
        return found

    def _lengths(self, which: ColumnElement[bool]) -> dict[int, Counter[tuple[int, int | None]]]:
        """Returns how many of these trials have reported so often, and this step as the last one."""
        each = (
            select(TRIALS.c.study_id, func.count(STEPS.c.step).label("reports"), func.max(STEPS.c.step).label("last"))
            .outerjoin(STEPS, STEPS.c.trial_id == TRIALS.c.trial_id)
            .where(TRIALS.c.study_id.in_(self._ids))
            .group_by(TRIALS.c.trial_id, TRIALS.c.study_id, TRIALS.c.state)
            .having(which)
            .subquery()
        )
        columns = each.c.study_id, each.c.reports, each.c.last
        found: dict[int, Counter[tuple[int, int | None]]] = defaultdict(Counter)
        for study, reports, last, count in self._connection.execute(select(*columns, func.count()).group_by(*columns)):
            found[study][reports, last] = count
        return found


def _overview(connection: Connection, row: Any, counted: _Counted) -> Overview:
    spec = Spec.from_json(json.loads(row.spec))
    study = row.study_id
    states, attempts = counted.states.get(study, Counter()), counted.attempts.get(study, Counter())
    several = len(spec.objectives) > 1
    pruned: Counter[int] = Counter()
    for (reports, last), count in counted.pruned.get(study, Counter()).items():
        pruned[length(reports, last, spec.max_steps)] += count
    further = sum(
        count * (length(reports, last, spec.max_steps) - reports)
        for (reports, last), count in counted.sparse.get(study, Counter()).items()
    )
    began = row.changed if row.state == "running" else None
    best = None if several else read_best(connection, study, maximize=spec.direction == "maximize")
    leads = not several and row.state not in ENDED
    progress = Progress(
        study=row.study_name,
        state=row.state,
        reason=row.reason,
        budget=spec.budget(counted.extra.get(study, 0), states.total() - counted.within.get(study, 0)),
        complete=states["COMPLETE"],
        pruned=states["PRUNED"],
        failed=states["FAIL"],
        running=attempts[AttemptState.RUNNING],
        waiting=sum(attempts[state] for state in WAITING),
        paused=attempts[AttemptState.PAUSED],
        enqueued=states["WAITING"] + counted.stored.get(study, 0),
        epochs=counted.epochs.get(study, 0) + further,
        max_steps=spec.max_steps,
        epochs_saved=saved(spec.max_steps, pruned),
        best=best,
        front=len(read_front(connection, study, spec.objectives)) if several else None,
        promotes=spec.pruner.promotes,
        begun=states.total() - states["WAITING"] - counted.unbegun.get(study, 0),
        leading=read_leading(connection, study, best, maximize=spec.direction == "maximize") if leads else None,
        epoch_budget=spec.max_total_steps,
        elapsed=None if row.state in ENDED else max(0.0, time.time() - (began or row.created)),
        slots=_slots(connection, study, spec.max_steps),
    )
    ends = (_starts if spec.pruner.promotes else _ends)(connection, study, began)
    return Overview(
        progress=progress,
        created=row.created,
        changed=row.changed,
        ends=ends,
        work=_work(connection, study, since(ends) or began),
        notes=counted.notes.get(study, ()),
        flagged=counted.flagged.get(study, ""),
    )


def _unreadable(row: Any, error: Exception) -> Overview:
    """Returns what is shown, in a list of studies, of one that cannot be read."""
    progress = Progress(study=row.study_name, state=row.state, reason=f"cannot be read: {describe(error)}")
    return Overview(progress=progress, created=row.created, changed=row.changed)


def _suspended(overview: Overview, suspension: Suspension) -> Overview:
    reason = f"{suspension.cause}; {remedy(overview.progress.study)}"
    progress = msgspec.structs.replace(overview.progress, state="suspended", reason=reason)
    return replace(overview, progress=progress, changed=suspension.at, suspended=suspension)


def _slots(connection: Connection, study: int, max_steps: int | None) -> tuple[SlotLine, ...]:
    """Returns what each slot trains, with the report that was recorded last."""
    now = time.time()
    attempts = own_tables.attempts.c
    last = (
        select(func.max(STEPS.c.trial_intermediate_value_id))
        .where(STEPS.c.trial_id == TRIALS.c.trial_id)
        .correlate(TRIALS)
        .scalar_subquery()
    )
    every = STEPS.alias()
    reports, furthest = (
        select(each).where(every.c.trial_id == TRIALS.c.trial_id).correlate(TRIALS).scalar_subquery()
        for each in (func.count(), func.max(every.c.step))
    )
    query = (
        select(
            own_tables.attempts,
            STEPS.c.step,
            STEPS.c.intermediate_value,
            STEPS.c.intermediate_value_type,
            SYSTEM_ATTRS.c.value_json.label("silent"),
            reports,
            furthest,
        )
        .join(TRIALS, and_(TRIALS.c.study_id == attempts.study_id, TRIALS.c.number == attempts.trial))
        .outerjoin(SYSTEM_ATTRS, and_(SYSTEM_ATTRS.c.trial_id == TRIALS.c.trial_id, SYSTEM_ATTRS.c.key == SILENT))
        .outerjoin(STEPS, STEPS.c.trial_intermediate_value_id == last)
        .where(attempts.study_id == study, attempts.state == AttemptState.RUNNING)
        .order_by(attempts.trial)
    )
    return tuple(
        SlotLine(
            slot=row.slot,
            device=row.device,
            trial=row.trial,
            attempt=row.number,
            epochs=length(row[-2], row[-1], max_steps),
            step=row.step,
            value=None
            if row.intermediate_value_type is None
            else from_stored(row.intermediate_value, row.intermediate_value_type),
            silent=None if (silence := Silence.read(json.loads(row.silent or "null"))) is None else now - silence.since,
            pace=None if silence is None else silence.pace,
        )
        for row in connection.execute(query)
    )


def _ends(connection: Connection, study: int, began: float | None) -> tuple[float, ...]:
    query = (
        select(TRIALS.c.datetime_complete)
        .where(TRIALS.c.study_id == study, TRIALS.c.datetime_complete.is_not(None), TRIALS.c.state.in_(_ENDED))
        .order_by(TRIALS.c.datetime_complete.desc())
        .limit(PACE_TRIALS)
    )
    found = (at for at in map(seconds, connection.scalars(query)) if at is not None)
    return tuple(sorted(at for at in found if began is None or at >= began))


def _starts(connection: Connection, study: int, began: float | None) -> tuple[float, ...]:
    """Returns when the last trials began. With promotion hardly any trial ends early, so their starts are the pace."""
    attempts = own_tables.attempts.c
    first = func.min(attempts.started)
    query = select(first).where(attempts.study_id == study, attempts.started.is_not(None)).group_by(attempts.trial)
    found = connection.scalars(query.order_by(first.desc()).limit(PACE_TRIALS))
    return tuple(sorted(at for at in found if began is None or at >= began))


def _work(connection: Connection, study: int, begin: float | None) -> tuple[Work, ...]:
    """Returns the trials at work since ``begin``, or all of them where it is ``None``, each with its attempts."""
    attempts = own_tables.attempts.c
    started = and_(attempts.study_id == study, attempts.started.is_not(None))
    recent = select(attempts.trial).where(started)
    if begin is not None:
        recent = recent.where(or_(attempts.ended.is_(None), attempts.ended > begin))
    spells: dict[int, list[tuple[float, float | None]]] = defaultdict(list)
    query = select(attempts.trial, attempts.started, attempts.ended).where(started, attempts.trial.in_(recent))
    for trial, start, end in connection.execute(query.order_by(attempts.trial, attempts.number)):
        spells[trial].append((start, end))
    counted = (
        select(TRIALS.c.number, func.count())
        .join(STEPS, STEPS.c.trial_id == TRIALS.c.trial_id)
        .where(TRIALS.c.study_id == study, TRIALS.c.number.in_(recent))
        .group_by(TRIALS.c.number)
    )
    epochs = {row.number: row[1] for row in connection.execute(counted)}
    return tuple(Work(epochs.get(trial, 0), tuple(found)) for trial, found in spells.items())


def _ended(connection: Connection, row: Any) -> TrialEnded:
    attributes = select(USER_ATTRS.c.key, USER_ATTRS.c.value_json).where(
        USER_ATTRS.c.trial_id == row.trial_id, USER_ATTRS.c.key.in_((FAILURE, DECISION))
    )
    kept = {key: json.loads(value) for key, value in connection.execute(attributes)}
    start, end = row.datetime_start, row.datetime_complete
    return TrialEnded(
        number=row.number,
        state=row.state,
        values=read_values(connection, row.trial_id),
        epochs=row.epochs,
        seconds=0.0 if start is None or end is None else max(0.0, (end - start).total_seconds()),
        params=read_params(connection, row.trial_id),
        detail=describe_end(kept),
        traceback=str(kept.get(FAILURE, {}).get("traceback", "")),
        on_slot=None if row.on_slot is None else max(0.0, row.on_slot),
    )
