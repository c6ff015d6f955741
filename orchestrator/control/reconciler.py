"""Redis made to say what the database says: what attempts were confirmed, and which tasks wait."""

from __future__ import annotations

from collections.abc import Callable

from orchestrator.control.effects import Effects
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.ports import Broker
from orchestrator.engine.inputs import TaskMissing
from orchestrator.model.lifecycle import AttemptState


class Reconciler:
    """Stages what is missing; the next actions put it there.

    Args:
        studies: The studies at hand.
        effects: What is about to be done.
        broker: Where tasks wait for slots.
    """

    def __init__(self, studies: EngineRegistry, effects: Effects, broker: Broker) -> None:
        self._studies = studies
        self._effects = effects
        self._broker = broker

    def reconcile(self) -> None:
        """Confirms every attempt again, and sends again whatever waits nowhere."""
        for engine in self._studies:
            with self._studies.guarded(engine.name):
                for row in engine.attempts.in_state(*AttemptState):
                    self._effects.confirmations[row.token] = engine.attempts.confirmation(row.token)
        self.resend_missing(lambda _: True)

    def resend_missing(self, overdue: Callable[[float], bool]) -> None:
        """Sends again what was sent, never started, and waits in no queue.

        What another control plane has sent is overdue whatever the time: this one has looked for it at its start, and
        the clock may have been set since.

        Args:
            overdue: Whether what this control plane has sent at that time should have started.
        """
        rows = self._studies.live(AttemptState.SENT)
        times = self._effects.sent
        for token in times.keys() - {row.token for row in rows}:
            del times[token]
        sent = [row for row in rows if row.token not in times or overdue(times[row.token])]
        on_its_way = self._effects.on_its_way()
        if not sent:
            return
        queues = {engine.spec.queue for engine in self._studies}
        waiting = self._broker.waiting(queues)
        for row in sorted(sent, key=lambda row: (row.number == 1, row.trial)):
            engine = self._studies.of(row.token)
            if engine is not None and row.token not in waiting and row.token not in on_its_way:
                with self._studies.guarded(engine.name):
                    self._studies.apply(engine, TaskMissing(row.token))
