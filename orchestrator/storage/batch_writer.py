"""Writes the changes of studies as rows, in one transaction on one connection."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, bindparam, not_, or_, select

from orchestrator.common.errors import ForeignWrite
from orchestrator.model.changeset import AttemptRow, Changes, DecisionRow
from orchestrator.model.lifecycle import LIVE
from orchestrator.storage import own_tables
from orchestrator.storage.optuna_tables import (
    PARAMS,
    STEPS,
    STUDY_SYSTEM_ATTRS,
    STUDY_USER_ATTRS,
    SYSTEM_ATTRS,
    TRIALS,
    USER_ATTRS,
    VALUES,
    Kind,
)
from orchestrator.storage.sql_dialects import (
    Row,
    delete_rows,
    insert_new_rows,
    insert_rows,
    integers,
    is_among,
    replace_rows,
    update_rows,
)

_UNFINISHED = or_(TRIALS.c.state == "RUNNING", TRIALS.c.state == "WAITING")


@dataclass(eq=False)
class StudyBatch:
    """The changes of one study.

    Attributes:
        study_id: Optuna's id of the study.
        trial_ids: Optuna's id by trial number, as far as known before this batch; they grow with the number.
        changes: The changes to write.
        new_ids: Optuna's ids of the trials that the batch makes, once they are written.
    """

    study_id: int
    trial_ids: dict[int, int]
    changes: Changes
    new_ids: dict[int, int] = field(default_factory=dict)

    def trial_id(self, number: int) -> int:
        """Returns Optuna's id of a trial that is there, or was just made."""
        return self.new_ids[number] if number in self.new_ids else self.trial_ids[number]


class BatchWriter:
    """Writes the changes of several studies. The number of statements does not grow with that of studies or rows.

    Args:
        connection: A transaction that has checked the writer's lease.
        batches: The changes to write, study by study.
    """

    def __init__(self, connection: Connection, batches: Sequence[StudyBatch]) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name
        self._batches = batches

    def write(self) -> None:
        """Writes all changes. Idempotent: a batch may be written twice if the commit's reply was lost.

        Raises:
            ForeignWrite: another process has ended a trial or taken its number.
        """
        self._add_trials()
        self._check_open()
        update_rows(
            self._connection,
            TRIALS,
            ("trial_id",),
            [
                {"trial_id": batch.trial_id(number), "state": "RUNNING", "datetime_start": _utc(at)}
                for batch in self._batches
                for number, at in batch.changes.starts.items()
            ],
        )
        update_rows(
            self._connection,
            TRIALS,
            ("trial_id",),
            [
                {"trial_id": batch.trial_id(number), "state": "WAITING", "datetime_start": None}
                for batch in self._batches
                for number in sorted(batch.changes.returned)
            ],
        )
        self._write_reports()
        self._write_attributes()
        self._end_trials()
        self._write_decisions()
        self._write_checkpoints()
        self._write_attempts_and_states()

    # -- Optuna's tables

    def _add_trials(self) -> None:
        growing = [batch for batch in self._batches if batch.changes.new_trials]
        if not growing:
            return
        # They are there already where this batch was committed and the commit's reply was lost.
        for batch in growing:
            known = batch.trial_ids.keys() & batch.changes.new_trials.keys()
            batch.new_ids.update((number, batch.trial_ids[number]) for number in known)
        self._find_added(growing)
        self._check_ours(growing)
        rows = []
        for batch in growing:
            for number, at in sorted(batch.changes.new_trials.items()):
                if number not in batch.new_ids:
                    waits = number in batch.changes.enqueued
                    rows.append(
                        {
                            "study_id": batch.study_id,
                            "number": number,
                            "state": "WAITING" if waits else "RUNNING",
                            "datetime_start": None if waits else _utc(at),
                        }
                    )
        insert_rows(self._connection, TRIALS, rows)
        if rows:
            self._find_added(growing)

    def _find_added(self, growing: Sequence[StudyBatch]) -> None:
        """Takes in the ids of new trials that are in the database.

        Who adds a trial to a study holds its row, so that ids grow with the numbers: those that are not known yet lie
        beyond those that are. There is no index by which Optuna's trials could be found by number.
        """
        for fresh in (False, True):
            batches = {batch.study_id: batch for batch in growing if fresh is not bool(batch.trial_ids)}
            if not batches:
                continue
            newest = min(next(reversed(batch.trial_ids.values()), -1) for batch in batches.values())
            found = self._connection.execute(
                _beyond(self._dialect), {"newest": newest, "studies": integers(self._dialect, batches)}
            )
            for row in found:
                batch = batches[row.study_id]
                if row.number in batch.changes.new_trials:
                    batch.new_ids[row.number] = row.trial_id

    def _check_ours(self, growing: Sequence[StudyBatch]) -> None:
        """Raises where a new trial is there that has no attempt: another process has made it."""
        there = {(batch.study_id, number) for batch in growing for number in batch.new_ids}
        if not there:
            return
        studies, numbers = ({pair[place] for pair in there} for place in (0, 1))
        found = self._connection.execute(
            _attempted(self._dialect),
            {"studies": integers(self._dialect, studies), "numbers": integers(self._dialect, numbers)},
        )
        for _, number in sorted(there - {(row.study_id, row.trial) for row in found}):
            raise ForeignWrite(f"trial {number} was made by another process")

    def _check_open(self) -> None:
        """Raises where a change concerns a trial that has ended, unless this very batch ended it."""
        named = {batch.trial_id(number): (batch, number) for batch in self._batches for number in _named(batch.changes)}
        if not named:
            return
        for row in self._connection.execute(_ended(self._dialect), {"trials": integers(self._dialect, named)}):
            batch, number = named[row.trial_id]
            end = batch.changes.ends.get(number)
            if end is None or row.state != end.state or row.datetime_complete != _utc(end.at):
                raise ForeignWrite(f"trial {number} was ended by another process")

    def _write_reports(self) -> None:
        insert_new_rows(
            self._connection,
            PARAMS,
            [
                {
                    "trial_id": batch.trial_id(number),
                    "param_name": name,
                    "param_value": value,
                    "distribution_json": distribution,
                }
                for batch in self._batches
                for number, name, value, distribution in batch.changes.params
            ],
        )
        steps = []
        for batch in self._batches:
            for number, step, value in batch.changes.values:
                stored, kind = to_stored(value)
                steps.append(
                    {
                        "trial_id": batch.trial_id(number),
                        "step": step,
                        "intermediate_value": stored,
                        "intermediate_value_type": kind,
                    }
                )
        insert_new_rows(self._connection, STEPS, steps)

    def _write_attributes(self) -> None:
        user: list[Row] = []
        system: list[Row] = []
        gone: list[Row] = []
        of_study_user: list[Row] = []
        of_study_system: list[Row] = []
        for batch in self._batches:
            changes = batch.changes
            kept = {key: value for key, value in changes.records.items() if value is not None}
            user += _trial_attributes(batch, changes.user_attrs | changes.late_user_attrs)
            system += _trial_attributes(batch, changes.system_attrs | kept)
            removed = changes.records.keys() - kept.keys()
            gone += ({"trial_id": batch.trial_id(number), "key": key} for number, key in removed)
            of_study_user += _study_attributes(batch, changes.study_user_attrs)
            of_study_system += _study_attributes(batch, changes.study_system_attrs)
        replace_rows(self._connection, USER_ATTRS, ("trial_id", "key"), user)
        replace_rows(self._connection, SYSTEM_ATTRS, ("trial_id", "key"), system)
        delete_rows(self._connection, SYSTEM_ATTRS, gone)
        replace_rows(self._connection, STUDY_USER_ATTRS, ("study_id", "key"), of_study_user)
        replace_rows(self._connection, STUDY_SYSTEM_ATTRS, ("study_id", "key"), of_study_system)

    def _end_trials(self) -> None:
        ends, values = [], []
        for batch in self._batches:
            for number, end in batch.changes.ends.items():
                trial = {"trial_id": batch.trial_id(number)}
                ends.append(trial | {"state": end.state, "datetime_complete": _utc(end.at)})
                for objective, value in enumerate(end.values or ()):
                    stored, kind = to_stored(value)
                    values.append(trial | {"objective": objective, "value": stored, "value_type": kind})
        update_rows(self._connection, TRIALS, ("trial_id",), ends, _UNFINISHED)
        insert_new_rows(self._connection, VALUES, values)

    # -- this program's tables

    def _write_decisions(self) -> None:
        insert_new_rows(
            self._connection,
            own_tables.decisions,
            [_decision(batch, row) for batch in self._batches for row in batch.changes.decisions],
        )
        replace_rows(
            self._connection,
            own_tables.closest,
            ("study_id", "trial"),
            [_decision(batch, row) for batch in self._batches for row in batch.changes.closest.values()],
        )
        insert_new_rows(
            self._connection,
            own_tables.redone,
            [
                {"study_id": batch.study_id, "trial": number, "step": step, "value": repr(float(value))}
                for batch in self._batches
                for number, step, value in batch.changes.redone
            ],
        )

    def _write_checkpoints(self) -> None:
        rows = {
            # The same location again is the same file, saved anew.
            (batch.study_id, row.location): {"study_id": batch.study_id} | row._asdict()
            for batch in self._batches
            for row in batch.changes.checkpoints
        }
        replace_rows(self._connection, own_tables.checkpoints, ("study_id", "location"), list(rows.values()))
        delete_rows(
            self._connection,
            own_tables.checkpoints,
            [
                {"study_id": batch.study_id, "trial": number, "location": location}
                for batch in self._batches
                for number, location in batch.changes.discarded
            ],
        )

    def _write_attempts_and_states(self) -> None:
        fresh = {"state": "owed", "tries": 0, "detail": ""}
        notes: list[dict[str, Any]] = []
        attempts: list[tuple[int, AttemptRow]] = []
        acknowledged: list[dict[str, Any]] = []
        states = []
        for batch in self._batches:
            changes, study = batch.changes, {"study_id": batch.study_id}
            notes += (study | row._asdict() | fresh | {"changed": row.at} for row in changes.notes)
            attempts += ((batch.study_id, row) for row in changes.attempts.values())
            acknowledged += (
                {"token": token, "acknowledged": row.acknowledged} for token, row in changes.acknowledged.items()
            )
            if changes.study_state:
                state, reason, at = changes.study_state
                states.append(study | {"state": state, "reason": reason, "changed": at})
        # Those that end go first: a trial's next attempt must not meet its predecessor alive in the unique index.
        attempts.sort(key=lambda each: (each[1].state in LIVE, each[1].number))
        insert_new_rows(self._connection, own_tables.notes, notes)
        replace_rows(self._connection, own_tables.attempts, ("token",), list(_attempt_rows(attempts)))
        update_rows(self._connection, own_tables.attempts, ("token",), acknowledged)
        update_rows(self._connection, own_tables.studies, ("study_id",), states)


def to_stored(value: float) -> tuple[float | None, Kind]:
    """Returns a number as Optuna stores it: in its column, and what it is."""
    if math.isnan(value):
        return None, "NAN"
    if math.isinf(value):
        return None, "INF_POS" if value > 0 else "INF_NEG"
    return value, "FINITE"


@functools.cache
def _beyond(dialect: str) -> Any:
    return select(TRIALS.c.study_id, TRIALS.c.number, TRIALS.c.trial_id).where(
        TRIALS.c.trial_id > bindparam("newest"), is_among(dialect, TRIALS.c.study_id, "studies")
    )


@functools.cache
def _attempted(dialect: str) -> Any:
    attempts = own_tables.attempts.c
    return select(attempts.study_id, attempts.trial).where(
        is_among(dialect, attempts.study_id, "studies"), is_among(dialect, attempts.trial, "numbers")
    )


@functools.cache
def _ended(dialect: str) -> Any:
    return select(TRIALS.c.trial_id, TRIALS.c.state, TRIALS.c.datetime_complete).where(
        is_among(dialect, TRIALS.c.trial_id, "trials"), not_(_UNFINISHED)
    )


def _named(changes: Changes) -> set[int]:
    """Returns the numbers of the trials that are changed as only one that has not ended may be."""
    named = {*changes.starts, *changes.returned, *changes.ends}
    named |= {param[0] for param in changes.params} | {value[0] for value in changes.values}
    return named | {number for number, _ in (*changes.user_attrs, *changes.system_attrs)}


def _trial_attributes(batch: StudyBatch, attrs: Mapping[tuple[int, str], Any]) -> Iterator[Row]:
    for (number, key), value in attrs.items():
        yield {"trial_id": batch.trial_id(number), "key": key, "value_json": json.dumps(value)}


def _study_attributes(batch: StudyBatch, attrs: Mapping[str, Any]) -> Iterator[Row]:
    for key, value in attrs.items():
        yield {"study_id": batch.study_id, "key": key, "value_json": json.dumps(value)}


def _decision(batch: StudyBatch, row: DecisionRow) -> dict[str, Any]:
    numbers = {"value": _number(row.value), "threshold": _number(row.threshold)}
    return {"study_id": batch.study_id} | row._asdict() | numbers


def _attempt_rows(attempts: Iterable[tuple[int, AttemptRow]]) -> Iterator[dict[str, Any]]:
    names = [column.name for column in own_tables.ATTEMPT_COLUMNS]
    for study_id, row in attempts:
        yield {"study_id": study_id} | {name: getattr(row, name) for name in names}


def _utc(at: float) -> datetime:
    # Optuna stores naive UTC.
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None)


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
