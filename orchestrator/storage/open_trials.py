"""The trials that a commit makes or changes: others must not have made or ended them meanwhile."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, not_, or_, select

from orchestrator.common.errors import ForeignWrite
from orchestrator.model.changeset import Changes
from orchestrator.storage import own_tables
from orchestrator.storage.optuna_tables import STUDIES, TRIALS
from orchestrator.storage.sql_dialects import Transaction, insert_rows, integers, is_among

UNFINISHED = or_(TRIALS.c.state == "RUNNING", TRIALS.c.state == "WAITING")


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


class OpenTrials:
    """The trials of several studies that one transaction makes or changes.

    Args:
        connection: The transaction.
        batches: The changes to write, study by study.
    """

    def __init__(self, connection: Transaction, batches: Sequence[StudyBatch]) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name
        self._batches = batches
        self._growing = [batch for batch in batches if batch.changes.new_trials]

    def ask(self) -> None:
        """Asks for what ``add_and_check`` looks at."""
        if self._growing:
            # As Optuna does it: two that ask at the same time must not both take the next number.
            studies = integers(self._dialect, [batch.study_id for batch in self._growing])
            self._connection.execute(_locked(self._dialect), {"the_studies": studies})
        self._found = self._find_beyond()
        self._open = self._ask_open(
            (batch, number) for batch in self._batches for number in _named(batch.changes) if number in batch.trial_ids
        )

    def add_and_check(self) -> None:
        """Makes the new trials.

        Raises:
            ForeignWrite: another process has ended a trial or taken its number.
        """
        self._add()
        self._check(*self._open)

    def _add(self) -> None:
        if not self._growing:
            return
        # They are there already where this batch was committed and the commit's reply was lost.
        for batch in self._growing:
            known = batch.trial_ids.keys() & batch.changes.new_trials.keys()
            batch.new_ids.update((number, batch.trial_ids[number]) for number in known)
        self._take_in(self._found)
        self._check_ours()
        rows = []
        for batch in self._growing:
            for number, at in sorted(batch.changes.new_trials.items()):
                if number not in batch.new_ids:
                    waits = number in batch.changes.enqueued
                    rows.append(
                        {
                            "study_id": batch.study_id,
                            "number": number,
                            "state": "WAITING" if waits else "RUNNING",
                            "datetime_start": None if waits else utc(at),
                        }
                    )
        insert_rows(self._connection, TRIALS, rows)
        if rows:
            self._take_in(self._find_beyond())

    def _find_beyond(self) -> list[Iterable[Any]]:
        """Asks for the trials of growing studies that are not known yet.

        Who adds a trial to a study holds its row, so that ids grow with the numbers: those that are not known yet lie
        beyond those that are. There is no index by which Optuna's trials could be found by number.
        """
        found: list[Iterable[Any]] = []
        for fresh in (False, True):
            batches = [batch for batch in self._growing if fresh is not bool(batch.trial_ids)]
            if batches:
                newest = min(next(reversed(batch.trial_ids.values()), -1) for batch in batches)
                studies = integers(self._dialect, [batch.study_id for batch in batches])
                found.append(self._connection.execute(_beyond(self._dialect), {"newest": newest, "studies": studies}))
        return found

    def _take_in(self, found: Iterable[Iterable[Any]]) -> None:
        """Takes in the ids of new trials that are in the database."""
        growing = {batch.study_id: batch for batch in self._growing}
        for row in itertools.chain.from_iterable(found):
            batch = growing[row.study_id]
            if row.number in batch.changes.new_trials:
                batch.new_ids[row.number] = row.trial_id

    def _check_ours(self) -> None:
        """Raises where a new trial is there that has no attempt, because another process has made it, or that has
        ended."""
        there = {(batch.study_id, number): batch for batch in self._growing for number in batch.new_ids}
        if not there:
            return
        studies, numbers = ({pair[place] for pair in there} for place in (0, 1))
        found = self._connection.execute(
            _attempted(self._dialect),
            {"studies": integers(self._dialect, studies), "numbers": integers(self._dialect, numbers)},
        )
        for _, number in sorted(there.keys() - {(row.study_id, row.trial) for row in found}):
            raise ForeignWrite(f"trial {number} was made by another process")
        named = ((batch, number) for (_, number), batch in there.items() if number in _named(batch.changes))
        self._check(*self._ask_open(named))

    def _ask_open(self, trials: Iterable[tuple[StudyBatch, int]]) -> tuple[dict[int, tuple[StudyBatch, int]], Any]:
        """Asks which of these trials have ended; returns them by Optuna's id, and what is answered."""
        named = {batch.trial_id(number): (batch, number) for batch, number in trials}
        if not named:
            return named, ()
        return named, self._connection.execute(_ended(self._dialect), {"trials": integers(self._dialect, named)})

    def _check(self, named: Mapping[int, tuple[StudyBatch, int]], found: Iterable[Any]) -> None:
        """Raises where a change concerns a trial that has ended, unless this very batch ended it."""
        for row in found:
            batch, number = named[row.trial_id]
            end = batch.changes.ends.get(number)
            if end is None or row.state != end.state or row.datetime_complete != utc(end.at):
                raise ForeignWrite(f"trial {number} was ended by another process")


@functools.cache
def _locked(dialect: str) -> Any:
    query = select(STUDIES.c.study_id).where(is_among(dialect, STUDIES.c.study_id, "the_studies"))
    return query.order_by(STUDIES.c.study_id).with_for_update()


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
        is_among(dialect, TRIALS.c.trial_id, "trials"), not_(UNFINISHED)
    )


def _named(changes: Changes) -> set[int]:
    """Returns the numbers of the trials that are changed as only one that has not ended may be."""
    named = {*changes.starts, *changes.returned, *changes.ends}
    named |= {param[0] for param in changes.params} | {value[0] for value in changes.values}
    return named | {number for number, _ in (*changes.user_attrs, *changes.system_attrs)}


def utc(at: float) -> datetime:
    """Returns a time as Optuna stores it."""
    # Optuna stores naive UTC.
    return datetime.fromtimestamp(at, UTC).replace(tzinfo=None)
