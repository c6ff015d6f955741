"""A study's trials as rows, read in a few queries and in chunks of some hundred."""

from __future__ import annotations

import functools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table, and_, case, func, select

from orchestrator.model.attribute_keys import MEASURED
from orchestrator.model.changeset import AttemptRow
from orchestrator.model.commands import ADDING
from orchestrator.model.lifecycle import LIVE, NOT_STARTED
from orchestrator.model.measurements import read_measured
from orchestrator.model.records import EnqueuedTrial, ListedTrial, StudyFacts, TrialHead
from orchestrator.storage import own_tables
from orchestrator.storage.best_trial_queries import read_best, read_constraints, read_front
from orchestrator.storage.optuna_decoding import decoder, final_value
from orchestrator.storage.optuna_tables import PARAMS, STEPS, SYSTEM_ATTRS, TRIALS, USER_ATTRS, VALUES, from_stored
from tasks.constraints import is_feasible

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

CHUNK = 500
"""Trials in memory at once."""

_REPORTS = 10_000


class StudyTrials:
    """The trials of one study.

    Args:
        connection: A transaction.
        study_id: Optuna's id of the study.
        directions: One for each objective.
        ours: Whether the database has this program's tables beside Optuna's.
        study: The study, where more is known of it.
    """

    def __init__(
        self,
        connection: Connection,
        study_id: int,
        directions: Sequence[str],
        ours: bool,
        study: StudyFacts | None = None,
    ) -> None:
        self._connection = connection
        self._study_id = study_id
        self.directions = tuple(directions)
        self._ours = ours
        self._study = study

    def heads(self) -> list[TrialHead]:
        """Returns all trials by number, as far as is needed to choose among them."""
        of_study = TRIALS.c.study_id == self._study_id
        values: dict[int, list[float]] = defaultdict(list)
        query = select(VALUES).join(TRIALS, TRIALS.c.trial_id == VALUES.c.trial_id).where(of_study)
        for row in self._connection.execute(query.order_by(VALUES.c.objective)):
            if (value := final_value(row.value, row.value_type)) is not None:
                values[row.trial_id].append(value)
        counted = select(STEPS.c.trial_id, func.count()).join(TRIALS, TRIALS.c.trial_id == STEPS.c.trial_id)
        epochs = _pairs(self._connection.execute(counted.where(of_study).group_by(STEPS.c.trial_id)))
        constraints = read_constraints(self._connection, self._study_id)
        live, attempts = self._attempts()
        on_slot = self._on_slot()
        attended = self._study is None or self._study.attended
        return [
            TrialHead(
                id=row.trial_id,
                number=row.number,
                state=row.state,
                live=live.get(row.number, ""),
                values=tuple(values.get(row.trial_id, ())),
                started=_utc(row.datetime_start),
                ended=_utc(row.datetime_complete),
                epochs=epochs.get(row.trial_id, 0),
                attempts=attempts[row.number],
                feasible=is_feasible(constraints.get(row.trial_id, ())),
                attended=attended,
                slot_seconds=on_slot[row.number][0],
                slot_since=on_slot[row.number][1] if attended else None,
            )
            for row in self._connection.execute(select(TRIALS).where(of_study).order_by(TRIALS.c.number))
        ]

    def enqueued(self) -> list[EnqueuedTrial]:
        """Returns the trials that were enqueued while no control plane runs, oldest first: they get their numbers when
        the study goes on."""
        if not self._ours or self._study is None:
            return []
        columns = own_tables.commands.c
        query = select(columns.operation, columns.payload).where(
            columns.study == self._study.name, columns.answer.is_(None), columns.operation.in_(ADDING)
        )
        return [_enqueued(*row) for row in self._connection.execute(query.order_by(columns.id))]

    def best(self) -> list[int]:
        """Returns the number of the best trial, or those on the Pareto front; empty while none has completed."""
        if len(self.directions) > 1:
            return read_front(self._connection, self._study_id, self.directions)
        best = read_best(self._connection, self._study_id, maximize=self.directions[0] == "maximize")
        return [] if best is None else [best.number]

    def trials(self, heads: Sequence[TrialHead]) -> Iterator[ListedTrial]:
        """Yields these trials in full, in their order."""
        for begin in range(0, len(heads), CHUNK):
            yield from self._chunk(heads[begin : begin + CHUNK])

    def reports(self) -> Iterator[tuple[int, int, float]]:
        """Yields (trial, step, value), sorted."""
        query = (
            select(TRIALS.c.number, STEPS.c.step, STEPS.c.intermediate_value, STEPS.c.intermediate_value_type)
            .join(TRIALS, TRIALS.c.trial_id == STEPS.c.trial_id)
            .where(TRIALS.c.study_id == self._study_id)
            .order_by(TRIALS.c.number, STEPS.c.step)
            .execution_options(yield_per=_REPORTS)
        )
        for number, step, value, kind in self._connection.execute(query):
            yield number, step, from_stored(value, kind)

    def parameters(self) -> dict[str, list[BaseDistribution]]:
        """Returns the distributions that each parameter has had; names in the order of their first appearance."""
        query = (
            select(PARAMS.c.param_name, PARAMS.c.distribution_json, func.min(PARAMS.c.param_id).label("first"))
            .join(TRIALS, TRIALS.c.trial_id == PARAMS.c.trial_id)
            .where(TRIALS.c.study_id == self._study_id)
            .group_by(PARAMS.c.param_name, PARAMS.c.distribution_json)
            .order_by("first")
        )
        from optuna.distributions import json_to_distribution

        found: dict[str, list[BaseDistribution]] = defaultdict(list)
        for row in self._connection.execute(query):
            found[row.param_name].append(json_to_distribution(row.distribution_json))
        return dict(found)

    def attributes(self) -> Iterator[tuple[str, Any]]:
        """Yields each user attribute of each trial, key and value, sorted by key."""
        query = (
            select(USER_ATTRS.c.key, USER_ATTRS.c.value_json)
            .join(TRIALS, TRIALS.c.trial_id == USER_ATTRS.c.trial_id)
            .where(TRIALS.c.study_id == self._study_id)
            .order_by(USER_ATTRS.c.key)
            .execution_options(yield_per=CHUNK)
        )
        for key, text in self._connection.execute(query):
            yield key, json.loads(text)

    def _attempts(self) -> tuple[dict[int, str], Counter[int]]:
        """Returns the state of each trial's live attempt, and how many tries each has had."""
        if not self._ours:
            return {}, Counter()
        columns = own_tables.attempts.c
        of_study = columns.study_id == self._study_id
        live = select(columns.trial, columns.state).where(of_study, columns.state.in_(sorted(LIVE)))
        counted = select(columns.trial, func.count()).where(of_study, columns.cause != NOT_STARTED)
        counted = counted.group_by(columns.trial)
        return _pairs(self._connection.execute(live)), Counter(_pairs(self._connection.execute(counted)))

    def _on_slot(self) -> dict[int, tuple[float | None, datetime | None]]:
        """Returns, by trial, the seconds in which its ended attempts had a slot, and since when one has it now."""
        found: dict[int, tuple[float | None, datetime | None]] = defaultdict(lambda: (None, None))
        if not self._ours:
            return found
        columns = own_tables.attempts.c
        query = select(
            columns.trial,
            func.sum(columns.ended - columns.started),
            func.max(case((columns.ended.is_(None), columns.started))),
        ).where(columns.study_id == self._study_id, columns.started.is_not(None))
        for trial, seconds, since in self._connection.execute(query.group_by(columns.trial)):
            found[trial] = (
                None if seconds is None else max(0.0, seconds),
                None if since is None else datetime.fromtimestamp(since, UTC),
            )
        return found

    def _chunk(self, heads: Sequence[TrialHead]) -> Iterator[ListedTrial]:
        ids, numbers = [head.id for head in heads], [head.number for head in heads]
        value_of = functools.cache(decoder)
        params: dict[int, dict[str, Any]] = defaultdict(dict)
        for row in self._of(PARAMS, ids, PARAMS.c.param_id):
            params[row.trial_id][row.param_name] = value_of(row.distribution_json)(row.param_value)
        attributes: dict[int, dict[str, Any]] = defaultdict(dict)
        for row in self._of(USER_ATTRS, ids, USER_ATTRS.c.trial_user_attribute_id):
            attributes[row.trial_id][row.key] = json.loads(row.value_json)
        reported = self._last_reports(ids)
        measured = self._measured(ids)
        last, redone = self._ours_of(numbers)
        for head in heads:
            step, value = reported.get(head.id, (None, None))
            yield ListedTrial(
                head=head,
                params=params.get(head.id, {}),
                user_attrs=attributes.get(head.id, {}),
                last_step=step,
                last_value=value,
                last=last.get(head.number),
                redone=redone.get(head.number, 0),
                measured=measured.get(head.id, {}),
            )

    def _of(self, table: Table, ids: Sequence[int], order: Any) -> Any:
        return self._connection.execute(select(table).where(table.c.trial_id.in_(ids)).order_by(order))

    def _measured(self, ids: Sequence[int]) -> dict[int, dict[str, int]]:
        attrs = SYSTEM_ATTRS.c
        query = select(attrs.trial_id, attrs.value_json).where(attrs.trial_id.in_(ids), attrs.key == MEASURED)
        return {row.trial_id: read_measured(row.value_json) for row in self._connection.execute(query)}

    def _last_reports(self, ids: Sequence[int]) -> dict[int, tuple[int, float]]:
        last = (
            select(STEPS.c.trial_id, func.max(STEPS.c.step).label("step"))
            .where(STEPS.c.trial_id.in_(ids))
            .group_by(STEPS.c.trial_id)
            .subquery()
        )
        query = select(STEPS).join(last, and_(last.c.trial_id == STEPS.c.trial_id, last.c.step == STEPS.c.step))
        return {
            row.trial_id: (row.step, from_stored(row.intermediate_value, row.intermediate_value_type))
            for row in self._connection.execute(query)
        }

    def _ours_of(self, numbers: Sequence[int]) -> tuple[dict[int, AttemptRow], dict[int, int]]:
        """Returns the latest attempt of each of these trials, and how many epochs were trained again."""
        if not self._ours:
            return {}, {}
        attempts, redone = own_tables.attempts.c, own_tables.redone.c
        of_trials = attempts.study_id == self._study_id, attempts.trial.in_(numbers)
        query = select(*own_tables.ATTEMPT_COLUMNS).where(*of_trials).order_by(attempts.number)
        last = {row.trial: AttemptRow(*row) for row in self._connection.execute(query)}
        again = (
            select(redone.trial, func.count(redone.step.distinct()))
            .where(redone.study_id == self._study_id, redone.trial.in_(numbers))
            .group_by(redone.trial)
        )
        return last, _pairs(self._connection.execute(again))


def _enqueued(operation: str, payload: str) -> EnqueuedTrial:
    try:
        found = json.loads(payload)
        if operation == "retry":
            return EnqueuedTrial(retry_of=int(found["trial"]))
        return EnqueuedTrial(params=dict(found["params"]), user_attrs=dict(found.get("user_attrs") or {}))
    except (ValueError, TypeError, KeyError, AttributeError):
        return EnqueuedTrial()


def _pairs(rows: Any) -> dict[Any, Any]:
    return dict(map(tuple, rows))


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.replace(tzinfo=UTC)
