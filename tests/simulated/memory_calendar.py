"""Schedules and slots in memory: what the one writer writes, and what a beat asks of the database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace

from orchestrator.common.errors import BadInput
from orchestrator.model.commands import Command
from orchestrator.model.planned_run import OPEN, PlannedRun, ScheduleProgress, StudyRun
from orchestrator.model.progress_events import Best
from orchestrator.sampling.best_trials import front_of, in_memory, rank
from tests.simulated.memory_books import MemoryBooks, MemoryDatabase


class MemoryCalendar:
    """The schedules, for a writer, which has the right of ``books``."""

    def __init__(self, database: MemoryDatabase, books: MemoryBooks) -> None:
        self._database = database
        self._books = books

    def define(self, schedule: str, definition: str, since: int) -> None:
        self._books.check_writer()
        if not definition:
            self._database.schedules.pop(schedule, None)
        elif self._database.schedules.get(schedule, ("", 0))[0] != definition:
            self._database.schedules[schedule] = (definition, since)

    def put(self, *slots: PlannedRun) -> None:
        self._books.check_writer()
        for slot in slots:
            self._database.slots[slot.schedule, slot.planned] = slot

    def find(self, schedule: str, planned: Iterable[int]) -> dict[int, PlannedRun]:
        self._database.check()
        wanted = {(schedule, each) for each in planned}
        return {key[1]: slot for key, slot in self._database.slots.items() if key in wanted}

    def open(self) -> list[StudyRun]:
        return self._runs(lambda slot: slot.state in OPEN)

    def runs(self, schedule: str) -> list[StudyRun]:
        states = ("waiting", "running", "ended")
        return self._runs(lambda slot: slot.schedule == schedule and slot.state in states)[::-1]

    def bests(self, study: str, most: int) -> list[Best]:
        self._database.check()
        ledger = self._database.ledgers.get(study)
        if ledger is None:
            return []
        found = in_memory(ledger.snapshot().trials, ledger.spec.objectives)
        front = front_of(found)
        if front is not None:
            return [Best(number=each.number, value=each.values[0], params=each.params) for each in front[:most]]
        good, _ = rank(found.trials, maximize=ledger.spec.direction == "maximize")
        return [Best(number=each.number, value=each.values[0], params=each.params) for each in good[:most]]

    def attempts_of(self, study: str) -> tuple[str, list[str]]:
        self._database.check()
        if study not in self._database.ledgers:
            raise BadInput(f"study '{study}'", "there is none of that name in this database")
        ledger = self._database.ledgers[study]
        return ledger.uid, list(ledger.attempts)

    def throw_study(self, slot: PlannedRun) -> None:
        self.put(slot)
        self._database.ledgers.pop(slot.study, None)

    def delete_study(self, name: str, at: float) -> bool:
        self._books.check_writer()
        for key, slot in self._database.slots.items():
            if slot.study == name and slot.state in ("running", "ended", "deleting"):
                gone = replace(slot, state="deleted", reason="deleted by hand", report="", decided=at, spec=None)
                self._database.slots[key] = gone
        return self._database.ledgers.pop(name, None) is not None

    def _runs(self, wanted: Callable[[PlannedRun], bool]) -> list[StudyRun]:
        self._database.check()
        found = sorted(filter(wanted, self._database.slots.values()), key=lambda slot: (slot.planned, slot.schedule))
        ledgers = self._database.ledgers
        return [
            StudyRun(slot, ledgers[slot.study].state, json.dumps(ledgers[slot.study].spec.to_json()))
            if slot.study in ledgers
            else StudyRun(slot, None, None)
            for slot in found
        ]


class MemoryDesk:
    """The database, as a beat uses it; ``clock`` is the database's."""

    def __init__(self, database: MemoryDatabase, clock: Callable[[], float]) -> None:
        self._database = database
        self._clock = clock
        self.asked = 0

    def known(self, names: list[str]) -> tuple[float, dict[str, ScheduleProgress]]:
        self.asked += 1
        self._database.check()
        slots = [slot for slot in self._database.slots.values() if not slot.manual]
        return self._clock(), {
            name: ScheduleProgress(*there, max((slot.planned for slot in slots if slot.schedule == name), default=0))
            for name, there in self._database.schedules.items()
            if name in names
        }

    def issue(self, commands: list[Command]) -> None:
        self._database.check()
        for each in commands:
            self._database.issue(each.key, each.operation, each.study, each.payload)
