"""A cluster of real servers and processes, searches on it, and the account that must balance after every fault."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests import preloaded
from tests.chaos.faults import descendants, signal_all
from tests.chaos.objective import GATE
from tests.chaos.records import Account, Live, Records, settle
from tests.chaos.soak import SPEC
from tests.chaos.stack import HEARTBEAT, ROOT, Stack
from tests.faults.proxy import Proxy
from tests.servers import PostgreSQL, Redis

__all__ = ["HEARTBEAT", "LEASE", "ROOT", "Cluster", "Search", "alive", "descendants", "eventually", "signal_all"]

PATIENCE = 240.0
"""Seconds within which anything that is waited for has to happen; nothing is judged by them."""


LEASE = 3.0
"""Seconds: ten heartbeats, so that a busy machine does not let a live worker's lease run out."""


class ProxiedStack(Stack):
    """A stack whose processes reach Redis by a proxy: the control planes by one, the workers by another.

    ``lines`` holds the ports by kind of process; ``extra`` is more of their environment, by name of process.
    """

    lines: dict[str, int]
    extra: dict[str, dict[str, str]]

    def environment_of(self, name: str) -> dict[str, str]:
        port = self.lines["worker" if name.startswith("worker") else "serve"]
        return self.environment | {"ORCHESTRATOR_REDIS_URL": f"redis://127.0.0.1:{port}/0"} | self.extra.get(name, {})

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"ORCHESTRATOR_LEASE": str(LEASE)}


class Cluster:
    """Servers, two control planes, two workers of two slots each. What has ended is started again.

    Args:
        folder: Where everything lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.redis = Redis(folder / "redis")
        self.postgresql = PostgreSQL(folder / "postgresql")
        self.redis.start()
        self.postgresql.start()
        self.to_serve = Proxy(self.redis.port)
        self.to_worker = Proxy(self.redis.port)
        self.stack = ProxiedStack(folder, self.redis, self.postgresql)
        self.stack.lines = {"serve": self.to_serve.port, "worker": self.to_worker.port}
        self.stack.extra = {}
        self.stack.start_all()

    def submit(self, name: str, trials: int = 8, epochs: int = 40, seconds: float = 0.05, **extra: bool) -> Search:
        """Begins a search, which stands still after its first epochs until it is let go; ``extra`` are arguments."""
        folder = self.folder / name
        folder.mkdir()
        text = SPEC.format(study=name, trials=trials, epochs=epochs, seed=1, seconds=seconds, folder=folder)
        more = "".join(f"{name} = {str(value).lower()}\n" for name, value in {"gated": True, **extra}.items())
        text = text.replace("[args]\n", f"[args]\n{more}")
        spec = folder / "spec.toml"
        spec.write_text(text)
        # Read from the beginning: on a busy machine the search may be far on before `submit` has come back.
        search = Search(self, Records(self.postgresql.url, name), folder, trials, epochs)
        self.stack.submit(spec)
        return search

    def orchestrator(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of the command line."""
        return preloaded.run(*arguments, environment=self.stack.environment, folder=ROOT, seconds=PATIENCE)

    def log(self, name: str) -> str:
        """Returns what a process has said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def leader(self) -> str:
        """Returns the name of the active control plane."""
        with self.stack.database() as connection:
            holder = connection.exec_driver_sql("SELECT holder FROM orchestrator_writer").scalar() or "::"
        pid = holder.split(":")[1]
        names = [name for name, process in self.stack.running.items() if str(process.pid) == pid]
        return names[0] if names else ""

    def close(self) -> None:
        self.stack.stop()
        self.to_serve.close()
        self.to_worker.close()
        self.redis.close()
        self.postgresql.close()


@dataclass
class Search:
    """A search that runs, and what the database says of it."""

    cluster: Cluster
    records: Records
    folder: Path
    trials: int
    epochs: int

    @property
    def over(self) -> bool:
        """Whether every trial has ended."""
        return len(self.records.ended) == self.trials

    def until(self, condition: Callable[[], object]) -> None:
        """Waits until something holds."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"{self.records.state}, {len(self.records.ended)} trials have ended"
            self.cluster.stack.restart_ended()
            self.records.wait(0.2)

    def underway(self, epochs: int = 8) -> None:
        """Waits until so many epochs are recorded and some trial trains, and lets the search go on."""
        self.ready(epochs)
        self.let_go()

    def ready(self, epochs: int = 8) -> None:
        """Waits until so many epochs are recorded and some trial trains; there it stands."""
        self.until(lambda: self.over or (len(self.records.epochs) >= epochs and self.records.live))
        assert not self.over, "the search was over before it could be disturbed"

    def let_go(self) -> None:
        """Has the search go on."""
        (self.folder / GATE).touch()

    def goes_on(self) -> None:
        """Waits until something new is recorded."""
        begun = time.monotonic()
        self.until(lambda: self.records.last > begun or self.over)

    def victim(self, worker: str = "") -> Live:
        """Waits for a trial that trains, on ``worker`` if it is named; returns it."""
        self.until(lambda: self.training(worker))
        return self.training(worker)[0]

    def training(self, worker: str = "") -> list[Live]:
        return [live for live in self.records.live.values() if live.slot.startswith(worker)]

    def trains(self) -> bool:
        """Whether some process is in the middle of its objective, which has the log of reports open."""
        log = str(self.folder / "reported.log")
        return any(_target(link) == log for link in Path("/proc").glob("[0-9]*/fd/*"))

    def reports(self) -> Counter[tuple[int, int]]:
        """Returns how often each (trial, step) was reported."""
        lines = (self.folder / "reported.log").read_text().splitlines()
        return Counter((int(trial), int(step)) for trial, step in map(str.split, lines))

    def balance(self) -> Account:
        """Waits for the end, and returns the account, which balances."""
        self.let_go()
        try:
            self.until(lambda: self.records.state == "finished" and self.over)
            self.until(lambda: not self.records.unsettled())
            account = settle(self.records, self.trials, self.epochs, set(self.reports()))
        finally:
            self.records.close()
        assert account.balanced, account
        return account


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _target(link: Path) -> str:
    try:
        return os.readlink(link)
    except OSError:
        # It was closed, or its process has ended.
        return ""


def eventually(condition: Callable[[], object], what: str) -> None:
    """Waits until something holds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
