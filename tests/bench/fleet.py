"""``serve`` and ``worker`` as separate processes, and studies handed to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import RowMapping, select, text

from orchestrator.messaging.command_client import CommandClient
from orchestrator.spec.model import Spec, validate
from orchestrator.storage import own_tables
from orchestrator.storage.command_table import CommandTable
from orchestrator.storage.database import Database
from orchestrator.storage.store import Store
from tasks.app import connect
from tests.bench.servers import Place, environment

PATIENCE = 120.0
LOOK_SECONDS = 0.2
"""How often the database is asked whether a study has ended: seldom, so that looking disturbs little."""

LAST = 20
"""So many lines of each log are shown when nothing goes on."""


class Stuck(Exception):
    """Something that was waited for did not come."""


@dataclass
class Fleet:
    """Running processes. ``slots``: of the one worker; ``trace``: the file that the traced processes write."""

    place: Place
    folder: Path
    database: Database
    slots: int
    trace: Path | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = Store(self.database)
        self._issuer = CommandClient(CommandTable(self.database), connect(self.place.redis_url))

    def start(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "orchestrator", *arguments]
        if self.trace is not None:
            command = [sys.executable, "-m", "tests.bench.traced", str(self.trace), *arguments]
        with (self.folder / f"{arguments[0]}.log").open("wb") as log:
            variables = environment(self.place, self.folder, self.database.url)
            self.processes.append(
                subprocess.Popen(
                    command, env=variables, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
            )

    def train(self, objective: str, trials: int, arguments: Mapping[str, Any], **more: Any) -> str:
        """Runs a study to its end, until every attempt of it has been left; returns its name."""
        spec = spec_of(objective, trials, arguments, **more)
        self._issuer.submit(spec, self._check, PATIENCE)
        self._wait(lambda: self.store.state(spec.name) in ("finished", "failed", "stopped"), spec.name)
        self._wait(lambda: all(row["ended"] is not None for row in self.attempts(spec.name)), spec.name)
        if (state := self.store.state(spec.name)) != "finished":
            raise self._stuck(f"study {spec.name} ended as {state}")
        return spec.name

    def attempts(self, study: str) -> list[RowMapping]:
        """Returns the recorded attempts in the order of their trials."""
        return self._rows(own_tables.attempts, study)

    def decisions(self, study: str) -> dict[int, float]:
        """Returns by trial when it was decided on, in seconds since the epoch."""
        return {row["trial"]: row["at"] for row in self._rows(own_tables.decisions, study)}

    def _rows(self, table: Any, study: str) -> list[RowMapping]:
        with self.database.read() as connection:
            study_id = connection.scalar(text("SELECT study_id FROM studies WHERE study_name = :name"), {"name": study})
            query = select(table).where(table.c.study_id == study_id).order_by(table.c.trial)
            return list(connection.execute(query).mappings())

    def _wait(self, condition: Any, what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise self._stuck(f"waited {PATIENCE:g} s in vain for {what}")
            self._check()
            time.sleep(LOOK_SECONDS)

    def _check(self) -> None:
        for process in self.processes:
            if process.poll() is not None:
                raise self._stuck(f"a process ended with {process.returncode}")

    def _stuck(self, what: str) -> Stuck:
        """With the last that each process has said: its log goes with the folder."""
        logs = [path.read_text(errors="replace").splitlines()[-LAST:] for path in sorted(self.folder.glob("*.log"))]
        return Stuck("\n".join([what, *(line for log in logs for line in log)]))

    def close(self) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.store.close()
        self.database.close()


@contextmanager
def fleet(place: Place, folder: Path, slots: int, trace: Path | None = None) -> Iterator[Fleet]:
    """Yields a fleet whose trainers are warm; ends every process of it."""
    home = folder / f"fleet-{uuid.uuid4().hex[:6]}"
    home.mkdir()
    it = Fleet(place, home, place.database(), slots, trace)
    try:
        it.start("serve")
        it.start("worker", "--slots", str(slots))
        it.train("short", 4 * slots, {"seconds": 0.05})
        yield it
    finally:
        it.close()


def spec_of(objective: str, trials: int, arguments: Mapping[str, Any], **more: Any) -> Spec:
    """Returns the spec of a study with a name of its own and a sampler that costs nothing."""
    data = {
        "name": f"bench-{os.getpid()}-{uuid.uuid4().hex[:8]}",
        "objective": f"tests.bench.objectives:{objective}",
        "direction": "maximize",
        "trials": trials,
        "seed": 1,
        "args": dict(arguments),
        "sampler": {"name": "random"},
        **more,
    }
    return validate(data, "bench")
