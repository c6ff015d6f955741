"""The liveness of runners and slots: judged on one clock, by what was read and while something was read."""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.model.changeset import AttemptRow
from tasks.contract import Heartbeat
from tasks.process_identity import has_ended, has_our_namespace

log = logging.getLogger(__name__)


@dataclass
class HeartbeatTracker:
    """The silence of each runner, as far as the stream has been read.

    What a runner says is heard when it is read, which may be long after it was said. So silence is counted up to a
    moment before which all that was said has been read: the beginning of a read that left nothing in the stream, or,
    while there is always more, the moment at which the end of the stream was noted that has been reached by now. Of a
    runner that lives, its last heartbeat before that moment has been heard.

    Methods take the control plane's monotonic time. A longer step of it counts as ``pause`` only: then this process, or
    this whole machine, stood still, or was busy otherwise, and no runner could be heard.

    Args:
        lease: How long a runner may be silent, in seconds.
        pause: The longest time between two looks that counts in full, in seconds.

    Attributes:
        heard: When a runner was last heard, by the token of its attempt.
    """

    lease: float
    pause: float
    heard: dict[str, float] = field(default_factory=dict)
    _looked: float = 0.0
    _last: float | None = None
    _since: float | None = None
    _read_to: float | None = None
    _reading: float = 0.0
    _end: tuple[bytes, float] | None = None

    def hear(self, token: str, now: float) -> None:
        """The runner bound to ``token`` gave a sign of life."""
        self.heard[token] = self.at(now)

    def fell_behind(self) -> None:
        """Notes that events may not have arrived: silence counts from the next moment up to which all is read."""
        self._since = self._read_to = self._end = None

    def begin_read(self, now: float) -> None:
        """The stream is about to be read."""
        self._reading = self.at(now)

    def read_everything(self) -> None:
        """The read that began last has left nothing in the stream."""
        self._reach(self._reading)
        self._end = None

    def read_up_to(self, entry: bytes) -> None:
        """The stream has been read up to the entry with this id, and goes on behind it."""
        if self._end is not None and place(entry) >= place(self._end[0]):
            self._reach(self._end[1])
            self._end = None

    @property
    def wants_end(self) -> bool:
        """Whether the end of the stream is to be noted."""
        return self._end is None

    def note_end(self, entry: bytes, now: float) -> None:
        """At ``now`` the stream ended with this entry."""
        self._end = entry, self.at(now)

    def trusted(self) -> bool:
        """Whether silence means something: the stream has been followed for a whole lease."""
        return self._since is not None and self._read_to is not None and self._read_to - self._since > self.lease

    def silent(self, running: Iterable[AttemptRow]) -> list[AttemptRow]:
        """Returns the attempts whose runner has been silent for longer than the lease."""
        return [row for row in running if self.silence(self.heard.get(row.token)) > self.lease]

    def doubtful(self, running: Iterable[AttemptRow], now: float) -> bool:
        """Whether some runner has not been heard for long enough to ask whether any of them can be heard at all.

        Half a lease early: runners that could not be heard before need time to speak.
        """
        at = self.at(now)
        since = at if self._since is None else self._since
        return any(at - max(self.heard.get(row.token, since), since) > self.lease / 2 for row in running)

    def silence(self, heard: float | None) -> float:
        """Returns for how long something has been silent that was last heard at ``heard``, in seconds."""
        if self._since is None or self._read_to is None:
            return 0.0
        return self._read_to - max(self._since, self._since if heard is None else heard)

    def forget(self, tokens: Iterable[str]) -> None:
        """Drops attempts that are over."""
        for token in tokens:
            self.heard.pop(token, None)

    def at(self, now: float) -> float:
        """Returns the time that was spent looking until ``now``, in seconds."""
        if self._last is None:
            self._last = now
        self._looked += min(max(0.0, now - self._last), self.pause)
        self._last = max(now, self._last)
        return self._looked

    def _reach(self, moment: float) -> None:
        if self._since is None:
            self._since = moment
        self._read_to = moment if self._read_to is None else max(self._read_to, moment)


def place(entry: bytes) -> tuple[int, int]:
    """Returns what the ids of a stream's entries are ordered by."""
    milliseconds, _, number = entry.partition(b"-")
    return int(milliseconds), int(number or 0)


class SlotTracker:
    """The slots there are, by the heartbeats of their keepers, idle ones included.

    Args:
        heartbeats: Tells for how long they have been silent.
    """

    def __init__(self, heartbeats: HeartbeatTracker) -> None:
        self._heartbeats = heartbeats
        self._heard: dict[str, tuple[float, Heartbeat]] = {}
        self._by_queue: Counter[str] = Counter()
        # What idle slots take tasks from.
        self._idle: dict[str, tuple[str, ...]] = {}

    def hear(self, body: Heartbeat, now: float) -> None:
        """A keeper gave a sign of life."""
        before = self._heard.get(body.slot)
        if body.trouble and (before is None or not before[1].trouble):
            about = {"action": "host_without_room"}
            log.warning("slot %s of %s takes no trials for now: %s", body.slot, body.host, body.trouble, extra=about)
        if before is None or before[1].queues != body.queues:
            self._by_queue.subtract(() if before is None else set(before[1].queues))
            self._by_queue.update(set(body.queues))
        self._heard[body.slot] = (self._heartbeats.at(now), body)
        if body.busy or body.trouble:
            self.take(body.slot)
        else:
            self._idle[body.slot] = body.queues

    def take(self, slot: str) -> None:
        """A slot has begun a trial."""
        self._idle.pop(slot, None)

    def forget_silent(self) -> None:
        """Drops the slots that have been silent for longer than the lease."""
        for slot in [
            slot for slot, (heard, _) in self._heard.items() if self._heartbeats.silence(heard) > self._heartbeats.lease
        ]:
            self._by_queue.subtract(set(self._heard.pop(slot)[1].queues))
            self.take(slot)

    def count(self, queue: str) -> int:
        """Returns how many slots take tasks from ``queue``."""
        return self._by_queue[queue]

    def idle(self, queue: str) -> int:
        """Returns how many slots that take tasks from ``queue`` have nothing to do, and have begun nothing since."""
        return sum(queue in queues for queues in self._idle.values())

    def busy_and_idle(self) -> tuple[int, int]:
        """Returns how many slots have something to do, and how many have not."""
        busy = sum(body.busy for _, body in self._heard.values())
        return busy, len(self._heard) - busy


def dead_here(row: AttemptRow) -> bool:
    """Returns whether the attempt trained on this host, in a process that is no more: its lease need not run out.

    A process id that another process has taken since only means waiting for the lease after all, and so does one of
    another PID namespace.
    """
    known = row.host == socket.gethostname() and has_our_namespace(row.runner or "")
    if not known or row.pid is None or not 0 < row.pid < 2**31:
        return False
    return has_ended(row.pid)
