"""A whole search over TLS, by roles, with signatures: it runs, nobody may do more than he needs, and no secret shows."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import re
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
import redis
import sqlalchemy
from fleet import ROOT, Fleet, Process, command_line, descendants, fleet, wait_for
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from orchestrator.dispatch import queue_names
from tasks import keys
from tasks.app import create_app
from tasks.codec import encode
from tasks.contract import Epoch, Event
from tasks.signing import SIGNING_KEY, SIGNING_KEY_FILE
from tests.secured import POSTGRESQL_ROLES, REDIS_ROLES, Authority, SecuredPostgreSQL, SecuredRedis
from tests.servers import NotInstalled, free_port

STUDY = "secured"
OBJECTIVE = """
import os
import subprocess
import sys
from pathlib import Path

import optuna


def objective(trial):
    x = trial.suggest_float("x", 0.0, 1.0)
    own = Path("/proc/self/environ").read_bytes().replace(b"\\0", b"\\n").decode()
    print("planted.objective sees", own, dict(os.environ), sys.argv)
    trial.set_user_attr("seen", own)
    Path(trial.artifact_dir, "environment.txt").write_text("planted.objective" + own)
    if trial.number == 3:
        raise RuntimeError(f"trial 3 fails, in {own}")
    for step in range(1, 4):
        trial.report(x if trial.number < 2 else -float(trial.number), step)
        if trial.should_prune():
            raise optuna.TrialPruned
    return x
"""
SPEC = """
name = "secured"
objective = "planted:objective"
direction = "maximize"
trials = 6
seed = 3
[pruner]
name = "median"
n_startup_trials = 2
"""


def planted(what: str) -> str:
    return f"planted-{what}-{uuid.uuid4().hex}"


@dataclass
class Secured:
    """The servers, the processes, what they were told in secret, and what they said."""

    folder: Path
    fleet: Fleet
    redis: SecuredRedis
    postgresql: SecuredPostgreSQL
    authority: Authority
    key: str
    flower_password: str
    flower_port: int = field(default_factory=free_port)
    monitored: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    wrong: str = field(default_factory=lambda: planted("wrong"))

    @property
    def secrets(self) -> list[str]:
        found = [*self.redis.passwords.values(), *self.postgresql.passwords.values()]
        return [*found, self.key, self.flower_password, self.wrong]

    def environment(self, redis_role: str = "", database_role: str = "", **changes: str) -> dict[str, str]:
        """Returns the environment of a process that comes in by these roles."""
        result = self.fleet.environment() | {
            "ORCHESTRATOR_OBJECTIVE_PATH": str(self.folder),
            "ORCHESTRATOR_SIGNING_KEY_FILE": str(self.folder / "signing_key"),
        }
        if redis_role:
            result["ORCHESTRATOR_REDIS_URL"] = self.redis.url_of(redis_role)
        if database_role:
            result["ORCHESTRATOR_STORAGE_URL"] = self.postgresql.url_of(database_role)
        return {name: value for name, value in (result | changes).items() if value}

    def call(self, *arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end; what it says is kept."""
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", *arguments],
            env=environment,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        self.said.append(f"$ {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        return done

    def refused(self, *arguments: str, environment: dict[str, str]) -> str:
        """Runs a command that is to be refused: one line, and exit code 2. Returns the line."""
        done = self.call(*arguments, environment=environment)
        assert done.returncode == 2, self.said[-1]
        (line,) = done.stderr.strip().splitlines()
        return line

    def start_flower(self) -> Process:
        (self.folder / "flower_app.py").write_text(
            "import os\nfrom tasks.app import create_app\napp = create_app(os.environ['ORCHESTRATOR_REDIS_URL'])\n"
        )
        environment = self.environment("flower") | {"FLOWER_BASIC_AUTH": f"admin:{self.flower_password}"}
        log = self.folder / "flower.log"
        with log.open("wb") as output:
            popen = subprocess.Popen(
                [
                    *(sys.executable, "-m", "celery", "-A", "flower_app", "flower", "--address=127.0.0.1"),
                    *(f"--port={self.flower_port}", "--inspect_timeout=2000"),
                ],
                env=environment | {"PYTHONPATH": os.pathsep.join((str(self.folder), str(ROOT)))},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        self.fleet.processes.append(Process(popen, log))
        return self.fleet.processes[-1]

    def flower(self, path: str) -> str:
        """Returns a page of Flower; nothing while there is none."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.flower_port}{path}")
        credentials = base64.b64encode(f"admin:{self.flower_password}".encode()).decode()
        request.add_header("Authorization", f"Basic {credentials}")
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return str(answer.read().decode())
        except OSError:
            return ""

    def dead_letters(self) -> list[str]:
        with contextlib.closing(self.redis.client()) as client:
            return [fields[b"reason"].decode() for _, fields in client.xrange(keys.DEAD_LETTERS)]

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """Reads them as a notebook would."""
        storage = RDBStorage(self.postgresql.url_of("reader"))
        found = optuna.load_study(study_name=STUDY, storage=storage).trials
        storage.remove_session()
        storage.engine.dispose()
        return found

    @contextlib.contextmanager
    def monitoring(self) -> Iterator[None]:
        """Takes down what anybody says to Redis."""
        client = self.redis.client()
        monitor = client.monitor().__enter__()

        def listen() -> None:
            with contextlib.suppress(redis.RedisError, OSError, ValueError, AttributeError):
                while True:
                    self.monitored.append(str(monitor.next_command()["command"]))

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield
        finally:
            with contextlib.suppress(redis.RedisError), self.redis.client() as killer:
                killer.client_kill_filter(_type="normal", skipme=True)
            thread.join()
            client.close()


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A search that has ended, and everything that ran it, still there."""
    folder = tmp_path_factory.mktemp("secured")
    try:
        authority = Authority.make(folder / "authority")
        postgresql = SecuredPostgreSQL(
            folder / "postgresql", authority, {role: planted(role) for role in ("owner", *POSTGRESQL_ROLES)}
        )
    except NotInstalled as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    server = SecuredRedis(folder / "redis", {role: planted(role) for role in REDIS_ROLES}, authority)
    with contextlib.ExitStack() as stack:
        stack.callback(postgresql.close)
        stack.callback(server.close)
        server.start()
        postgresql.start()
        running = stack.enter_context(fleet(None, folder))
        it = Secured(folder, running, server, postgresql, authority, planted("key"), planted("flower"))
        stack.enter_context(it.monitoring())
        _run(it)
        yield it


def _run(it: Secured) -> None:
    (it.folder / "signing_key").write_text(it.key + "\n")
    (it.folder / "planted.py").write_text(OBJECTIVE)
    (it.folder / "spec.toml").write_text(SPEC)
    assert "orchestrator prepare" in it.refused("serve", environment=it.environment("control", "writer"))
    assert it.call("prepare", environment=it.environment("", "owner")).returncode == 0
    by_key = it.environment("control", "writer", **{SIGNING_KEY: it.key, SIGNING_KEY_FILE: ""})
    it.fleet.start("serve", environment=by_key)
    it.start_flower()
    it.fleet.start("worker", "--slots", "1", "--name", "one", environment=it.environment("worker"))
    wait_for(lambda: "one@" in it.flower("/api/workers?refresh=1"), "Flower has found the worker")
    assert it.call("submit", "spec.toml", environment=it.environment("control", "writer")).returncode == 0
    watched = it.call("watch", STUDY, environment=it.environment("viewer", "reader"))
    assert watched.returncode == 0, watched.stderr


def test_a_search_runs_by_roles_that_may_do_little(secured: Secured) -> None:
    trials = secured.trials()
    assert [trial.state for trial in trials] == [
        *[TrialState.COMPLETE] * 2,
        TrialState.PRUNED,
        TrialState.FAIL,
        *[TrialState.PRUNED] * 2,
    ]
    with secured.redis.client() as client:
        denied = [(entry["username"], entry["reason"], entry["object"]) for entry in client.acl_log()]
    assert denied == []
    assert secured.dead_letters() == []
    (worker,) = json.loads(secured.flower("/api/workers?refresh=1"))
    assert worker.startswith("one@")
    states = {task["state"] for task in json.loads(secured.flower("/api/tasks")).values()}
    assert states == {"SUCCESS", "REVOKED", "FAILURE"}
    assert "Traceback" not in secured.fleet.logs()
