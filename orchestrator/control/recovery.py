"""Who has gone silent, judged by the control plane's own clock alone, and never while it was itself behind."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.changes import AttemptRow
from tasks.contract import Alive


@dataclass
class Watch:
    """When each attempt was last heard of. All times are seconds of one monotonic clock.

    Args:
        lease: How long a runner may be silent.
    """

    lease: float
    caught_up_since: float | None = None
    heard: dict[str, float] = field(default_factory=dict)

    def hear(self, token: str, now: float) -> None:
        """The runner bound to ``token`` gave a sign of life."""
        self.heard[token] = now

    def fell_behind(self) -> None:
        """The stream could not be read, or reading it stood still: silence proves nothing for a while."""
        self.caught_up_since = None

    def caught_up(self, now: float) -> None:
        """Everything that was in the stream has been read."""
        if self.caught_up_since is None:
            self.caught_up_since = now

    def trusted(self, now: float) -> bool:
        """Whether silence means something: the stream has been followed for a whole lease."""
        return self.caught_up_since is not None and now - self.caught_up_since > self.lease

    def silent(self, running: Iterable[AttemptRow], now: float) -> list[AttemptRow]:
        """Returns the attempts whose runner has been silent for longer than the lease."""
        return self._silent_for(self.lease, running, now) if self.trusted(now) else []

    def doubtful(self, running: Iterable[AttemptRow], now: float) -> bool:
        """Whether some runner has been silent for long enough to ask whether anybody can be heard at all.

        In good time: had whoever can be heard again been asked for at the end of the lease only, those who could not
        be heard before would be given no time to speak.
        """
        return bool(self._silent_for(self.lease / 2, running, now))

    def _silent_for(self, seconds: float, running: Iterable[AttemptRow], now: float) -> list[AttemptRow]:
        since = self.caught_up_since
        if since is None:
            return []
        return [row for row in running if now - max(self.heard.get(row.token, since), since) > seconds]

    def forget(self, tokens: Iterable[str]) -> None:
        """Drops attempts that are over."""
        for token in tokens:
            self.heard.pop(token, None)


class Slots:
    """Which slots there are, by the signs of life of their keepers, idle ones included.

    Args:
        lease: How long a slot may be silent, in seconds.
    """

    def __init__(self, lease: float) -> None:
        self._lease = lease
        self._heard: dict[str, tuple[float, Alive]] = {}

    def hear(self, body: Alive, now: float) -> None:
        """A keeper gave a sign of life."""
        self._heard[body.slot] = (now, body)

    def forget_silent(self, now: float) -> None:
        """Drops the slots that have been silent for longer than the lease."""
        for slot in [slot for slot, (heard, _) in self._heard.items() if now - heard > self._lease]:
            del self._heard[slot]

    def count(self, queue: str) -> int:
        """Returns how many slots take tasks from ``queue``."""
        return sum(queue in body.queues for _, body in self._heard.values())

    def busy_and_idle(self) -> tuple[int, int]:
        """Returns how many slots have something to do, and how many have not."""
        busy = sum(body.busy for _, body in self._heard.values())
        return busy, len(self._heard) - busy


def dead_here(row: AttemptRow) -> bool:
    """Returns whether the attempt trained on this host, in a process that is no more. Nobody need wait for a lease.

    A process id that another process has taken since only means waiting for the lease after all.
    """
    if row.host != socket.gethostname() or row.pid is None or not 0 < row.pid < 2**31:
        return False
    try:
        os.kill(row.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
