"""Redis made to say what the database says: what attempts were confirmed, and which tasks wait."""

from __future__ import annotations

from orchestrator.control.actions import Actions
from orchestrator.control.studies import Studies
from orchestrator.lifecycle import AttemptState
from orchestrator.ports import Broker, Clock


class Reconciler:
    """Stages what is missing; the next actions put it there.

    Args:
        studies: The studies at hand.
        actions: What is about to be done.
        broker: Where tasks wait for slots.
        clock: Time.
    """

    def __init__(self, studies: Studies, actions: Actions, broker: Broker, clock: Clock) -> None:
        self._studies = studies
        self._actions = actions
        self._broker = broker
        self._clock = clock

    def reconcile(self) -> None:
        """Confirms every attempt again, and sends again whatever waits nowhere."""
        for engine in self._studies:
            for row in engine.attempts.in_state(*AttemptState):
                self._actions.confirmations[row.token] = engine.attempts.confirmation(row.token)
        self.resend_missing(self._clock.wall())

    def resend_missing(self, before: float) -> None:
        """Sends again what was sent ``before``, in seconds since the epoch, never started, and waits in no queue."""
        sent = [row for row in self._studies.live(AttemptState.SENT) if row.sent is None or row.sent <= before]
        on_its_way = self._actions.on_its_way()
        if not sent:
            return
        queues = {engine.spec.queue for engine in self._studies}
        waiting = self._broker.waiting(queues)
        for row in sorted(sent, key=lambda row: (row.number == 1, row.trial)):
            engine = self._studies.of(row.token)
            if engine is not None and row.token not in waiting and row.token not in on_its_way:
                self._studies.feed(engine, "resend", token=row.token)
