"""Real processes on real servers, for tests: started with a log each, waited for by what they say, ended by id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import optuna
import pytest
import redis
from optuna.storages import RDBStorage

from orchestrator.model.progress_events import Notice, Progress, decode
from tasks import redis_keys
from tasks.app import connect
from tests import preloaded

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PATIENCE = 240.0
STEADY = """
name = "{name}"
objective = "objectives:steady"
direction = "maximize"
trials = {trials}
max_steps = 4
[args]
seconds = 0.05
epochs = 4
"""
"""How long anything is waited for, in seconds; reaching it is a failure, never a result."""

real_servers_only = pytest.mark.parametrize("servers", ["real"], indirect=True)
"""For tests of what does not differ on the embedded server; those of what may differ run on both."""


@dataclass
class Servers:
    """A Redis and a database for one test."""

    redis_url: str
    storage_url: str
    opened: list[RDBStorage] = field(default_factory=list)

    def client(self) -> redis.Redis:
        return connect(self.redis_url)

    def study(self, name: str) -> optuna.Study:
        self.opened.append(RDBStorage(self.storage_url))
        return optuna.load_study(study_name=name, storage=self.opened[-1])

    def close(self) -> None:
        for storage in self.opened:
            storage.remove_session()
            storage.engine.dispose()


@dataclass
class Process:
    """A process under test."""

    popen: subprocess.Popen[bytes] | preloaded.Process
    log: Path

    @property
    def pid(self) -> int:
        return self.popen.pid

    def stop(self, signum: int = signal.SIGTERM, seconds: float = PATIENCE) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(signum)
        return self.popen.wait(seconds)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()


@dataclass
class Fleet:
    """The processes of one test."""

    servers: Servers | None
    folder: Path
    processes: list[Process] = field(default_factory=list)

    def environment(self) -> dict[str, str]:
        # What the tests are told in TEST_ is theirs alone: it may name a server, and trainers know none.
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("ORCHESTRATOR_", "TEST_"))}
        clean |= {
            # The code beside the tests is what runs, wherever else it is installed.
            "PYTHONPATH": os.pathsep.join((str(HERE), str(ROOT))),
            "ORCHESTRATOR_OBJECTIVE_PATH": str(HERE),
            "ORCHESTRATOR_DATA_DIR": str(self.folder / "data"),
            "ORCHESTRATOR_HEARTBEAT": "0.5",
            "ORCHESTRATOR_LEASE": "2",
        }
        if self.servers is not None:
            clean["ORCHESTRATOR_REDIS_URL"] = self.servers.redis_url
            clean["ORCHESTRATOR_STORAGE_URL"] = self.servers.storage_url
        return clean

    def start(
        self, *arguments: str, environment: Mapping[str, str] | None = None, program: str = "orchestrator"
    ) -> Process:
        """Starts ``orchestrator`` with these arguments; or a ``program`` of the tests' own that is like it."""

        def start(output: BinaryIO) -> preloaded.Process:
            environ, folder = environment or self.environment(), self.folder
            return preloaded.start(
                arguments, environment=environ, folder=folder, stdout=output, stderr=output, program=program
            )

        return self._add(arguments[0], start)

    def start_fresh(self, *arguments: str, environment: Mapping[str, str] | None = None) -> Process:
        """Starts ``orchestrator`` with these arguments in a new interpreter: for tests of how a process starts and
        ends, and of what it holds."""
        return self.launch([sys.executable, "-m", "orchestrator", *arguments], arguments[0], environment)

    def launch(self, command: Sequence[str], name: str, environment: Mapping[str, str] | None = None) -> Process:
        """Starts a program; its log is named after ``name``."""

        def start(output: BinaryIO) -> subprocess.Popen[bytes]:
            environ = dict(environment or self.environment())
            return subprocess.Popen(
                command, env=environ, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )

        return self._add(name, start)

    def _add(self, name: str, start: Callable[[BinaryIO], preloaded.Process | subprocess.Popen[bytes]]) -> Process:
        log = self.folder / f"{len(self.processes)}-{name}.log"
        with log.open("wb") as output:
            self.processes.append(Process(start(output), log))
        return self.processes[-1]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs ``orchestrator`` with these arguments to its end."""
        return preloaded.run(*arguments, environment=self.environment(), folder=self.folder, seconds=2 * PATIENCE)

    def write_spec(self, text: str, name: str = "spec.toml") -> Path:
        path = self.folder / name
        path.write_text(text)
        return path

    def submit(self, spec: Path) -> str:
        """Hands over a spec; again where the control plane needs longer to start than ``submit`` waits for it."""
        deadline = time.monotonic() + PATIENCE
        while True:
            done = self.call("submit", str(spec))
            if done.returncode == 0:
                return done.stdout.strip()
            # Or it is at making the tables.
            later = ("no control plane answered", "Optuna's tables are of schema version")
            assert any(words in done.stderr for words in later), done.stderr
            assert time.monotonic() < deadline, self.logs()

    def logs(self) -> str:
        return "\n".join(f"== {each.log.name}\n{each.log.read_text()}" for each in self.processes)

    def close(self) -> None:
        for process in reversed(self.processes):
            if process.popen.poll() is None:
                process.popen.terminate()
        for process in reversed(self.processes):
            try:
                process.popen.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_for(condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Waits until ``condition`` holds; for what gives no signal of its own, such as a process that ends."""
    deadline = time.monotonic() + seconds
    pause = Pause()
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        pause()


class Pause:
    """A short wait between two looks."""

    def __init__(self, seconds: float = 0.02) -> None:
        self._never, self._write = os.pipe()
        self._seconds = seconds

    def __call__(self) -> None:
        import select

        select.select([self._never], [], [], self._seconds)

    def __del__(self) -> None:
        os.close(self._never)
        os.close(self._write)


def notices(client: redis.Redis, study: str) -> Iterator[Notice]:
    """Yields what the control plane says about a study, from the beginning."""
    last: bytes = b"0-0"
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = client.xread({redis_keys.notices(study): last}, count=100, block=500)
        streams = found.items() if isinstance(found, dict) else found or []
        for _, entries in streams:
            flat = entries[0] if entries and isinstance(entries[0], list) else entries
            for entry, fields in flat:
                last = entry
                yield decode(fields[b"n"])
    raise AssertionError(f"no news of study '{study}' for {PATIENCE} s")


def follow_to_end(client: redis.Redis, study: str) -> Progress:
    """Waits until the study has ended."""
    for notice in notices(client, study):
        if isinstance(notice, Progress) and notice.state in ("finished", "failed", "stopped"):
            return notice
    raise AssertionError


def descendants(pid: int) -> list[int]:
    """Returns the process ids below ``pid``."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def environment_of(pid: int) -> bytes | None:
    """Returns the environment of a process, or ``None`` of one that keeps it from its own user; root sees all."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        return None
    except OSError:
        return b""


def with_environment(name: str, value: str) -> list[int]:
    """Returns the processes in whose environment ``name`` is ``value``: what a run has started, orphans too.

    Workers keep theirs from their own user. For any user but root, those count that descend from these tests.
    """
    wanted = f"{name}={value}".encode()
    below, found = set(descendants(os.getpid())), []
    for pid in (int(path.name) for path in Path("/proc").glob("[0-9]*")):
        environment = environment_of(pid)
        if pid in below if environment is None else wanted in environment.split(b"\0"):
            found.append(pid)
    return [pid for pid in found if pid != os.getpid() and not _is_zombie(pid)]


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@contextmanager
def fleet(servers: Servers | None, folder: Path) -> Iterator[Fleet]:
    """Yields a fleet; ends every process of it."""
    it = Fleet(servers, folder)
    try:
        yield it
    finally:
        it.close()
