"""Workers as ``orchestrator workers`` shows them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FleetSlot:
    """A slot of a worker.

    Attributes:
        name: Of the slot.
        study, trial: What it trains; empty and ``None`` where it is idle, or the database does not know its attempt.
        busy: Whether it trains.
        heard: Seconds since its last heartbeat; ``None`` where none was heard while this process listened.
        trouble: Why its host can train nothing for now.
    """

    name: str
    device: str = ""
    study: str = ""
    trial: int | None = None
    busy: bool = False
    heard: float | None = None
    trouble: str = ""


@dataclass(frozen=True)
class FleetWorker:
    """A worker.

    Attributes:
        answers: Whether its main process has answered.
        capacity: How many slots it has; ``None`` where it did not say.
        draining: Whether it takes no more trials, and ends when those that run have.
        slots: Those that were heard, or that train by the database.
    """

    name: str
    host: str
    queues: tuple[str, ...] = ()
    answers: bool = True
    capacity: int | None = None
    draining: bool = False
    slots: tuple[FleetSlot, ...] = ()

    @property
    def heard(self) -> float | None:
        """Seconds since the last heartbeat of any of its slots."""
        return min((each.heard for each in self.slots if each.heard is not None), default=None)

    @property
    def state(self) -> str:
        """``draining``, ``ready``, ``in trouble`` where its host cannot train, ``silent`` where it does not answer."""
        if not self.answers:
            return "silent"
        if self.draining:
            return "draining"
        return "in trouble" if any(each.trouble for each in self.slots) else "ready"
