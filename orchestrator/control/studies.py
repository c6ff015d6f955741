"""The studies at hand: an engine for each, which study an attempt is of, and everything that an engine is fed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from orchestrator.changes import AttemptRow
from orchestrator.control import journal
from orchestrator.control.batch_log import of_trial
from orchestrator.control.journal import Journal, Record
from orchestrator.engine.core import Snapshot
from orchestrator.engine.outputs import Batch
from orchestrator.engine.study import StudyEngine
from orchestrator.lifecycle import AttemptState
from orchestrator.ports import Books, Clock, Progress, Pruners, untold
from orchestrator.spec import Spec
from orchestrator.study_states import ENDED

log = logging.getLogger(__name__)

MOST_HELD = 10_000
"""Inputs that are kept of a study that waits for its own pruner."""


class Studies:
    """Holds the engines, and records what they are fed if that is wanted.

    Args:
        store: Where studies come from.
        record: Where inputs are recorded, if they are.
        clock: Time.
        pruners: Where pruner classes of the user's own are asked.
        progress: Called with each input and each study that is read.
    """

    def __init__(
        self, store: Books, record: Journal | None, clock: Clock, pruners: Pruners, progress: Progress = untold
    ) -> None:
        self._store = store
        self._record = record
        self._clock = clock
        self._progress = progress
        self._pruners = pruners
        # By study: what came while its pruner was asked, and is put in behind the answer.
        self._held: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        self._engines: dict[str, StudyEngine] = {}
        self._study_of: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._engines

    def __getitem__(self, name: str) -> StudyEngine:
        return self._engines[name]

    def __iter__(self) -> Iterator[StudyEngine]:
        return iter(self._engines.values())

    def __len__(self) -> int:
        return len(self._engines)

    def of(self, token: str) -> StudyEngine | None:
        """Returns the study that an attempt belongs to, if it is at hand."""
        name = self._study_of.get(token)
        return None if name is None else self._engines[name]

    def load(self, name: str) -> None:
        """Reads a study from the database, and makes its engine anew."""
        self.open(self._store.load(name))

    def open(self, snapshot: Snapshot) -> None:
        """Makes the engine of a study that was just read."""
        name, at = snapshot.spec.name, self._clock.wall()
        self._held.pop(name, None)
        self._pruners.open(snapshot.spec)
        if self._record:
            spec = snapshot.spec.shown()
            self._record.write(
                Record(study=name, call="open", at=at, spec=spec, uid=snapshot.uid, seed=snapshot.seed, answered=True),
            )
        engine = self._engines[name] = StudyEngine(snapshot, at)
        self._progress()
        for row in engine.attempts:
            self._study_of[row.token] = name
        log.info(
            "study %s: %d of %d trials there",
            name,
            engine.trials.count,
            engine.budget,
            extra={"action": "study_opened", "study": name},
        )

    def reload(self) -> None:
        """Throws away what is in memory and reads the same studies again."""
        names = list(self._engines)
        self._engines.clear()
        self._study_of.clear()
        for name in names:
            self.load(name)

    def feed(self, engine: StudyEngine, call: str, **fields: Any) -> None:
        """Puts one input into an engine; behind the answer, where the study waits for one of its own pruner."""
        if engine.waits:
            held = self._held.setdefault(engine.name, [])
            # What is due is said again at every look; of events, the keepers have those that find no room.
            if len(held) < MOST_HELD and (call == "apply" or (call, fields) not in held):
                held.append((call, fields))
            return
        self._put(engine, call, fields)

    def take_answers(self) -> None:
        """Puts in what pruners of the user's own have answered, and then what came meanwhile."""
        for name, result in self._pruners.take():
            engine = self._engines.get(name)
            if engine is None or not engine.waits:
                continue
            if isinstance(result, Exception):
                self._put(engine, "give_up", {"text": str(result)})
                continue
            self._put(engine, "answer", {"answer": result})
            held = self._held.pop(name, [])
            while held and not engine.waits:
                self._put(engine, *held.pop(0))
            if held:
                self._held[name] = held

    def _put(self, engine: StudyEngine, call: str, fields: Mapping[str, Any]) -> None:
        record = Record(study=engine.name, call=call, at=self._clock.wall(), **fields)
        if self._record:
            shown = None if record.spec is None else Spec.from_json(record.spec).shown()
            self._record.write(msgspec.structs.replace(record, spec=shown))
        journal.feed(engine, record)
        self._progress()
        for token in engine.attempts.touched:
            self._study_of.setdefault(token, engine.name)
        if (question := engine.take_question()) is not None:
            self._pruners.ask(engine.name, question)

    def lose(self, row: AttemptRow, cause: str) -> None:
        """Says of an attempt that its runner is no more."""
        engine = self._engines[self._study_of[row.token]]
        extra = of_trial("attempt_lost", engine.name, row.trial, row)
        log.warning("study %s: trial %d: %s", engine.name, row.trial, cause, extra=extra)
        self.feed(engine, "lose", token=row.token, text=cause)

    def live(self, *states: AttemptState) -> list[AttemptRow]:
        """Returns the live attempts of all studies that stand in one of ``states``."""
        return [row for engine in self for row in engine.attempts.in_state(*states)]

    def take(self) -> dict[str, Batch]:
        """Returns what has come of the inputs since the last call, by study."""
        return {engine.name: engine.take() for engine in self if not engine.waits}

    def close_ended(self) -> list[StudyEngine]:
        """Lets go of the studies that have ended and for which nobody trains any more; returns them."""
        over = [
            engine
            for engine in self
            if engine.state in ENDED and not engine.waits and not engine.attempts.count(*AttemptState)
        ]
        for engine in over:
            self._pruners.close(engine.name)
            del self._engines[engine.name]
            for row in engine.attempts:
                self._study_of.pop(row.token, None)
            extra = {"action": "study_closed", "study": engine.name}
            log.info("study %s %s", engine.name, engine.state, extra=extra)
        return over

    def close(self) -> None:
        """Ends the recording, and the pruners of the user's own."""
        self._pruners.close()
        if self._record:
            self._record.close()
