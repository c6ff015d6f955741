"""Work that no event announces: silent runners, slots that come and go, timeouts, changes by other processes."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.common.clock import Clock
from orchestrator.control.engine_registry import EngineRegistry
from orchestrator.control.foreign_changes import ForeignChanges
from orchestrator.control.liveness import HeartbeatTracker, SlotTracker
from orchestrator.control.ports import Bell, Stream
from orchestrator.control.recovery import Recovery
from orchestrator.engine.inputs import SlotsCounted, TimePassed
from orchestrator.model.lifecycle import AttemptState

LOOKS = 8
"""Looks for silent runners and slots in each heartbeat interval."""


@dataclass(eq=False)
class Supervisor:
    """Feeds the studies with what the stream does not say."""

    events: Stream
    studies: EngineRegistry
    heartbeats: HeartbeatTracker
    slots: SlotTracker
    foreign: ForeignChanges
    recovery: Recovery
    bell: Bell
    clock: Clock
    heartbeat: float
    _look_at: float = field(default=0.0, init=False)
    _probe_at: float = field(default=0.0, init=False)
    _tidy_at: float = field(default=0.0, init=False)

    def due_in(self, now: float) -> float:
        """Returns after how many seconds there is something to do, at the latest; ``now`` is the monotonic time."""
        return min(self.heartbeat / 2, self._tidy_at - now)

    def tend(self) -> None:
        """Does what is due."""
        now = self.clock.monotonic()
        if now >= self._look_at:
            # All runners and slots are looked at: not at every event.
            self._look_at = now + self.heartbeat / LOOKS
            self._look_for_silence(now)
            self.slots.forget_silent()
        self._count_slots()
        self._end_in_time()
        if now >= self._tidy_at:
            self._tidy_at = now + self.heartbeats.lease
            self.foreign.look()
            self.bell.rung = True
            self.events.read_pending_again()
            if self.heartbeats.trusted():
                lease = self.heartbeats.lease
                self.recovery.resend_missing(lambda sent: self.heartbeats.silence(sent) > lease)

    def _look_for_silence(self, now: float) -> None:
        """Finds the runners that are silent, where they could be heard."""
        running = self.studies.live(AttemptState.RUNNING, AttemptState.STOPPING)
        if self.heartbeats.doubtful(running, now):
            if now >= self._probe_at:
                # A runner that cannot be heard is not dead: a server that is full still answers, and takes nothing.
                self._probe_at = now + self.heartbeat
                self.events.probe()
            if not self.events.drained and self.heartbeats.wants_end and (end := self.events.end()) is not None:
                # There is more to read than is read at once. What a runner has said until now is in front of this.
                self.heartbeats.note_end(end, now)
        for row in self.heartbeats.silent(running):
            self.studies.lose(row, f"no sign of life from {row.slot}")

    def _count_slots(self) -> None:
        """Tells the studies that promote trials how many slots there are."""
        for engine in self.studies:
            if engine.trials.promotes and (slots := self.slots.count(engine.spec.queue)) != engine.slots:
                with self.studies.guarded(engine.name):
                    self.studies.apply(engine, SlotsCounted(slots))

    def _end_in_time(self) -> None:
        """Tells the studies with a timeout that it is over."""
        wall = self.clock.wall()
        for engine in self.studies:
            if engine.deadline is not None and wall >= engine.deadline:
                with self.studies.guarded(engine.name):
                    self.studies.apply(engine, TimePassed())
