"""A whole search over TLS, by roles, with signatures: it runs, nobody may do more than is needed, no secret shows."""

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
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
import redis
import sqlalchemy
from click.testing import CliRunner
from fleet import Fleet, command_line, descendants, fleet, wait_for
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from orchestrator.cli import cli
from orchestrator.dispatch import queue_names
from orchestrator.errors import BadInput
from tasks import keys
from tasks.app import create_app
from tasks.codec import encode
from tasks.contract import Epoch, Event
from tasks.signing import SIGNING_KEY
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
[notify]
endpoint = "team"
"""
OTHERS = ("key", "flower", "metrics", "notify", "webhook")
"""What else is told in secret, beside the passwords of the servers' roles."""


def planted(what: str) -> str:
    return f"planted-{what}-{uuid.uuid4().hex}"


def page(url: str, password: str) -> str:
    """Returns what is shown there to whoever has the password; nothing while nobody answers."""
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
        self.fleet.start("flower", port, "--", "--inspect_timeout=2000", environment=environment)

    def flower(self, path: str) -> str:
        """Returns a page of Flower; nothing while there is none."""
        return page(f"http://127.0.0.1:{self.flower_port}{path}", self.others["flower"])

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
        # Nobody listens there.
        "ORCHESTRATOR_NOTIFY_URLS": f"team=http://127.0.0.1:1/{it.others['webhook']}",
    }
    it.fleet.start("serve", environment=it.environment("control", "writer", **more))
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
    wait_for(
        lambda: Counter(task["state"] for task in json.loads(secured.flower("/api/tasks")).values())["FAILURE"] == 1,
        "Flower has heard of the trial that failed",
    )
    assert "insecure" not in secured.fleet.logs()


def test_the_training_process_holds_no_secret(secured: Secured) -> None:
    trainers = [pid for pid in _processes(secured) if "tasks.trainer" in command_line(pid)]
    assert trainers
    for pid in trainers:
        _hides(secured, "a trainer's environment", Path(f"/proc/{pid}/environ").read_bytes().decode(), "PATH=")
    seen = secured.trials()[0].user_attrs["seen"]
    _hides(secured, "what an objective sees of itself", seen, "PATH=")
    assert SIGNING_KEY not in seen
    assert "ORCHESTRATOR_REDIS_URL" not in seen


def test_who_comes_with_the_wrong_credentials_is_told_in_one_line(secured: Secured) -> None:
    stranger = Authority.make(secured.folder / "stranger")
    redis_url, database_url = secured.redis.url_of, secured.postgresql.url_of
    both, worker = secured.environment("control", "writer"), secured.environment("worker")
    untrusted, wrong = "certificate verify failed", "invalid username-password pair"
    for url, line in [
        (redis_url("control", authority=stranger), untrusted),
        (redis_url("control", secured.wrong), wrong),
    ]:
        assert line in secured.invoke("serve", environment=both | {"ORCHESTRATOR_REDIS_URL": url})
    for url, line in [
        (database_url("writer", authority=stranger), untrusted),
        (database_url("writer", secured.wrong), "password authentication failed"),
    ]:
        assert line in secured.invoke("serve", environment=both | {"ORCHESTRATOR_STORAGE_URL": url})
        assert line in secured.invoke("ls", environment=both | {"ORCHESTRATOR_STORAGE_URL": url})
    for url, line in [
        (redis_url("worker", authority=stranger), untrusted),
        (redis_url("worker", secured.wrong), wrong),
        (redis_url("viewer"), "may not take tasks from the queue 'trials'"),
    ]:
        assert line in secured.refused("worker", environment=worker | {"ORCHESTRATOR_REDIS_URL": url})


def test_a_worker_without_the_key_does_not_begin(secured: Secured) -> None:
    without = secured.environment("worker", **{f"{SIGNING_KEY}_FILE": ""})
    assert "signed, and there is no key here" in secured.refused("worker", environment=without)
    other = without | {SIGNING_KEY: secured.wrong}
    assert "no key that is known here" in secured.refused("worker", environment=other)


def test_who_only_reads_cannot_write(secured: Secured) -> None:
    reader = secured.environment("control", "reader")
    assert "may not write" in secured.refused("pause", STUDY, environment=reader)
    assert "may not write" in secured.refused("serve", environment=reader)
    for role, statement in [
        ("reader", "DELETE FROM studies"),
        ("reader", "CREATE TABLE mine (a int)"),
        ("writer", "CREATE TABLE mine (a int)"),
        ("writer", "DROP TABLE orchestrator_writer"),
        ("writer", "TRUNCATE trials"),
    ]:
        url = secured.postgresql.url_of(role)
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            # It may say so; what it is granted is another matter.
            connection.exec_driver_sql("SET default_transaction_read_only = off")
            with pytest.raises(sqlalchemy.exc.ProgrammingError, match=r"denied|must be own"):
                connection.exec_driver_sql(statement)


def test_an_event_or_a_job_that_nobody_signed_is_kept_aside(secured: Secured) -> None:
    """All that a stolen worker can write, without the key."""
    before = secured.dead_letters()
    with contextlib.closing(secured.redis.client_of("worker")) as client:
        forged = Event(token=str(uuid.uuid4()), runner="r", seq=1, body=Epoch(step=1, value=1.0))
        client.xadd(keys.EVENTS, {keys.EVENT_FIELD: encode(forged)})
        client.lpush(queue_names("trials")[1], json.dumps({"headers": {"task": "train", "id": "x"}, "body": ""}))
    wait_for(lambda: len(secured.dead_letters()) == len(before) + 2, "both are kept aside")
    assert "an event that is not signed" in secured.dead_letters()


class Canary:
    """Its pickle makes a file when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def test_remote_control_in_pickle_is_not_read(secured: Secured, tmp_path: Path) -> None:
    """Who may send it at all can stop a worker; it must not be able to make one run anything."""
    app = create_app(secured.redis.url_of("control"))
    file = tmp_path / "alive"
    body = base64.b64encode(pickle.dumps({"method": "ping", "arguments": {}, "canary": Canary(file)})).decode()
    properties = {"delivery_mode": 2, "delivery_info": {"exchange": "celery.pidbox", "routing_key": ""}}
    message = {
        "body": body,
        "content-encoding": "binary",
        "content-type": "application/x-python-serialize",
        "headers": {},
        "properties": properties | {"body_encoding": "base64", "delivery_tag": "t"},
    }
    with contextlib.closing(secured.redis.client_of("control")) as client:
        assert client.publish("/0.celery.pidbox", json.dumps(message)) == 1
    # It answers, and so it has taken up what came before.
    wait_for(lambda: app.control.ping(timeout=1.0), "the worker answers")
    assert not file.exists()
    assert "Refusing to deserialize" in secured.fleet.logs() or "ContentDisallowed" in secured.fleet.logs()
    app.close()


# -- no secret shows ----------------------------------------------------------------------------------------------

SURFACES: dict[str, tuple[Callable[[Secured], str], str]] = {}
"""Where something may be read, with what is there for certain; by name."""


def surface(name: str, there: str) -> Callable[[Callable[[Secured], str]], Callable[[Secured], str]]:
    """Adds a place to look at. ``there`` shows that something was to be seen."""

    def add(read: Callable[[Secured], str]) -> Callable[[Secured], str]:
        SURFACES[name] = read, there
        return read

    return add


@surface("the logs of all processes", "study secured finished")
def _logs(it: Secured) -> str:
    logs = [*it.folder.glob("*.log"), it.folder / "redis/server.log", it.folder / "postgresql/server.log"]
    return "\n".join(log.read_text(errors="replace") for log in logs)


@surface("what objectives have printed", "planted.objective sees")
def _trial_logs(it: Secured) -> str:
    return "\n".join(log.read_text() for log in (it.folder / "data/logs").rglob("*.log"))


@surface("files of trials", "planted.objective")
def _artifacts(it: Secured) -> str:
    files = [path for path in (it.folder / "data/artifacts").rglob("*") if path.is_file()]
    return "\n".join(path.read_bytes().decode(errors="replace") for path in files)


@surface("all that was said to Redis", "planted:objective")
def _monitored(it: Secured) -> str:
    return "\n".join(it.monitored)


@surface("all that Redis has kept", "XADD")
def _append_only(it: Secured) -> str:
    return "\n".join(path.read_bytes().decode(errors="replace") for path in (it.folder / "redis").rglob("*.aof"))


@surface("the database", "planted:objective")
def _database(it: Secured) -> str:
    engine = sqlalchemy.create_engine(it.postgresql.url, poolclass=sqlalchemy.NullPool)
    metadata = sqlalchemy.MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        rows = [repr(connection.execute(sqlalchemy.select(table)).all()) for table in metadata.tables.values()]
    return "\n".join(rows)


@surface("command lines", "tasks.trainer")
def _command_lines(it: Secured) -> str:
    return "\n".join(map(command_line, _processes(it)))


@surface("what commands say", "secured")
def _commands(it: Secured) -> str:
    """What they have said so far, to whoever came with the wrong password too, and what the others say."""
    for command in (f"report secured -o {it.folder / 'report'}", "status secured", "ls --json", "why secured 3"):
        said = it.invoke(*command.split(), environment=it.environment("viewer", "reader"))
        assert "secured" in said.partition("\n")[2], said
    assert "planted.objective sees" in it.invoke("logs", STUDY, "3", environment=it.environment("viewer", "reader"))
    both = it.environment("control", "writer")
    doctor = it.invoke("doctor", environment=both)
    assert "one@" in doctor
    nowhere = it.environment("control", "writer", ORCHESTRATOR_REDIS_URL=f"redis://me:{it.wrong}@127.0.0.1:1/0")
    assert "Connection refused" in it.invoke("serve", environment=nowhere)
    return "\n".join(it.said)


@surface("the report", "trial 3 fails")
def _report(it: Secured) -> str:
    return "\n".join(page.read_text() for page in (it.folder / "report").rglob("*.html"))


@surface("Flower", "one@")
def _flower(it: Secured) -> str:
    paths = ["/workers", "/tasks", "/broker", "/api/workers?refresh=1", "/api/tasks", "/api/queues/length"]
    worker = json.loads(it.flower("/api/workers")).popitem()[0]
    tasks = [f"/task/{task}" for task in json.loads(it.flower("/api/tasks"))]
    pages = {path: it.flower(path) for path in [*paths, f"/worker/{worker}", *tasks]}
    assert all(pages.values()), [path for path, page in pages.items() if not page]
    return "\n".join(pages.values())


@surface("metrics", "orchestrator_leader 1")
def _metrics(it: Secured) -> str:
    return page(f"http://127.0.0.1:{it.metrics_port}/metrics", it.others["metrics"])


@surface("what Flower keeps", "train")
def _flower_state(it: Secured) -> str:
    # Written once a minute, and at the end.
    (flower,) = (each for each in it.fleet.processes if each.log.name.endswith("flower.log"))
    flower.stop()
    it.fleet.processes.remove(flower)
    it.start_flower()
    return "\n".join(path.read_bytes().decode(errors="replace") for path in (it.folder / "data/flower").rglob("*"))


@surface("remote control", "trial-orchestrator")
def _remote_control(it: Secured) -> str:
    app = create_app(it.redis.url_of("control"))
    inspect = app.control.inspect(timeout=5.0, limit=1)
    found = json.dumps([inspect.conf(with_defaults=True), inspect.stats(), inspect.report()], default=str)
    app.close()
    return found + "trial-orchestrator"


@pytest.mark.parametrize("name", SURFACES)
def test_no_secret_shows(secured: Secured, name: str) -> None:
    read, there = SURFACES[name]
    _hides(secured, name, read(secured), there)


def test_the_secrets_are_what_is_really_used(secured: Secured) -> None:
    """What is looked for in vain must be what there would be to be found."""
    held = "".join(Path(f"/proc/{process.pid}/environ").read_text() for process in secured.fleet.processes)
    found = [secret for secret in secured.secrets if secret in held]
    assert len(found) == 4 + len(OTHERS), "three roles of Redis, one of PostgreSQL"


def _hides(it: Secured, name: str, text: str, there: str) -> None:
    # The body of a task is base64 in JSON.
    for run in re.findall(r"[A-Za-z0-9+/]{40,}={0,2}", text):
        with contextlib.suppress(ValueError):
            text += base64.b64decode(run + "=" * (-len(run) % 4)).decode(errors="replace")
    assert there in text, f"{name}: nothing to be seen"
    for secret in it.secrets:
        at = text.find(secret)
        assert at < 0, f"{name}: {secret} in …{text[max(0, at - 200) : at + 100]}…"


def _processes(it: Secured) -> list[int]:
    started = [process.pid for process in it.fleet.processes]
    servers = [server.process.pid for server in (it.redis, it.postgresql) if server.process]
    return [pid for each in (*started, *servers) for pid in (each, *descendants(each))]
