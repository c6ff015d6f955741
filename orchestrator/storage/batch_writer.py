"""Writes a batch of changes as rows, in one transaction on one connection."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update

from orchestrator.common.errors import ForeignWrite
from orchestrator.model.changeset import AttemptRow, Changes
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
    to_stored,
)
from orchestrator.storage.sql_dialects import insert_or_ignore, insert_or_update

_UNFINISHED = ("RUNNING", "WAITING")


class BatchWriter:
    """Writes the changes of one study.

    Args:
        connection: A transaction that has checked the writer's lease.
        study_id: Optuna's id of the study.
        trial_ids: Optuna's id by trial number, as far as known before this batch.
    """

    def __init__(self, connection: Connection, study_id: int, trial_ids: Mapping[int, int]) -> None:
        self._connection = connection
        self._study_id = study_id
        self._known = trial_ids
        self.new_ids: dict[int, int] = {}

    def write(self, changes: Changes) -> None:
        """Writes all changes. Idempotent: a batch may be written twice if the commit's reply was lost.

        Raises:
            ForeignWrite: another process has ended a trial or taken its number.
        """
        self._new_trials(changes)
        self._check_open(changes)
        for number, at in changes.starts.items():
            self._connection.execute(
                update(TRIALS)
                .where(TRIALS.c.trial_id == self._id(number))
                .values(state="RUNNING", datetime_start=_utc(at))
            )
        self._ignore(
            PARAMS,
            [
                {
                    "trial_id": self._id(number),
                    "param_name": name,
                    "param_value": value,
                    "distribution_json": distribution,
                }
                for number, name, value, distribution in changes.params
            ],
        )
        self._ignore(STEPS, [self._step_row(*value) for value in changes.values])
        self._attrs(USER_ATTRS, changes.user_attrs)
        self._attrs(SYSTEM_ATTRS, changes.system_attrs)
        self._records(changes.records)
        self._study_attrs(STUDY_USER_ATTRS, changes.study_user_attrs)
        self._study_attrs(STUDY_SYSTEM_ATTRS, changes.study_system_attrs)
        self._ends(changes)
        self._ours(changes)

    def _new_trials(self, changes: Changes) -> None:
        for number, at in sorted(changes.new_trials.items()):
            # It exists already where this batch was committed and the commit's reply was lost.
            known = self._connection.scalar(
                select(TRIALS.c.trial_id).where(TRIALS.c.study_id == self._study_id, TRIALS.c.number == number)
            )
            if known is not None:
                self._check_ours(number)
                self.new_ids[number] = known
                continue
            begun: dict[str, Any] = {"state": "RUNNING", "datetime_start": _utc(at)}
            if number in changes.enqueued:
                begun = {"state": "WAITING"}
            self.new_ids[number] = self._connection.execute(
                insert(TRIALS).values(number=number, study_id=self._study_id, **begun).returning(TRIALS.c.trial_id)
            ).scalar_one()

    def _check_ours(self, number: int) -> None:
        attempt = select(own_tables.attempts.c.token).where(
            own_tables.attempts.c.study_id == self._study_id, own_tables.attempts.c.trial == number
        )
        if self._connection.scalar(attempt.limit(1)) is None:
            raise ForeignWrite(f"trial {number} was made by another process")

    def _check_open(self, changes: Changes) -> None:
        """Raises where a change concerns a trial that has ended, unless this very batch ended it."""
        named = {*changes.starts, *changes.ends}
        named |= {param[0] for param in changes.params} | {value[0] for value in changes.values}
        named |= {number for number, _ in (*changes.user_attrs, *changes.system_attrs)}
        if not named:
            return
        numbers = {self._id(number): number for number in named}
        found = self._connection.execute(_ENDED_TRIALS, {"the_trials": list(numbers)}).all()
        for row in found:
            end = changes.ends.get(numbers[row.trial_id])
            if end is None or row.state != end.state or row.datetime_complete != _utc(end.at):
                raise ForeignWrite(f"trial {numbers[row.trial_id]} was ended by another process")

    def _ends(self, changes: Changes) -> None:
        values = []
        for number, end in changes.ends.items():
            self._connection.execute(
                _END_TRIAL,
                {"the_trial": self._id(number), "the_state": end.state, "the_time": _utc(end.at)},
            )
            for objective, value in enumerate(end.values or ()):
                stored, kind = to_stored(value)
                values.append(
                    {
                        "trial_id": self._id(number),
                        "objective": objective,
                        "value": stored,
                        "value_type": kind,
                    }
                )
        self._ignore(VALUES, values)

    def _ours(self, changes: Changes) -> None:
        study = {"study_id": self._study_id}
        self._ignore(
            own_tables.decisions,
            [
                study | row._asdict() | {"value": _number(row.value), "threshold": _number(row.threshold)}
                for row in changes.decisions
            ],
        )
        self._upsert(
            own_tables.closest,
            ("study_id", "trial"),
            [
                study | row._asdict() | {"value": _number(row.value), "threshold": _number(row.threshold)}
                for row in changes.closest.values()
            ],
        )
        # The same location again is the same file, saved anew.
        rows = {row.location: study | row._asdict() for row in changes.checkpoints}
        self._upsert(own_tables.checkpoints, ("study_id", "location"), list(rows.values()))
        for number, location in changes.discarded:
            self._connection.execute(
                delete(own_tables.checkpoints).where(
                    own_tables.checkpoints.c.study_id == self._study_id,
                    own_tables.checkpoints.c.trial == number,
                    own_tables.checkpoints.c.location == location,
                )
            )
        if changes.redone:
            redone = [study | {"trial": n, "step": s, "value": repr(float(v))} for n, s, v in changes.redone]
            self._ignore(own_tables.redone, redone)
        fresh = {"state": "owed", "tries": 0, "detail": ""}
        self._ignore(own_tables.notes, [study | row._asdict() | fresh | {"changed": row.at} for row in changes.notes])
        # Those that end go first: a trial's next attempt must not meet its predecessor alive in the unique index.
        attempts = sorted(changes.attempts.values(), key=lambda row: (row.state in LIVE, row.number))
        self._upsert(own_tables.attempts, ("token",), [study | _fields(row) for row in attempts])
        if changes.study_state:
            state, reason, at = changes.study_state
            self._connection.execute(
                update(own_tables.studies)
                .where(own_tables.studies.c.study_id == self._study_id)
                .values(state=state, reason=reason, changed=at)
            )

    def _attrs(self, table: Table, attrs: Mapping[tuple[int, str], Any]) -> None:
        rows = [
            {"trial_id": self._id(number), "key": key, "value_json": json.dumps(value)}
            for (number, key), value in attrs.items()
        ]
        self._upsert(table, ("trial_id", "key"), rows)

    def _records(self, records: Mapping[tuple[int, str], Any]) -> None:
        self._attrs(SYSTEM_ATTRS, {key: value for key, value in records.items() if value is not None})
        for (number, key), value in records.items():
            if value is None:
                self._connection.execute(_NO_RECORD, {"the_trial": self._id(number), "the_key": key})

    def _study_attrs(self, table: Table, attrs: Mapping[str, Any]) -> None:
        rows = [
            {"study_id": self._study_id, "key": key, "value_json": json.dumps(value)} for key, value in attrs.items()
        ]
        self._upsert(table, ("study_id", "key"), rows)

    def _step_row(self, number: int, step: int, value: float) -> dict[str, Any]:
        stored, kind = to_stored(value)
        return {
            "trial_id": self._id(number),
            "step": step,
            "intermediate_value": stored,
            "intermediate_value_type": kind,
        }

    def _ignore(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            self._connection.execute(insert_or_ignore(self._connection.dialect.name, table), _one_or_many(rows))

    def _upsert(self, table: Table, keys: tuple[str, ...], rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            columns = tuple(name for name in rows[0] if name not in keys)
            statement = insert_or_update(self._connection.dialect.name, table, keys, columns)
            self._connection.execute(statement, _one_or_many(rows))

    def _id(self, number: int) -> int:
        return self.new_ids[number] if number in self.new_ids else self._known[number]


_ENDED_TRIALS = select(TRIALS.c.trial_id, TRIALS.c.state, TRIALS.c.datetime_complete).where(
    TRIALS.c.trial_id.in_(bindparam("the_trials", expanding=True)), TRIALS.c.state.not_in(_UNFINISHED)
)
_NO_RECORD = delete(SYSTEM_ATTRS).where(
    SYSTEM_ATTRS.c.trial_id == bindparam("the_trial"), SYSTEM_ATTRS.c.key == bindparam("the_key")
)
_END_TRIAL = (
    update(TRIALS)
    .where(TRIALS.c.trial_id == bindparam("the_trial"), TRIALS.c.state.in_(_UNFINISHED))
    .values(state=bindparam("the_state"), datetime_complete=bindparam("the_time"))
)


def _fields(row: AttemptRow) -> dict[str, Any]:
    return {column.name: getattr(row, column.name) for column in own_tables.ATTEMPT_COLUMNS}


def _one_or_many(rows: Sequence[Mapping[str, Any]]) -> Any:
    # The drivers' way for many rows costs more round trips than the one for a single row, and most batches are small.
    return rows[0] if len(rows) == 1 else rows


def _utc(at: float) -> datetime:
    # Optuna stores naive UTC.
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None)


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
