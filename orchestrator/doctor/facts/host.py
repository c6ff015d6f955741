"""Facts of this host: its settings and its installed packages."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Setup:
    """What is configured here.

    Attributes:
        redis, storage: Whether its URL is set; else it is what `run` keeps in the data folder.
        running: Whether a `run` works in the data folder.
    """

    data_dir: str = ".orchestrator"
    redis: bool = True
    storage: bool = True
    running: bool = False
    heartbeat: float = 2.0
    lease: float = 6.0

    @property
    def alone(self) -> bool:
        """Whether nothing of a fleet is configured, so that all there can be is a `run`."""
        return not self.redis and not self.storage


@dataclass(frozen=True)
class Package:
    """A package that this program needs; ``found`` is ``None`` where it is not installed."""

    name: str
    wanted: str
    found: str | None
    fits: bool


@dataclass(frozen=True)
class Installation:
    """What is installed on this host. ``version`` is empty where this program runs from a folder of source."""

    python: str = ""
    python_wanted: str = ""
    python_fits: bool = True
    version: str = ""
    packages: tuple[Package, ...] = ()
    gpus: int = 0
    disk_free: int | None = None
    protocol: int = 0


@dataclass(frozen=True)
class Clock:
    """How far a clock is ahead of this host's, and by how much that may be wrong."""

    offset: float
    within: float = 0.0
