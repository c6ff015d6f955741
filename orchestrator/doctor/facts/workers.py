"""Facts of the workers, by remote control and by heartbeats."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.doctor.facts.host import Clock


@dataclass(frozen=True)
class Worker:
    """A worker whose main process answers.

    Attributes:
        slots: How many it has; ``None`` where it did not say.
        clock: ``None`` where it sent no heartbeat in time.
        celery: The version it runs.
        twice: Whether another one answers by the same name.
    """

    name: str
    slots: int | None = None
    queues: tuple[str, ...] = ()
    clock: Clock | None = None
    celery: str = ""
    twice: bool = False


@dataclass(frozen=True)
class Sign:
    """A sign of life of a slot, for one attempt, or for none where it is idle.

    ``version`` is that of the protocol its keeper speaks; of a later one, nothing but the attempt is known. ``trouble``
    is why its host can train nothing for now.
    """

    slot: str
    host: str = ""
    device: str = ""
    queues: tuple[str, ...] = ()
    token: str = ""
    runner: str = ""
    version: int = 0
    trouble: str = ""

    @property
    def worker(self) -> str:
        """The name of the worker that the slot is one of."""
        return self.slot.rpartition("/")[0]


@dataclass(frozen=True)
class Workers:
    """Who answers, and whose signs of life were heard.

    Attributes:
        error: Why no worker could be queried.
        listened: How long the stream was followed.
        enough: Whether that was long enough for silence to mean something.
    """

    error: str = ""
    listened: float = 0.0
    enough: bool = True
    workers: tuple[Worker, ...] = ()
    signs: tuple[Sign, ...] = ()

    def serving(self, queue: str) -> bool:
        """Whether a worker consumes ``queue``."""
        return queue in self.queues

    @property
    def queues(self) -> set[str]:
        """All queues that workers consume."""
        answered = {queue for each in self.workers for queue in each.queues}
        return answered.union(*(sign.queues for sign in self.signs))
