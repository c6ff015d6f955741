"""All that a search stands on, started, ended and started again: two servers, two control planes, the workers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy

from tests import preloaded
from tests.servers import PostgreSQL, Redis

ROOT = Path(__file__).parents[2]
HEARTBEAT = 0.3
LEASE = 1.5
"""Seconds. Shorter than the defaults, so that there is time for many losses."""
CONTROL_PLANES = ("serve-a", "serve-b")
WORKERS = ("worker-a", "worker-b")
SLOTS = 2
"""Of each worker."""


@dataclass
class Stack:
    """The processes of a soak, by name; each with a log in ``folder``."""

    folder: Path
    redis: Redis
    postgresql: PostgreSQL
    running: dict[str, preloaded.Process] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("ORCHESTRATOR_")}
        return clean | {
            "PYTHONPATH": str(ROOT),
            "ORCHESTRATOR_OBJECTIVES": "tests.chaos",
            "ORCHESTRATOR_DATA_DIR": str(self.folder / "data"),
            "ORCHESTRATOR_HEARTBEAT": str(HEARTBEAT),
            "ORCHESTRATOR_LEASE": str(LEASE),
            "ORCHESTRATOR_REDIS_URL": self.redis.url,
            "ORCHESTRATOR_STORAGE_URL": self.postgresql.url,
        }

    def environment_of(self, name: str) -> dict[str, str]:
        """Returns the environment of one of the processes."""
        del name
        return self.environment

    @contextlib.contextmanager
    def database(self) -> Iterator[sqlalchemy.Connection]:
        """A connection of its own, past everything."""
        engine = sqlalchemy.create_engine(
            self.postgresql.url, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool
        )
        with engine.connect() as connection:
            yield connection

    def start_all(self) -> None:
        for name in (*CONTROL_PLANES, *WORKERS):
            self.start(name)

    def start(self, name: str) -> None:
        """Starts one of the processes, as whatever supervises them would."""
        arguments = ["serve"]
        if name in WORKERS:
            arguments = ["worker", "--slots", str(SLOTS), "--name", name]
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = preloaded.start(
                arguments, environment=self.environment_of(name), folder=self.folder, stdout=log, stderr=log
            )

    def submit(self, spec: Path, seconds: float = 240.0) -> None:
        """Submits a search; tries again while no control plane answers."""
        deadline = time.monotonic() + seconds
        while True:
            done = preloaded.run(
                "submit", str(spec), environment=self.environment, folder=self.folder, seconds=2 * seconds
            )
            if done.returncode == 0:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(done.stderr)

    def signal(self, name: str, number: signal.Signals) -> None:
        self.running[name].send_signal(number)

    def restart_ended(self) -> list[str]:
        """Starts again what has ended; returns its names."""
        ended = [name for name, process in self.running.items() if process.poll() is not None]
        for name in ended:
            self.start(name)
        return ended

    def stop(self) -> None:
        """Ends everything, in order, and for good."""
        for process in self.running.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
