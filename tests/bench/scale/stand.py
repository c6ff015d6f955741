"""A control plane on servers of its own, the simulated fleets in front of it, and the studies handed to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import text

from orchestrator.messaging.command_client import CommandClient
from orchestrator.spec.model import Spec, validate
from orchestrator.storage.command_table import CommandTable
from orchestrator.storage.database import Database
from orchestrator.storage.store import Store
from tasks import redis_keys
from tasks.app import connect
from tests.bench.servers import Place, environment
from tests.servers import PostgreSQL, Redis

PATIENCE = 60.0
TICKS = os.sysconf("SC_CLK_TCK")

SPACE = {
    "lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
    "dropout": {"type": "float", "low": 0.0, "high": 0.5},
    "width": {"type": "int", "low": 16, "high": 512},
    "optimizer": {"type": "categorical", "choices": ["sgd", "adam", "adamw"]},
}


@dataclass(frozen=True)
class Measured:
    """What simulated slots measured between two looks.

    ``prunes``: seconds from the publishing of a report to the verdict; ``refills``: seconds between the end of a trial
    and the next task on the slot. ``counts`` are entries, epochs, ends and events sent again; ``starts`` by study.
    """

    prunes: list[float]
    refills: list[float]
    counts: dict[str, int]
    starts: dict[str, int]
    busy: int
    seconds: float


class Slots:
    """A process of simulated slots on one queue."""

    def __init__(self, port: int, queue: str, slots: int) -> None:
        self.slots = slots
        command = [sys.executable, "-m", "tests.bench.scale.slots", str(port), "0", queue, str(slots)]
        root = Path(__file__).parents[3]
        pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen(command, cwd=root, **pipes)
        self._since = time.monotonic()

    def take(self) -> Measured:
        """Returns what was measured since the last call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("take\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        now = time.monotonic()
        seconds, self._since = now - self._since, now
        return Measured(**told, seconds=seconds)

    def close(self) -> None:
        self._process.terminate()
        self._process.communicate()


@dataclass
class Stand:
    """The servers and the control plane.

    Attributes:
        settings: More variables of the environment of ``serve``.
    """

    redis: Redis
    database: Database
    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.client: redis.Redis = connect(self.redis.url)
        self.store = Store(self.database)
        self._commands = CommandClient(CommandTable(self.database), self.client)

    def start(self) -> None:
        """Starts the control plane."""
        place = Place("scale", self.redis.url, lambda: self.database.url)
        command = [sys.executable, "-m", "orchestrator", "serve"]
        with (self.folder / "serve.log").open("ab") as log:
            variables = environment(place, self.folder, self.database.url) | self.settings
            self.process = subprocess.Popen(
                command, env=variables, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def submit(self, name: str, trials: int, *, epochs: int = 20, seconds: float = 5.0, **more: Any) -> str:
        """Hands a study to the control plane; returns its name."""
        spec = spec_of(name, trials, epochs=epochs, seconds=seconds, **more)
        self._commands.submit(spec, self.check, PATIENCE)
        return str(spec.name)

    def take_up(self, spec: Spec) -> None:
        """Hands a study to the control plane that is in the database already."""
        self._commands.submit(spec, self.check, PATIENCE)

    def command(self, operation: str, study: str) -> None:
        """Has a study paused or resumed."""
        self._commands.command(operation, study, PATIENCE)

    def stop(self, study: str) -> None:
        """Has a study stopped, and waits until it is."""
        self._commands.command("stop", study, PATIENCE)
        self.wait(lambda: self.store.state(study) == "stopped", f"the end of {study}")

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
        """Waits for something; raises where the control plane ends, or nothing comes of it."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"waited {seconds:g} s in vain for {what}\n{self._log()}")
            time.sleep(0.1)

    def check(self) -> None:
        """Raises where the control plane has ended."""
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"the control plane has ended with {self.process.returncode}\n{self._log()}")

    def _log(self) -> str:
        return "\n".join((self.folder / "serve.log").read_text(errors="replace").splitlines()[-20:])

    def cpu(self) -> float:
        """Returns the seconds of CPU that the control plane has taken."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def epochs(self) -> int:
        """Returns the number of epochs that are recorded."""
        return self.number("SELECT count(*) FROM trial_intermediate_values")

    def ended(self, study: str) -> int:
        """Returns the number of trials of a study that have ended."""
        return self.number(
            "SELECT count(*) FROM trials JOIN studies USING (study_id) "
            f"WHERE study_name = '{study}' AND state IN ('COMPLETE', 'PRUNED', 'FAIL')"
        )

    def number(self, query: str) -> int:
        """Returns the one number that a query finds."""
        with self.database.read() as connection:
            return int(connection.scalar(text(query)) or 0)

    def notices(self, study: str) -> tuple[int, int]:
        """Returns the number of progress notices of a study in Redis, and the bytes that they take there."""
        key = redis_keys.notices(study)
        found: Any = self.client.memory_usage(key, samples=0)
        entries: Any = self.client.xlen(key)
        return entries, found or 0

    def end(self) -> None:
        """Ends the control plane."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


@contextmanager
def stand(folder: Path) -> Iterator[Stand]:
    """Yields Redis and PostgreSQL servers of its own with empty tables; ends all of it."""
    server, database_server = Redis(folder / "redis"), PostgreSQL(folder / "postgresql")
    try:
        server.start()
        database_server.start()
        database = Database(database_server.url)
        database.prepare()
        it = Stand(server, database, folder)
        try:
            yield it
        finally:
            it.end()
            it.store.close()
            database.close()
    finally:
        server.close()
        database_server.close()


@contextmanager
def slots(stand: Stand, queue: str, count: int) -> Iterator[Slots]:
    """Yields simulated slots; ends them."""
    fleet = Slots(stand.redis.port, queue, count)
    try:
        yield fleet
    finally:
        fleet.close()


def spec_of(name: str, trials: int, *, epochs: int = 20, seconds: float = 5.0, **more: Any) -> Spec:
    """Returns the spec of a study under the median rule whose first trials are quick, so that others are compared."""
    data = {
        "name": f"{name}-{uuid.uuid4().hex[:6]}",
        "objective": "tests.bench.objectives:short",
        "direction": "maximize",
        "trials": trials,
        "seed": 1,
        "args": {"epochs": epochs, "seconds": seconds, "quick": 4},
        "sampler": {"name": "random"},
        "pruner": {"name": "median", "n_startup_trials": 1},
        "space": SPACE,
        **more,
    }
    return validate(data, "bench-scale")
