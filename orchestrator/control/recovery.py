"""Recovery: studies are taken up from the database, and Redis is made to say what the database says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from orchestrator.common.clock import Clock
from orchestrator.control.effects import Effects
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.liveness import HeartbeatTracker, dead_here
from orchestrator.control.ports import Ports
from orchestrator.engine.inputs import TaskMissing
from orchestrator.model.lifecycle import AttemptState


@dataclass(eq=False)
class Recovery:
    """Takes studies up, and stages what is missing in Redis; the next effects put it there."""

    ports: Ports
    studies: EngineRegistry
    effects: Effects
    heartbeats: HeartbeatTracker
    clock: Clock
    only: str

    def take_up_all(self) -> None:
        """Takes up the studies that have not ended, and the notifications that are owed."""
        store = self.ports.store
        suspended = store.suspended()
        for name, suspension in suspended.items():
            if not self.only or name == self.only:
                self.studies.leave_suspended(name, suspension)
        for name in store.unsettled():
            known = suspended.get(name)
            if (not self.only or name == self.only) and (known is None or known.passing):
                with self.studies.guarded(name):
                    self.studies.take_up(name)
        for owed in store.pending_notifications():
            if not self.only or owed.study == self.only:
                with self.studies.guarded(owed.study):
                    self.ports.notifier.owe([owed])

    def take_up(self, name: str) -> None:
        """Reads a study again, whatever is in memory: what others have written to the database is found, too."""
        self.studies.take_up(name)
        now = self.clock.monotonic()
        for row in self.studies[name].attempts.in_state(AttemptState.RUNNING, AttemptState.STOPPING):
            # While it was suspended its runners were not listened to: a lease from now.
            self.heartbeats.hear(row.token, now)
        self.reconcile()

    def lose_dead(self) -> None:
        """Ends the attempts whose process on this host is gone."""
        for row in self.studies.live(AttemptState.RUNNING, AttemptState.STOPPING):
            if dead_here(row):
                self.studies.lose(row, "its process is gone")

    def reconcile(self) -> None:
        """Confirms every attempt again, and sends again what waits nowhere."""
        for engine in self.studies:
            with self.studies.guarded(engine.name):
                for row in engine.attempts.in_state(*AttemptState):
                    self.effects.confirmations[row.token] = engine.attempts.confirmation(row.token)
        self.resend_missing(lambda _: True)

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
