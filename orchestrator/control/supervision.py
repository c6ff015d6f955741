"""What is due without an event: silent runners, slots that come and go, timeouts, what others did to the database."""

from __future__ import annotations

from orchestrator.common.clock import Clock
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.foreign_changes import ForeignChanges
from orchestrator.control.liveness import HeartbeatTracker, SlotTracker
from orchestrator.control.ports import Bell, Stream
from orchestrator.control.recovery import Recovery
from orchestrator.engine.inputs import SlotsCounted, TimePassed
from orchestrator.model.lifecycle import AttemptState


class Supervisor:
    """Feeds the studies with what the stream does not say.

    Args:
        events: The stream.
        studies: The studies at hand.
        heartbeats, slots: The runners and slots that are heard.
        foreign: Finds what others did to the database.
        recovery: Sends again what is missing.
        bell: Rung once a lease, as a command's own ring may have been lost.
        clock: Time.
        heartbeat: Seconds between two probes of a server that may take nothing.
    """

    def __init__(
        self,
        events: Stream,
        studies: EngineRegistry,
        heartbeats: HeartbeatTracker,
        slots: SlotTracker,
        foreign: ForeignChanges,
        recovery: Recovery,
        bell: Bell,
        clock: Clock,
        heartbeat: float,
    ) -> None:
        self._events = events
        self._studies = studies
        self._heartbeats = heartbeats
        self._slots = slots
        self._foreign = foreign
        self._recovery = recovery
        self._bell = bell
        self._clock = clock
        self._heartbeat = heartbeat
        self._probe_at = 0.0
        self._tidy_at = 0.0

    def due_in(self, now: float) -> float:
        """Returns after how many seconds there is something to do, at the latest; ``now`` is the monotonic time."""
        return min(self._heartbeat / 2, self._tidy_at - now)

    def tend(self) -> None:
        """Does what is due."""
        now = self._clock.monotonic()
        running = self._studies.live(AttemptState.RUNNING, AttemptState.STOPPING)
        if self._heartbeats.doubtful(running, now):
            if now >= self._probe_at:
                # A runner that cannot be heard is not dead: a server that is full still answers, and takes nothing.
                self._probe_at = now + self._heartbeat
                self._events.probe()
            if not self._events.drained and self._heartbeats.wants_end and (end := self._events.end()) is not None:
                # There is more to read than is read at once. What a runner has said until now is in front of this.
                self._heartbeats.note_end(end, now)
        for row in self._heartbeats.silent(running):
            self._studies.lose(row, f"no sign of life from {row.slot}")
        self._count_slots()
        self._end_in_time()
        if now >= self._tidy_at:
            self._tidy_at = now + self._heartbeats.lease
            self._foreign.look()
            self._bell.rung = True
            self._events.read_pending_again()
            if self._heartbeats.trusted():
                lease = self._heartbeats.lease
                self._recovery.resend_missing(lambda sent: self._heartbeats.silence(sent) > lease)

    def _count_slots(self) -> None:
        """Tells the studies that promote trials how many slots there are."""
        self._slots.forget_silent()
        for engine in self._studies:
            with self._studies.guarded(engine.name):
                if engine.trials.promotes and (slots := self._slots.count(engine.spec.queue)) != engine.slots:
                    self._studies.apply(engine, SlotsCounted(slots))

    def _end_in_time(self) -> None:
        """Tells the studies with a timeout that it is over."""
        wall = self._clock.wall()
        for engine in self._studies:
            with self._studies.guarded(engine.name):
                if engine.deadline is not None and wall >= engine.deadline:
                    self._studies.apply(engine, TimePassed())
