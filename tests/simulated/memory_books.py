"""The database in memory: what several control planes see, of which one may write."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import exc

from orchestrator.common.errors import BadInput, ForeignWrite, NotTheWriter, StudyGone
from orchestrator.engine.state import Snapshot
from orchestrator.model.changeset import Changes, NoteRow
from orchestrator.model.commands import Command
from orchestrator.model.lifecycle import LIVE
from orchestrator.model.notifications import DeliveryState, PendingNotification
from orchestrator.model.planned_run import PlannedRun
from orchestrator.model.study_states import ENDED
from orchestrator.model.suspension import Suspension
from orchestrator.spec import Spec, differences
from orchestrator.spec.compare import going_on
from tasks.code_bundle import CodeMessage
from tests.simulated.ledger import Ledger


@dataclass
class MemoryDatabase:
    """The rows, and the term of the writer. ``away``: no client reaches it.

    ``schedules`` hold timetable and since when, ``slots`` go by schedule and planned time.
    """

    ledgers: dict[str, Ledger] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    answers: dict[int, str] = field(default_factory=dict)
    notes: dict[str, tuple[str, NoteRow, DeliveryState]] = field(default_factory=dict)
    schedules: dict[str, tuple[str, int]] = field(default_factory=dict)
    slots: dict[tuple[str, int], PlannedRun] = field(default_factory=dict)
    code: dict[tuple[str, str], CodeMessage] = field(default_factory=dict)
    suspended: dict[str, Suspension] = field(default_factory=dict)
    term: int = 0
    away: bool = False

    def issue(self, key: str, operation: str, study: str, payload: Mapping[str, Any] | None = None) -> None:
        """Adds a command; the same key twice is one."""
        if all(command.key != key for command in self.commands):
            self.commands.append(Command(len(self.commands) + 1, key, operation, study, dict(payload or {})))

    def check(self) -> None:
        if self.away:
            raise exc.OperationalError("any", {}, ConnectionError("it is away"), connection_invalidated=True)


class MemoryBooks:
    """A store that takes the right to write from the one before."""

    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        database.term += 1
        self._term = database.term
        self._uids: dict[str, str] = {}

    def commit(
        self,
        batches: Mapping[str, Changes],
        answers: Mapping[int, str] | None = None,
        notes: Mapping[str, DeliveryState] | None = None,
    ) -> None:
        self.check_writer()
        ledgers = self._database.ledgers
        for name, changes in batches.items():
            if not changes:
                continue
            if name not in ledgers or ledgers[name].uid != self._uids.get(name):
                raise StudyGone(f"study '{name}' was deleted or renamed by another process")
            _check_open(ledgers[name], changes)
            _check_storable(changes)
        for name, changes in batches.items():
            if changes:
                ledgers[name].commit(copy.deepcopy(changes))
            for note in changes.notes:
                self._database.notes.setdefault(note.key, (name, note, DeliveryState("owed", 0, "", note.at)))
        for key, state in (notes or {}).items():
            name, note, _ = self._database.notes[key]
            self._database.notes[key] = name, note, state
        self._database.answers |= answers or {}

    def create(
        self, spec: Spec, at: float, uid: str = "", seed: int | None = None, slot: PlannedRun | None = None
    ) -> Snapshot:
        del at
        self.check_writer()
        known = self._database.ledgers.get(spec.name)
        if known is not None:
            if slot is not None:
                raise BadInput(f"study '{spec.name}'", "is there already, and is no run of the schedule")
            spec = going_on(known.spec, spec)
            if changed := differences(known.spec, spec):
                raise BadInput(f"study '{spec.name}'", "was started as another search: " + "; ".join(changed))
            snapshot = self.load(spec.name)
            self._keep_code(spec)
            known.spec = spec.stored().model_copy(update={"run": known.spec.run})
            return snapshot
        self._keep_code(spec)
        uid = uid or f"uid-of-{spec.name}"
        seed = seed if seed is not None else spec.seed if spec.seed is not None else 7
        self._database.ledgers[spec.name] = Ledger(spec.stored(), seed, uid)
        if slot is not None:
            self._database.slots[slot.schedule, slot.planned] = slot
        return self.load(spec.name)

    def _keep_code(self, spec: Spec) -> None:
        code = spec.code
        if code is None or not code.bundle or (spec.name, code.bundle) in self._database.code:
            return
        if not code.archive:
            raise BadInput(f"code of study '{spec.name}'", "was not sent with the spec", "submit the spec again")
        archive, author = code.carried()
        self._database.code[spec.name, code.bundle] = CodeMessage(archive=archive, author=author)

    def load(self, name: str) -> Snapshot:
        self._database.check()
        if name not in self._database.ledgers:
            raise BadInput(f"study '{name}'", "there is none of that name in this database")
        ledger = self._database.ledgers[name]
        self._uids[name] = ledger.uid
        return ledger.snapshot()

    def trial_id(self, study: str, number: int) -> int | None:
        ledger = self._database.ledgers.get(study)
        return 1_000 + number if ledger is not None and number in ledger.trials else None

    def pending_commands(self) -> list[Command]:
        self._database.check()
        return [command for command in self._database.commands if command.id not in self._database.answers]

    def unsettled(self) -> list[str]:
        self._database.check()
        return [
            name
            for name, ledger in self._database.ledgers.items()
            if ledger.state not in ENDED or any(row.state in LIVE for row in ledger.attempts.values())
        ]

    def live_tokens(self) -> dict[str, list[str]]:
        self._database.check()
        live = {
            name: [row.token for row in ledger.attempts.values() if row.state in LIVE]
            for name, ledger in self._database.ledgers.items()
        }
        return {name: tokens for name, tokens in live.items() if tokens}

    def pending_notifications(self) -> list[PendingNotification]:
        self._database.check()
        return [
            PendingNotification(name, note, self._database.ledgers[name].spec.notify, state.tries)
            for name, note, state in self._database.notes.values()
            if state.state == "owed"
        ]

    def suspend(self, name: str, suspension: Suspension) -> None:
        self.check_writer()
        if name in self._database.ledgers:
            self._database.suspended[name] = suspension

    def release(self, name: str) -> None:
        self.check_writer()
        self._database.suspended.pop(name, None)

    def suspended(self) -> dict[str, Suspension]:
        self._database.check()
        return {name: each for name, each in self._database.suspended.items() if name in self._database.ledgers}

    def tokens(self, name: str) -> list[str]:
        self._database.check()
        return list(self._database.ledgers[name].attempts) if name in self._database.ledgers else []

    def code(self, study: str, digest: str) -> CodeMessage | None:
        self._database.check()
        return self._database.code.get((study, digest))

    def names(self) -> dict[str, str]:
        self._database.check()
        return {ledger.uid: name for name, ledger in self._database.ledgers.items()}

    def check_writer(self) -> None:
        """Raises unless this one may write."""
        self._database.check()
        if self._term != self._database.term:
            raise NotTheWriter(f"another control plane has taken over (this one wrote in term {self._term})")


def _check_storable(changes: Changes) -> None:
    """Refuses what PostgreSQL's text columns and JSON refuse: NUL and what is no Unicode; and what is no JSON."""
    for attrs in (changes.user_attrs, changes.system_attrs, changes.study_user_attrs, changes.study_system_attrs):
        for key, value in attrs.items():
            json.dumps(value)
            _check_text(key if isinstance(key, str) else key[1])
    for _, name, _, _ in changes.params:
        _check_text(name)
    for row in changes.attempts.values():
        for text in (row.cause, row.verdict, row.host, row.slot, row.device, row.runner):
            _check_text(text)
    for note in changes.notes:
        _check_text(note.body)
    if changes.study_state:
        _check_text(changes.study_state[1])


def _check_text(text: str) -> None:
    text.encode()
    if "\0" in text:
        raise ValueError("a text with NUL")


def _check_open(ledger: Ledger, changes: Changes) -> None:
    named = {*changes.starts, *changes.returned, *changes.ends}
    named |= {param[0] for param in changes.params} | {value[0] for value in changes.values}
    named |= {number for number, _ in (*changes.user_attrs, *changes.system_attrs)}
    for number in changes.new_trials:
        if number in ledger.trials:
            raise ForeignWrite(f"trial {number} was made by another process")
    for number in named & ledger.trials.keys():
        if ledger.trials[number].ended:
            raise ForeignWrite(f"trial {number} was ended by another process")
