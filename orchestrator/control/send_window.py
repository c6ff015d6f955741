"""The tasks that wait to be sent: few of them wait with the broker, so that each study gets its share of the slots.

A queue of Celery is a list for each class of priority, taken from in the order of sending. So the order of sending
decides how slots are shared, and only a task that is not sent yet can be overtaken. Where several studies share a
queue, as many tasks wait with the broker as slots take until the next ones can be sent. A study that has its queue for
itself has all its tasks sent at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from orchestrator.engine.fair_queue import FairQueue
from orchestrator.engine.outputs import Send
from orchestrator.messaging.dispatch import class_of, step_of

LEAD_SECONDS = 0.1
"""Tasks for so long a time wait with the broker, or for twice the time of a commit where that is longer."""

RATE_SECONDS = 2.0
"""The time over which the rate is measured at which slots take tasks."""


@dataclass
class _Queue:
    """One Celery queue: the tasks that wait here for it, by class of priority, and how fast slots take them."""

    classes: dict[int, FairQueue[Send]] = field(default_factory=dict)
    rate: float = 0.0
    rated_at: float = 0.0

    def note_taken(self, count: int, at: float) -> None:
        self.rate = self.rate_at(at) + count / RATE_SECONDS
        self.rated_at = at

    def rate_at(self, at: float) -> float:
        """Returns how many tasks slots take in a second."""
        return self.rate * math.exp(-max(0.0, at - self.rated_at) / RATE_SECONDS)


@dataclass
class SendWindow:
    """Chooses which tasks are sent, and when."""

    _queues: dict[str, _Queue] = field(default_factory=dict, init=False)
    # By token, a task and where it waits.
    _waiting: dict[str, tuple[Send, FairQueue[Send]]] = field(default_factory=dict, init=False)
    _commit: float = field(default=0.0, init=False)

    def tokens(self) -> set[str]:
        """Returns the attempts whose tasks wait here."""
        return set(self._waiting)

    def queues(self) -> list[str]:
        """Returns the queues for which tasks wait here."""
        return sorted({send.queue for send, _ in self._waiting.values()})

    def studies(self, queue: str) -> set[str]:
        """Returns the studies whose tasks wait here for a queue."""
        return {study for each in self._queues[queue].classes.values() for study in each.studies()}

    def add(self, send: Send, weight: float) -> None:
        """Adds a task, in place of the same one where that waits already."""
        self.drop(send.job.token)
        waiting = self._queue(send.queue).classes.setdefault(step_of(send.priority), FairQueue())
        waiting.add(send.job.study, weight, send)
        self._waiting[send.job.token] = send, waiting

    def drop(self, token: str) -> None:
        """Drops the task of an attempt that waits no more."""
        if (found := self._waiting.pop(token, None)) is not None:
            send, waiting = found
            waiting.remove(send.job.study, send)

    def note_taken(self, queue: str, count: int, at: float) -> None:
        """Notes that slots have taken tasks from a queue, at monotonic time ``at``."""
        self._queue(queue).note_taken(count, at)

    def note_commit(self, seconds: float) -> None:
        """Notes how long a commit took, during which nothing is sent."""
        self._commit = max(seconds, 0.9 * self._commit)

    def size(self, queue: str, at: float) -> int:
        """Returns how many tasks are to wait with the broker while all slots are busy."""
        lead = max(LEAD_SECONDS, 2 * self._commit)
        return max(1, math.ceil(self._queue(queue).rate_at(at) * lead))

    def due(self, queue: str, lengths: Sequence[int] | None, most: int) -> Send | None:
        """Returns the task that is to be sent next to a queue; ``None`` where enough wait there.

        Args:
            queue: The queue.
            lengths: The number of tasks that wait with the broker, by class of priority, the soonest first. ``None``
                where however many may wait there.
            most: How many may wait there. As many more as tasks of a lower class are there, which slots would take.
        """
        for step, waiting in sorted(self._queue(queue).classes.items()):
            if waiting:
                behind = class_of(step) + 1
                free = lengths is None or sum(lengths[:behind]) - sum(lengths[behind:]) < most
                return waiting.first() if free else None
        return None

    def sent(self, send: Send, lengths: list[int] | None) -> None:
        """Removes the task that was due, which is sent, and counts it in ``lengths``."""
        _, waiting = self._waiting.pop(send.job.token)
        waiting.pop()
        if lengths is not None:
            lengths[class_of(step_of(send.priority))] += 1

    def _queue(self, name: str) -> _Queue:
        return self._queues.setdefault(name, _Queue())
