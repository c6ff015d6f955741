"""Writes the changes of studies as rows, in one transaction on one connection."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.model.changeset import AttemptRow, DecisionRow
from orchestrator.model.lifecycle import LIVE
from orchestrator.storage import own_tables
from orchestrator.storage.open_trials import UNFINISHED, OpenTrials, StudyBatch, utc
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
    Transaction,
    delete_rows,
    insert_new_rows,
    replace_rows,
    update_rows,
)


class BatchWriter:
    """Writes the changes of several studies. The number of statements does not grow with that of studies or rows.

    Args:
        connection: A transaction that has checked the writer's lease.
        batches: The changes to write, study by study.
    """

    def __init__(self, connection: Transaction, batches: Sequence[StudyBatch]) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name
        self._batches = batches
        self._trials = OpenTrials(connection, batches)

    def ask(self) -> None:
        """Asks what has to be known before anything is written, and looks at no answer yet."""
        self._trials.ask()

    def write(self) -> None:
        """Writes all changes. Idempotent: a batch may be written twice if the commit's reply was lost.

        Raises:
            ForeignWrite: another process has ended a trial or taken its number.
        """
        self._trials.add_and_check()
        update_rows(
            self._connection,
            TRIALS,
            ("trial_id",),
            [
                {"trial_id": batch.trial_id(number), "state": "RUNNING", "datetime_start": utc(at)}
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
                ends.append(trial | {"state": end.state, "datetime_complete": utc(end.at)})
                for objective, value in enumerate(end.values or ()):
                    stored, kind = to_stored(value)
                    values.append(trial | {"objective": objective, "value": stored, "value_type": kind})
        update_rows(self._connection, TRIALS, ("trial_id",), ends, UNFINISHED)
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


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
