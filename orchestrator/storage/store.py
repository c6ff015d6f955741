"""Studies in the database, as the control plane writes them and the command line reads them."""

from __future__ import annotations

import functools
import json
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import optuna
from optuna.exceptions import DuplicatedStudyError, StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import Column, Connection, Select, delete, insert, select, update

from orchestrator.common.errors import BadInput, StudyGone
from orchestrator.engine.state import Snapshot
from orchestrator.model.changeset import Changes
from orchestrator.model.commands import Command
from orchestrator.model.lifecycle import LIVE
from orchestrator.model.notifications import DeliveryState, PendingNotification
from orchestrator.model.planned_run import PlannedRun
from orchestrator.model.study_states import ENDED
from orchestrator.model.study_status import NotificationStatus
from orchestrator.model.suspension import Suspension, describe
from orchestrator.spec import Spec, differences
from orchestrator.spec.compare import going_on
from orchestrator.storage import own_tables
from orchestrator.storage.batch_writer import BatchWriter
from orchestrator.storage.code_table import carried_code, find_code, write_code
from orchestrator.storage.command_table import write_answers
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.notification_table import read_pending, read_statuses, settle
from orchestrator.storage.open_trials import StudyBatch
from orchestrator.storage.optuna_tables import STUDIES
from orchestrator.storage.schedule_store import put_slots
from orchestrator.storage.sql_dialects import Transaction, integers, is_among
from orchestrator.storage.study_loader import load_study
from orchestrator.storage.suspension_store import delete_suspension, read_suspensions, write_suspension
from tasks.code_bundle import CodeMessage
from tasks.redis_keys import is_name


class _Known(NamedTuple):
    """The ids of a study that was read: Optuna's, this program's, and Optuna's of its trials by number."""

    study_id: int
    uid: str
    trials: dict[int, int]


class Store:
    """The studies of one database.

    Args:
        database: Prepared tables.
        lease: Where this process writes studies: its right to. Reading needs none.
    """

    def __init__(self, database: Database, lease: WriterLease | None = None) -> None:
        self._database = database
        self._lease = lease
        self._optuna = RDBStorage(
            database.url,
            engine_kwargs=database.options,
            skip_compatibility_check=True,
            skip_table_creation=True,
        )
        self._known: dict[str, _Known] = {}

    # -- the writer ---------------------------------------------------------------------------------------------

    def commit(
        self,
        batches: Mapping[str, Changes],
        answers: Mapping[int, str] | None = None,
        notes: Mapping[str, DeliveryState] | None = None,
    ) -> None:
        """Writes the changes of several studies, the answers to commands and the states of notifications in one
        transaction.

        With nothing to write it renews the lease.

        Raises:
            NotTheWriter: this process may not write any more; nothing was written.
            ForeignWrite: another process has ended a trial; nothing was written.
            StudyGone: another process has deleted or renamed a study; nothing was written.
        """
        changed = {
            name: StudyBatch(self._known[name].study_id, self._known[name].trials, changes)
            for name, changes in batches.items()
            if changes
        }
        with self._leased.writing_together() as (connection, check_lease):
            # Everything is asked before anything is looked at: that is one message.
            check_there = self._ask_there(connection, changed) if changed else lambda: None
            writer = BatchWriter(connection, list(changed.values()))
            writer.ask()
            check_lease()
            check_there()
            writer.write()
            write_answers(connection, answers or {})
            settle(connection, notes or {})
        # Only now: a transaction that did not commit has no ids.
        for name, batch in changed.items():
            self._known[name].trials.update(sorted(batch.new_ids.items()))

    def trial_id(self, study: str, number: int) -> int | None:
        """Returns Optuna's id of a trial that was written or read here."""
        known = self._known.get(study)
        return None if known is None else known.trials.get(number)

    def create(
        self, spec: Spec, at: float, uid: str = "", seed: int | None = None, slot: PlannedRun | None = None
    ) -> Snapshot:
        """Creates a study, or returns the one of that name if it is the same search.

        ``uid`` and ``seed`` are drawn at random where neither they nor the spec say otherwise. With a ``slot`` the
        study is that slot's run, and the slot is written with it.

        Raises:
            BadInput: a study of that name is another search; the message says what differs. Or, of a slot: it is there.
        """
        if self.state(spec.name) is None:
            # Before anything is made.
            carried_code(spec)
        with self._writing():
            pass
        try:
            study_id = self._optuna.create_new_study(_directions(spec), spec.name)
        except StorageInternalError as error:
            # Optuna wraps the database's error; the caller waits for a server that is away.
            raise error.__cause__ or error from None
        except DuplicatedStudyError:
            if self.state(spec.name) is not None:
                if slot is not None:
                    # A slot's own study would have been made together with its row.
                    raise BadInput(f"study '{spec.name}'", "is there already, and is no run of the schedule") from None
                return self._continue(spec, at)
            study_id = self._adopt_plain(spec)
        uid = uid or str(uuid.uuid4())
        if seed is None:
            seed = spec.seed if spec.seed is not None else uuid.uuid4().int % 2**32
        with self._writing() as connection:
            for table in own_tables.OF_A_STUDY:
                # SQLite gives the id of a study that was deleted to the next one, and Optuna leaves our rows behind.
                connection.execute(delete(table).where(table.c.study_id == study_id))
            connection.execute(
                insert(own_tables.studies).values(
                    study_id=study_id,
                    uid=uid,
                    spec=json.dumps(spec.stored().to_json()),
                    seed=seed,
                    state="running",
                    reason="",
                    created=at,
                    changed=at,
                )
            )
            write_code(connection, study_id, spec, at)
            put_slots(connection, [] if slot is None else [slot])
        return self.load(spec.name)

    def load(self, name: str) -> Snapshot:
        """Reads a study with all its trials and attempts.

        Raises:
            BadInput: there is no such study.
        """
        with self._database.read() as connection:
            row = connection.execute(_select_ours().where(STUDIES.c.study_name == name)).one_or_none()
            if row is None:
                raise BadInput(f"study '{name}'", "there is none of that name in this database")
            snapshot = load_study(connection, row.study_id).snapshot
        if snapshot.spec.name != name:
            # Renamed by another program; it stays the same study.
            if not is_name(name):
                raise BadInput(f"study '{name}'", "was renamed, and nothing here can be called so", "rename it again")
            snapshot.spec = snapshot.spec.model_copy(update={"name": name})
        trials = {trial.number: trial._trial_id for trial in snapshot.trials}
        self._known[name] = _Known(row.study_id, snapshot.uid, trials)
        return snapshot

    def pending_commands(self) -> list[Command]:
        """Returns the commands that were not applied yet, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(own_tables.commands)
                .where(own_tables.commands.c.answer.is_(None))
                .order_by(own_tables.commands.c.id)
            )
            return [_command(row) for row in rows]

    def unsettled(self) -> list[str]:
        """Returns the names of the studies that have not ended, or have a live attempt; oldest first.

        A control plane may die after the last trial is decided and before its worker is told.
        """
        live = select(own_tables.attempts.c.study_id).where(own_tables.attempts.c.state.in_(sorted(LIVE)))
        unsettled = own_tables.studies.c.state.not_in(sorted(ENDED)) | own_tables.studies.c.study_id.in_(live)
        query = _select_ours().where(unsettled).order_by(own_tables.studies.c.created, STUDIES.c.study_id)
        with self._database.read() as connection:
            return [row.study_name for row in connection.execute(query)]

    def live_tokens(self) -> dict[str, list[str]]:
        """Returns the tokens of the live attempts of all studies, by the study's name."""
        attempts = own_tables.attempts.c
        query = select(STUDIES.c.study_name, attempts.token).join(STUDIES, STUDIES.c.study_id == attempts.study_id)
        found: dict[str, list[str]] = defaultdict(list)
        with self._database.read() as connection:
            for name, token in connection.execute(query.where(attempts.state.in_(sorted(LIVE)))):
                found[name].append(token)
        return dict(found)

    def pending_notifications(self) -> list[PendingNotification]:
        """Returns the notifications that are still to be sent, oldest first."""
        with self._database.read() as connection:
            return read_pending(connection)

    def suspend(self, name: str, suspension: Suspension) -> None:
        """Stores the suspension of a study; does nothing where there is no such study."""
        with self._writing() as connection:
            write_suspension(connection, name, suspension)

    def release(self, name: str) -> None:
        """Deletes the suspension of a study."""
        with self._writing() as connection:
            delete_suspension(connection, name)

    def suspended(self) -> dict[str, Suspension]:
        """Returns the suspended studies' suspensions, by name."""
        with self._database.read() as connection:
            return dict(read_suspensions(connection).values())

    def tokens(self, name: str) -> list[str]:
        """Returns the tokens of a study's attempts, without reading anything else of it."""
        of_it = own_tables.attempts.c.study_id == STUDIES.c.study_id
        query = select(own_tables.attempts.c.token).join(STUDIES, of_it).where(STUDIES.c.study_name == name)
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def names(self) -> dict[str, str]:
        """Returns the current names of this program's studies, by unique id."""
        with self._database.read() as connection:
            return {row.uid: row.study_name for row in connection.execute(_select_ours(*_IDENTITY))}

    def code(self, study: str, digest: str) -> CodeMessage | None:
        """Returns a code bundle of a study; ``None`` where the study has no such bundle."""
        with self._database.read() as connection:
            return find_code(connection, study, digest)

    # -- without the lease ------------------------------------------------------------------------------------------

    def state(self, name: str) -> str | None:
        """Returns the state of a study of this program; ``None`` where there is none of that name."""
        with self._database.read() as connection:
            row = connection.execute(_select_ours().where(STUDIES.c.study_name == name)).one_or_none()
            return None if row is None else str(row.state)

    def timings(self, name: str) -> tuple[Sequence[float], Sequence[float]]:
        """Returns, in seconds: report to stop of each pruned trial, and idle time of the slot before each attempt."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(own_tables.attempts.c.latency, own_tables.attempts.c.gap, own_tables.attempts.c.verdict)
                .join(STUDIES, STUDIES.c.study_id == own_tables.attempts.c.study_id)
                .where(STUDIES.c.study_name == name)
            ).all()
        latencies = [row.latency for row in rows if row.latency is not None and row.verdict == "pruned"]
        return latencies, [row.gap for row in rows if row.gap is not None]

    def notification_statuses(self, name: str) -> tuple[NotificationStatus, ...]:
        """Returns the notifications of a study, oldest first."""
        with self._database.read() as connection:
            study = connection.scalars(select(STUDIES.c.study_id).where(STUDIES.c.study_name == name)).one()
            return read_statuses(connection, [study]).get(study, ())

    def close(self) -> None:
        self._optuna.remove_session()
        self._optuna.engine.dispose()

    def _continue(self, spec: Spec, at: float) -> Snapshot:
        snapshot = self.load(spec.name)
        spec = going_on(snapshot.spec, spec)
        if changed := differences(snapshot.spec, spec):
            raise BadInput(
                f"study '{spec.name}'",
                "was started as another search: " + "; ".join(changed),
                "take another name, or put it back",
            )
        # It stays the run of the same schedule.
        spec = spec.model_copy(update={"run": snapshot.spec.run})
        with self._writing() as connection:
            study_id = self._known[spec.name].study_id
            write_code(connection, study_id, spec, at)
            connection.execute(
                update(own_tables.studies)
                .where(own_tables.studies.c.study_id == study_id)
                .values(spec=json.dumps(spec.stored().to_json()))
            )
        return snapshot

    def _ask_there(self, connection: Transaction, names: Collection[str]) -> Callable[[], None]:
        """Returns what raises where another process has deleted or renamed a study: what has its id now may be another
        one."""
        ids = [self._known[name].study_id for name in names]
        dialect = self._database.dialect
        found = connection.execute(_there(dialect), {"the_studies": integers(dialect, ids)})

        def check() -> None:
            there = {row.study_id: row for row in found}
            for name in names:
                study_id, uid, _ = self._known[name]
                row = there.get(study_id)
                if row is None or (row.study_name, row.uid) != (name, uid):
                    raise StudyGone(f"study '{name}' was deleted or renamed by another process")

        return check

    def _adopt_plain(self, spec: Spec) -> int:
        study_id = self._optuna.get_study_id_from_name(spec.name)
        directions = self._optuna.get_study_directions(study_id)
        if directions != _directions(spec):
            had = ", ".join(direction.name.lower() for direction in directions)
            raise BadInput(
                f"study '{spec.name}'",
                f"is there already, made by Optuna, with direction {had}; the spec says {', '.join(spec.objectives)}",
                "take another name",
            )
        return study_id

    def _writing(self) -> AbstractContextManager[Connection]:
        return self._leased.writing()

    @property
    def _leased(self) -> WriterLease:
        if self._lease is None:
            raise RuntimeError("this store was opened without the right to write studies")
        return self._lease


def _select_ours(*columns: Column[Any]) -> Select[Any]:
    """Returns a query for these columns of our rows of studies, all of them by default, and ``study_name``."""
    found = select(*(columns or own_tables.studies.c), STUDIES.c.study_name)
    return found.join(STUDIES, STUDIES.c.study_id == own_tables.studies.c.study_id)


_IDENTITY = own_tables.studies.c.study_id, own_tables.studies.c.uid


@functools.cache
def _there(dialect: str) -> Select[Any]:
    return _select_ours(*_IDENTITY).where(is_among(dialect, own_tables.studies.c.study_id, "the_studies"))


def _command(row: Any) -> Command:
    problem = ""
    try:
        payload = json.loads(row.payload)
        if not isinstance(payload, dict):
            problem = f"its payload is no JSON object: {payload!r:.60}"
    except (ValueError, TypeError, RecursionError) as error:
        problem = f"its payload is no JSON: {describe(error)}"
    return Command(row.id, row.key, row.operation, row.study, {} if problem else payload, problem, row.created)


def _directions(spec: Spec) -> list[optuna.study.StudyDirection]:
    return [optuna.study.StudyDirection[direction.upper()] for direction in spec.objectives]
