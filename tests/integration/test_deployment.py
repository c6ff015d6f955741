"""What docker/ starts in containers, started without: commands, settings, passwords from files and health checks.

Nothing is changed about them but the names of hosts and the places of files.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest
from fleet import (
    HERE,
    PATIENCE,
    ROOT,
    Fleet,
    Process,
    command_line,
    descendants,
    fleet,
    follow_to_end,
    notices,
    wait_for,
)

from orchestrator.model.progress_events import Progress
from orchestrator.queries.readonly import open_study_reader
from tasks.app import connect
from tests import stand_ins
from tests.deployment import DOCKER, Unit, environment, healthcheck, make_secrets, read_variables, service
from tests.installed import require
from tests.secured_servers import RoledPostgreSQL
from tests.servers import free_port
from tests.web import ask

OURS = {"serve": "serve", "beat": "beat", "worker": "worker-cpu", "flower": "flower", "dashboard": "dashboard"}
"""The processes, and the service of each."""

PORTS = {"flower": "5555", "dashboard": "8080", "proxy": "8080"}
"""Where they listen, each in a container of its own. Here each has another."""

STUBS = {
    "orchestrator": f'exec {sys.executable} -m orchestrator "$@"',
    "python": f'[ "$1" = -I ] && shift; exec {sys.executable} "$@"',
    "entrypoint": f'exec sh {DOCKER}/entrypoint.sh "$@"',
    "docker-entrypoint.sh": 'exec "$@" --port "$REDIS_PORT" --bind 127.0.0.1 --dir "$REDIS_DIR"',
}
"""What the images bring to the path."""


class Stack:
    """The services on one machine.

    Args:
        it: Where the processes go.
        folder: Data and stubs.
        secrets: What compose.yaml mounts at /run/secrets.
        database: What stands for the container of PostgreSQL.
    """

    def __init__(self, it: Fleet, folder: Path, secrets: Path, database: RoledPostgreSQL) -> None:
        self.fleet = it
        self.database = database
        self.folder = folder
        self.ports = {name: free_port() for name in ("redis", *PORTS, "metrics-serve", "metrics-worker-cpu")}
        self.mounted = secrets
        self.secrets = {path.name: path.read_text().strip() for path in secrets.iterdir()}
        stand_ins.make(folder / "bin")
        require("redis-server", "redis-cli", folder=folder / "bin")
        for name, line in STUBS.items():
            stand_ins.write_script(folder / "bin" / name, line)
        (folder / "redis").mkdir()
        self.moved = {
            "@redis:6379/": f"@127.0.0.1:{self.ports['redis']}/",
            "@postgres:5432/orchestrator": f"@127.0.0.1:{database.port}/optuna",
            "//orchestrator:": "//optuna:",
            "/run/secrets/": f"{secrets}/",
            "/opt/acl.sh": str(DOCKER / "redis" / "acl.sh"),
            "/data/users.acl": str(folder / "redis" / "users.acl"),
            "redis-cli ": f"redis-cli -p {self.ports['redis']} ",
            "--studies=/studies": f"--studies={HERE}",
            "/opt/health.py": str(folder / "health.py"),
            "/opt/health.sh": str(folder / "health.sh"),
        }
        health = (DOCKER / "health.py").read_text()
        for name in ("flower", "dashboard"):
            health = self.listening(health, f"127.0.0.1:{PORTS[name]}", name)
        (folder / "health.py").write_text(health)
        self.processes: dict[str, Process] = {}

    def here(self, text: str) -> str:
        """Returns a text of compose.yaml with the hosts and places that these are here."""
        for there, here in self.moved.items():
            text = text.replace(there, here)
        return text

    def listening(self, text: str, there: str, name: str) -> str:
        """Returns a text with the place where a service listens here, instead of ``there``."""
        assert text.count(there) == 1
        return text.replace(there, f"127.0.0.1:{self.ports[name]}")

    def environment(self, name: str) -> dict[str, str]:
        """Returns what the container of a service has in its environment."""
        image: dict[str, str] = {}
        if "build" in service(name):
            image = environment(Path(service(name)["build"]["dockerfile"]).name)
        given = image | {key: self.here(value) for key, value in service(name).get("environment", {}).items()}
        given = {key: value for key, value in given.items() if key != "PATH"}
        folders = {"/studies": str(HERE), "/data": str(self.folder / "data")}
        return {key: folders.get(value, value) for key, value in given.items()} | {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "PYTHONPATH": f"{HERE}:{ROOT}",
            "SECRETS_DIR": str(self.mounted),
            "REDIS_PORT": str(self.ports["redis"]),
            "REDIS_DIR": str(self.folder / "redis"),
            "WORKER_QUEUES": "trials,slurm",
            "ORCHESTRATOR_HEARTBEAT": "0.5",
            "ORCHESTRATOR_LEASE": "2",
            "ORCHESTRATOR_LOG_FORMAT": "json",
            # Those who show metrics are in a container of their own, too.
            **{key: str(self.ports[f"metrics-{name}"]) for key in given if key == "ORCHESTRATOR_METRICS_PORT"},
        }

    def runs(self, process: str) -> bool:
        return process in self.processes and self.processes[process].popen.poll() is None

    def start(self, process: str, name: str) -> None:
        """Starts a service as its container does."""
        command = [self.here(word) for word in service(name)["command"]]
        if name in PORTS and "build" in service(name):
            command.insert(2, f"--port={self.ports[name]}")
        entry = ["entrypoint"] if "build" in service(name) else []
        self.processes[process] = self.fleet.launch([*entry, *command], process, self.environment(name))

    def start_unit(self, process: str, unit: Unit, **more: str) -> None:
        """Starts what a unit of systemd runs, with what the examples beside it set."""
        variables: dict[str, str] = {}
        for file in unit.all("EnvironmentFile"):
            if not file.startswith("-"):
                variables |= read_variables(DOCKER / "systemd" / f"{Path(file).name}.example")
        given = self.environment("serve" if "ORCHESTRATOR_STORAGE_URL" in variables else "worker-cpu")
        variables |= {key: given[key] for key in variables.keys() & given} | more
        program, *arguments = unit.command(variables, instance=process)
        command = ["entrypoint", Path(program).name, *arguments]
        # The examples set no metrics, and leave them off.
        given = {key: value for key, value in given.items() if not key.startswith("ORCHESTRATOR_METRICS")}
        self.processes[process] = self.fleet.launch(command, process, given | variables)

    def check(self, process: str, name: str) -> subprocess.CompletedProcess[str]:
        """Runs the health check of a service's container."""
        command = [self.here(word) for word in healthcheck(name)]
        if command[0] not in ("entrypoint", "sh"):
            command = ["sh", "-c", *command]
        elif command[-1] in ("serve", "beat", "worker"):
            # A container has one of them; here there are more.
            command = [*command, str(self.processes[process].pid)]
        return self.run(command, self.environment(name))

    def await_healthy(self, process: str, name: str) -> None:
        answers = [""]

        def healthy() -> bool:
            found = self.check(process, name)
            answers.append(found.stderr)
            return found.returncode == 0

        try:
            wait_for(healthy, f"{process} becomes healthy")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{answers[-1]}\n{self.fleet.logs()}") from None

    def run(self, command: list[str], variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False, timeout=PATIENCE)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Redis and PostgreSQL as their services start them, prepared; they keep what they have."""
    folder = tmp_path_factory.mktemp("stack")
    secrets = make_secrets(folder)
    database = RoledPostgreSQL(folder / "postgresql", secrets)
    with contextlib.closing(database), fleet(None, folder) as it:
        database.start()
        up = Stack(it, folder, secrets, database)
        start_redis(up)
        prepared = up.run(["entrypoint", *service("prepare")["command"]], up.environment("prepare"))
        assert prepared.returncode == 0, prepared.stderr
        yield up


@pytest.fixture
def stack(machine: Stack) -> Stack:
    """Every service of ours, started and not yet looked at."""
    start_redis(machine)
    for process, name in OURS.items():
        if not machine.runs(process):
            machine.start(process, name)
    # It stands by.
    wait_for(partial(_says, machine.processes["serve"].log, "writing in term"), "a control plane is active")
    if not machine.runs("standby"):
        machine.start_unit("standby", Unit.read("orchestrator-serve.service"))
    return machine


def start_redis(machine: Stack) -> None:
    if not machine.runs("redis"):
        machine.start("redis", "redis")
        machine.await_healthy("redis", "redis")


def _says(log: Path, words: str) -> bool:
    return words in log.read_text()


@pytest.mark.parametrize(("process", "name"), OURS.items())
def test_a_service_becomes_healthy(stack: Stack, process: str, name: str) -> None:
    stack.await_healthy(process, name)
    # No password where everybody on a machine can read it.
    shown = Path(f"/proc/{stack.processes[process].pid}/cmdline").read_text() + stack.processes[process].log.read_text()
    assert not [secret for secret, value in stack.secrets.items() if value in shown]


@pytest.mark.parametrize("process", ["serve", "beat", "worker"])
def test_the_log_is_json_where_it_is_asked_for(stack: Stack, process: str) -> None:
    stack.await_healthy(process, OURS[process])
    lines = [json.loads(line) for line in stack.processes[process].log.read_text().splitlines()]
    assert {line["process"] for line in lines} == {process}


@pytest.mark.parametrize("name", ["serve", "worker-cpu"])
def test_only_prometheus_gets_the_metrics(stack: Stack, name: str) -> None:
    port, known = stack.ports[f"metrics-{name}"], f"prometheus:{stack.secrets['metrics_password']}"
    wait_for(lambda: ask(port, "/metrics", known)[0] == 200, "metrics are shown")
    assert b"orchestrator_" in ask(port, "/metrics", known)[1]
    assert ask(port, "/metrics")[0] == 401


@pytest.fixture
def proxy(stack: Stack) -> Stack:
    """The same with the proxy before the pages, which have come up."""
    require("nginx", "curl")
    if not stack.runs("proxy"):
        start_proxy(stack)
    stack.await_healthy("proxy", "proxy")
    return stack


def start_proxy(stack: Stack) -> None:
    config = (DOCKER / "proxy" / "nginx.conf").read_text()
    for name in ("flower", "dashboard"):
        config = stack.listening(config, f"{name}:{PORTS[name]}", name)
    config = stack.listening(config, f"listen {PORTS['proxy']}", "proxy").replace("127.0.0.1:", "listen 127.0.0.1:", 1)
    for there, here in (("/tmp/", stack.folder), ("/run/secrets/", stack.mounted)):
        assert there in config
        config = config.replace(there, f"{here}/")
    (stack.folder / "nginx.conf").write_text(config)
    health = (DOCKER / "proxy" / "health.sh").read_text()
    health = stack.here(stack.listening(health, f"127.0.0.1:{PORTS['proxy']}", "proxy"))
    (stack.folder / "health.sh").write_text(health)
    program, *arguments = service("proxy")["command"]
    command = [program, "-c", str(stack.folder / "nginx.conf"), *arguments]
    if os.getuid() == 0:
        # Its workers would run as a user who may not read this folder.
        command[-1] += " user root;"
    stack.processes["proxy"] = stack.fleet.launch(command, "proxy", stack.environment("proxy"))


@pytest.mark.parametrize(
    "page",
    ["/", "/dashboard", "/api/studies", "/flower", "/flower/", "/flower/metrics", "/flower/static/css/flower.css"],
)
def test_the_proxy_opens_to_who_knows_the_password(proxy: Stack, page: str) -> None:
    port = proxy.ports["proxy"]
    status, body = ask(port, page, f"admin:{proxy.secrets['web_password']}")
    assert status == 200, body
    assert ask(port, page)[0] == 401
    assert ask(port, page, "admin:wrong")[0] == 401


def test_the_proxy_says_so_when_a_page_is_away(proxy: Stack) -> None:
    proxy.processes["dashboard"].stop()
    found = proxy.check("proxy", "proxy")
    assert (found.returncode, found.stdout) == (1, "")
    assert "/dashboard answers 401 without a password and 502 with it" in found.stderr
    assert ask(proxy.ports["proxy"], "/flower/", f"admin:{proxy.secrets['web_password']}")[0] == 200


def test_a_worker_of_slurm_gives_its_trial_back_at_the_signal_and_one_of_systemd_takes_it(stack: Stack) -> None:
    spec = (
        'name = "s"\nobjective = "objectives:waits"\ntrials = 1\nqueue = "slurm"\n'
        f'[args]\nfolder = "{stack.folder}"\n[retry]\nmax_attempts = 1\n'
    )
    path = stack.fleet.write_spec(spec)
    submitted = stack.run(["entrypoint", "orchestrator", "submit", str(path)], stack.environment("serve"))
    # On a busy machine it may not wait long enough for an answer; what it asks for is kept all the same.
    assert submitted.stdout == "s\n" or "is kept" in submitted.stderr, submitted.stderr
    slurm = {
        "ORCHESTRATOR_METRICS_PORT": "",
        "SLURM_JOB_ID": "4711",
        "CUDA_VISIBLE_DEVICES": "",
        "ORCHESTRATOR_ENV": "/dev/null",
    }
    command = ["entrypoint", "bash", str(DOCKER / "slurm" / "worker.sbatch"), "--slots=1", "--queues=slurm"]
    script = stack.fleet.launch(command, "slurm", stack.environment("worker-cpu") | slurm)
    client = connect(f"redis://control:{stack.secrets['redis_control_password']}@127.0.0.1:{stack.ports['redis']}/0")
    for notice in notices(client, "s"):
        if isinstance(notice, Progress) and notice.epochs == 1:
            break
    assert script.stop() == 0, stack.fleet.logs()

    unit = Unit.read("orchestrator-worker@.service")
    stack.start_unit("gpu0", unit, WORKER_OPTIONS="--slots=1 --queues=slurm")
    (stack.folder / "go").touch()
    assert follow_to_end(client, "s").complete == 1, stack.fleet.logs()
    client.close()
    with open_study_reader(stack.database.url) as history:
        causes = [row.cause for row in history.trial("s", "0").attempts]
    # As often as one likes: a preemption is no attempt of the one that the spec allows.
    assert causes == ["released", "finished"]
    assert stack.processes["gpu0"].stop() == 0


@pytest.mark.parametrize("who", ["main", "keeper"])
def test_a_worker_of_which_something_stands_still_is_not_healthy(stack: Stack, who: str) -> None:
    stack.await_healthy("worker", "worker-cpu")
    main = stack.processes["worker"].pid
    keepers = [pid for pid in descendants(main) if "tasks.worker" in command_line(pid)]
    victim = main if who == "main" else keepers[-1]
    os.kill(victim, signal.SIGSTOP)
    found = stack.check("worker", "worker-cpu")
    os.kill(victim, signal.SIGCONT)
    assert (found.returncode, found.stdout) == (1, "")
    assert f"the loop of process {victim} stands still" in found.stderr
    stack.await_healthy("worker", "worker-cpu")


def test_a_control_plane_that_stands_by_is_healthy_until_it_stands_still(stack: Stack) -> None:
    stack.await_healthy("standby", "serve")
    os.kill(stack.processes["standby"].pid, signal.SIGSTOP)
    found = stack.check("standby", "serve")
    os.kill(stack.processes["standby"].pid, signal.SIGCONT)
    assert (found.returncode, found.stdout) == (1, "")
    assert "stands still" in found.stderr


def test_everything_ends_when_it_is_told_to(stack: Stack) -> None:
    for process, name in (*OURS.items(), ("standby", "serve")):
        stack.await_healthy(process, name)
    for started in reversed(stack.processes.values()):
        started.popen.terminate()
    for process in reversed(stack.processes):
        assert stack.processes[process].popen.wait(PATIENCE) == 0, process
