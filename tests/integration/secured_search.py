"""A whole search over TLS, by roles, with signatures, in which every secret can be told from any other text."""

from __future__ import annotations

import base64
import contextlib
import subprocess
import threading
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import redis
from click.testing import CliRunner
from fleet import PATIENCE, Fleet, descendants, fleet, wait_for
from optuna.storages import RDBStorage

from orchestrator.cli import cli
from orchestrator.common.errors import BadInput
from tasks import redis_keys
from tasks.signing import SIGNING_KEY
from tests import preloaded
from tests.installed import require_redis_with_tls
from tests.secured_servers import POSTGRESQL_ROLES, REDIS_ROLES, Authority, SecuredPostgreSQL, SecuredRedis
from tests.servers import free_port

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
[notify]
endpoint = "team"
"""
OTHERS = ("key", "flower", "metrics", "notify", "webhook")
"""What else is told in secret, beside the passwords of the servers' roles."""


def planted(what: str) -> str:
    return f"planted-{what}-{uuid.uuid4().hex}"


def page(url: str, password: str) -> str:
    """Returns the page that a user with the password sees; an empty text while the server does not answer."""
    request = urllib.request.Request(url)
    request.add_header("Authorization", f"Basic {base64.b64encode(f'admin:{password}'.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


@dataclass
class Secured:
    """The servers, the processes, what they were told in secret, and what they said."""

    folder: Path
    fleet: Fleet
    redis: SecuredRedis
    postgresql: SecuredPostgreSQL
    authority: Authority
    others: dict[str, str] = field(default_factory=lambda: {name: planted(name) for name in OTHERS})
    metrics_port: int = field(default_factory=free_port)
    flower_port: int = field(default_factory=free_port)
    monitored: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    wrong: str = field(default_factory=lambda: planted("wrong"))

    @property
    def secrets(self) -> list[str]:
        found = [*self.redis.passwords.values(), *self.postgresql.passwords.values()]
        return [*found, *self.others.values(), self.wrong]

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
        done = preloaded.run(*arguments, environment=environment, folder=self.folder, seconds=PATIENCE)
        self.said.append(f"$ {' '.join(arguments)}\n{done.stdout}{done.stderr}")
        return done

    def refused(self, *arguments: str, environment: dict[str, str]) -> str:
        """Runs a command that is to be refused: one line, and exit code 2. Returns the line."""
        done = self.call(*arguments, environment=environment)
        assert done.returncode == 2, self.said[-1]
        (line,) = done.stderr.strip().splitlines()
        return line

    def invoke(self, *arguments: str, environment: dict[str, str]) -> str:
        """As ``call``, in this process, which has imported it all already; returns what it says."""
        result = CliRunner().invoke(cli, arguments, env=environment, standalone_mode=False)
        assert isinstance(result.exception, BadInput | SystemExit | None), result.exception
        self.said.append(f"$ {' '.join(arguments)}\n{result.output}{result.exception or ''}")
        return self.said[-1]

    def start_flower(self) -> None:
        credentials = {"ORCHESTRATOR_FLOWER_AUTH": f"admin:{self.others['flower']}"}
        environment = self.environment("flower", **credentials)
        port = f"--port={self.flower_port}"
        self.fleet.start_fresh("flower", port, "--", "--inspect_timeout=2000", environment=environment)

    def flower(self, path: str) -> str:
        """Returns a page of Flower; nothing while there is none."""
        return page(f"http://127.0.0.1:{self.flower_port}{path}", self.others["flower"])

    def dead_letters(self) -> list[str]:
        with contextlib.closing(self.redis.client()) as client:
            return [fields[b"reason"].decode() for _, fields in client.xrange(redis_keys.DEAD_LETTERS)]

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        """Reads them as a notebook would."""
        storage = RDBStorage(self.postgresql.url_of("reader"))
        found = optuna.load_study(study_name=STUDY, storage=storage).trials
        storage.remove_session()
        storage.engine.dispose()
        return found

    @contextlib.contextmanager
    def monitoring(self) -> Iterator[None]:
        """Records every command that any client sends to Redis."""
        client = redis.Redis.from_url(self.redis.url, socket_timeout=None)
        monitor = client.monitor().__enter__()

        def listen() -> None:
            with contextlib.suppress(redis.ConnectionError):
                while True:
                    self.monitored.append(monitor.connection.read_response().decode(errors="replace"))

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield
        finally:
            with contextlib.suppress(redis.RedisError), self.redis.client() as killer:
                killer.client_kill_filter(_type="normal", skipme=True)
            thread.join()
            client.close()


@contextlib.contextmanager
def secured_search(folder: Path) -> Iterator[Secured]:
    """A search that has ended, and everything that ran it, still there."""
    require_redis_with_tls()
    authority = Authority.make(folder / "authority")
    postgresql = SecuredPostgreSQL(
        folder / "postgresql", authority, {role: planted(role) for role in ("owner", *POSTGRESQL_ROLES)}
    )
    server = SecuredRedis(folder / "redis", {role: planted(role) for role in REDIS_ROLES}, authority)
    with contextlib.ExitStack() as stack:
        stack.callback(postgresql.close)
        stack.callback(server.close)
        server.start()
        postgresql.start()
        running = stack.enter_context(fleet(None, folder))
        it = Secured(folder, running, server, postgresql, authority)
        stack.enter_context(it.monitoring())
        _run(it)
        yield it


def _run(it: Secured) -> None:
    (it.folder / "signing_key").write_text(it.others["key"] + "\n")
    (it.folder / "planted.py").write_text(OBJECTIVE)
    (it.folder / "spec.toml").write_text(SPEC)
    it.start_flower()
    assert "orchestrator prepare" in it.refused("serve", environment=it.environment("control", "writer"))
    assert it.call("prepare", environment=it.environment("", "owner")).returncode == 0
    more = {
        SIGNING_KEY: it.others["key"],
        f"{SIGNING_KEY}_FILE": "",
        "ORCHESTRATOR_METRICS_PORT": str(it.metrics_port),
        "ORCHESTRATOR_METRICS_PASSWORD": it.others["metrics"],
        "ORCHESTRATOR_NOTIFY_KEY": it.others["notify"],
        # Nothing listens on that port.
        "ORCHESTRATOR_NOTIFY_URLS": f"team=http://127.0.0.1:1/{it.others['webhook']}",
    }
    it.fleet.start_fresh("serve", environment=it.environment("control", "writer", **more))
    it.fleet.start_fresh("worker", "--slots", "1", "--name", "one", environment=it.environment("worker"))
    wait_for(lambda: "one@" in it.flower("/api/workers?refresh=1"), "Flower has found the worker")
    assert it.call("submit", "spec.toml", environment=it.environment("control", "writer")).returncode == 0
    watched = it.call("watch", STUDY, environment=it.environment("viewer", "reader"))
    assert watched.returncode == 0, watched.stderr


def processes(it: Secured) -> list[int]:
    """Returns the ids of all that runs: servers, what was started, and what that has started."""
    started = [process.pid for process in it.fleet.processes]
    servers = [server.process.pid for server in (it.redis, it.postgresql) if server.process]
    return [pid for each in (*started, *servers) for pid in (each, *descendants(each))]
