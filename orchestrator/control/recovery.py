"""Recovery: studies are taken up from the database, and Redis is made to say what the database says."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from orchestrator.common.clock import Clock
from orchestrator.control.effects import Effects
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.liveness import HeartbeatTracker, dead_here
from orchestrator.control.ports import Ports
from orchestrator.engine.inputs import TaskMissing
from orchestrator.engine.study import StudyEngine
from orchestrator.messaging.event_stream import Entry
from orchestrator.model.lifecycle import AttemptState

log = logging.getLogger(__name__)

TAKE_UP_SECONDS = 0.5
"""Studies are read for so long before the loop begins; the others are read one by one between its rounds."""


@dataclass(eq=False)
class Recovery:
    """Takes studies up, and stages what is missing in Redis; the next effects put it there."""

    ports: Ports
    studies: EngineRegistry
    effects: Effects
    heartbeats: HeartbeatTracker
    clock: Clock
    only: str
    # Studies that are still to be read, and that commands are for.
    wanted: set[str] = field(default_factory=set, init=False)

    def take_up_all(self) -> None:
        """Takes up the studies that have not ended, and the notifications that are owed."""
        store = self.ports.store
        suspended = store.suspended()
        for name, suspension in suspended.items():
            if not self.only or name == self.only:
                self.studies.leave_suspended(name, suspension)
        names = [
            name
            for name in store.unsettled()
            if (not self.only or name == self.only) and ((known := suspended.get(name)) is None or known.passing)
        ]
        until = self.clock.monotonic() + TAKE_UP_SECONDS
        while names and self.clock.monotonic() <= until:
            name = names.pop(0)
            with self.studies.guarded(name):
                self.studies.take_up(name)
        if names:
            log.info("%d studies are read while the others go on", len(names), extra={"action": "studies_awaited"})
            live = store.live_tokens()
            for name in sorted(names, key=lambda name: name not in live):
                self.studies.await_study(name, live.get(name, ()))
        for owed in store.pending_notifications():
            if not self.only or owed.study == self.only:
                with self.studies.guarded(owed.study):
                    self.ports.notifier.owe([owed])

    def take_up_next(self) -> tuple[str, Iterable[Entry]]:
        """Reads the study that is needed the soonest of those that are still to be read: one that a command is for, or
        that entries of the stream wait for. Returns its name, and these entries, which are to be folded now."""
        awaited = self.studies.awaited
        name = next(iter(awaited))
        name = next((each for each, entries in awaited.items() if entries), name)
        name = next((each for each in awaited if each in self.wanted), name)
        entries = awaited.pop(name)
        self.wanted.discard(name)
        with self.studies.guarded(name):
            self.studies.take_up(name)
            self._hear_runners(name)
        return name, entries.values()

    def take_up(self, name: str) -> None:
        """Reads a study again, whatever is in memory: what others have written to the database is found, too."""
        self.studies.take_up(name)
        self._hear_runners(name)
        self.reconcile()

    def _hear_runners(self, name: str) -> None:
        """Gives a study's runners a lease from now: they were not listened to before it was taken up."""
        now = self.clock.monotonic()
        for row in self.studies[name].attempts.in_state(AttemptState.RUNNING, AttemptState.STOPPING):
            self.heartbeats.hear(row.token, now)

    def lose_dead(self) -> None:
        """Ends the attempts whose process on this host is gone."""
        for row in self.studies.live(AttemptState.RUNNING, AttemptState.STOPPING):
            if dead_here(row):
                self.studies.lose(row, "its process is gone")

    def reconcile(self) -> None:
        """Confirms every attempt again, and sends again what waits nowhere."""
        for engine in self.studies:
            self._confirm(engine)
        self.resend_missing(lambda _: True)

    def reconcile_study(self, name: str) -> None:
        """Does so for a study that was just read."""
        if name in self.studies:
            self._confirm(self.studies[name])
            self.resend_missing(lambda _: False)

    def _confirm(self, engine: StudyEngine) -> None:
        with self.studies.guarded(engine.name):
            for row in engine.attempts.in_state(*AttemptState):
                self.effects.confirmations[row.token] = engine.attempts.confirmation(row.token)

    def resend_missing(self, overdue: Callable[[float], bool]) -> None:
        """Sends again what was sent, never started, and waits in no queue.

        What another control plane has sent is overdue whatever the time: this one has looked for it at its start, and
        the clock may have been set since.

        Args:
            overdue: Whether what this control plane has sent at that time should have started.
        """
        rows = self.studies.live(AttemptState.SENT)
        times = self.effects.sent
        for token in times.keys() - {row.token for row in rows}:
            del times[token]
        on_its_way = self.effects.on_its_way()
        sent = [
            row for row in rows if row.token not in on_its_way and (row.token not in times or overdue(times[row.token]))
        ]
        if not sent:
            return
        waiting = self.ports.broker.waiting({engine.spec.queue for engine in self.studies})
        for row in sorted(sent, key=lambda row: (row.number == 1, row.trial)):
            engine = self.studies.of(row.token)
            if engine is not None and row.token not in waiting:
                with self.studies.guarded(engine.name):
                    self.studies.apply(engine, TaskMissing(row.token))
