"""What the health checks of the containers find."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.storage import WriterLease
from orchestrator.storage.database import Database
from tasks import worker
from tests.deployment import DOCKER, WORKERS, dockerfile, healthcheck, last, load, service

CHECKS = {name: name for name in ("serve", "beat", "flower", "dashboard")} | dict.fromkeys(WORKERS, "worker")


@pytest.mark.parametrize("name", CHECKS)
def test_a_health_check_runs_a_check_that_exists(name: str) -> None:
    program, *rest = healthcheck(name)
    assert program == "entrypoint"
    assert rest == ["python", "-I", "/opt/health.py", CHECKS[name]]
    assert callable(getattr(load(DOCKER / "health.py"), CHECKS[name]))
    copies = [
        each.words() for each in dockerfile(Path(service(name)["build"]["dockerfile"]).name) if each.name == "COPY"
    ]
    assert ["docker/health.py", "/opt/health.py"] in copies
    assert ["docker/entrypoint.sh", "/usr/local/bin/entrypoint"] in copies


@pytest.mark.parametrize("name", WORKERS)
def test_the_health_check_asks_for_the_name_that_the_worker_has(name: str) -> None:
    known = load(DOCKER / "health.py").WORKER
    assert worker._parse(service(name)["command"][2:]).name == known
    assert worker._parse(last("Dockerfile.worker", "CMD").command()[2:]).name == known


class Answering:
    """A Redis that is there."""

    def ping(self) -> bool:
        return True


def test_serve_is_healthy_while_somebody_holds_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", url)
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://localhost:1/0")
    monkeypatch.setattr("tasks.app.connect", lambda _: Answering())
    health = load(DOCKER / "health.py")
    database = Database(url)
    database.prepare()
    assert health.main(["serve", str(os.getpid())]) == 1
    assert "no control plane holds the writer's lease" in capsys.readouterr().err
    WriterLease(database, 60).acquire()
    assert health.main(["serve", str(os.getpid())]) == 0
    monkeypatch.setattr(time, "time", lambda clock=time.time: clock() + 61)
    assert health.main(["serve", str(os.getpid())]) == 1
    database.close()


class Fleet:
    """A Celery application whose workers answer; in the place of its ``control`` and ``inspect`` as well."""

    def __init__(self, *names: str) -> None:
        self.control = self
        self.names = names

    def inspect(self, destination: list[str], timeout: float, limit: int) -> Fleet:
        assert timeout < 15
        assert limit == len(destination)
        return Fleet(*(name for name in self.names if name in destination))

    def ping(self) -> dict[str, dict[str, str]] | None:
        # None is what Celery gives where nobody answers.
        return {name: {"ok": "pong"} for name in self.names} or None


def test_a_worker_is_healthy_while_it_answers_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://localhost:1/0")
    monkeypatch.setattr("tasks.app.connect", lambda _: Answering())
    health = load(DOCKER / "health.py")
    here = f"worker@{socket.gethostname()}"
    monkeypatch.setattr("tasks.app.create_app", lambda _: Fleet(here, "worker@elsewhere"))
    assert health.main(["worker"]) == 0
    monkeypatch.setattr("tasks.app.create_app", lambda _: Fleet("worker@elsewhere"))
    assert health.main(["worker"]) == 1
    assert f"{here} does not answer" in capsys.readouterr().err


def test_without_redis_nothing_is_healthy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    # Port 1 is nobody's: it refuses at once.
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://127.0.0.1:1/0")
    health = load(DOCKER / "health.py")
    for check in ("serve", "worker", "flower"):
        assert health.main([check]) == 1
        assert "ConnectionError" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["/opt/venv/bin/orchestrator"], ["-m", "orchestrator"]])
def test_a_command_is_found_among_the_processes_and_a_loop_that_stands_still_is_seen(words: list[str]) -> None:
    health = load(DOCKER / "health.py")
    command = f"beat-{os.getpid()}"
    code = "import select, sys\nwhile True: print(flush=True); select.select([], [], [], 0.01)"
    with subprocess.Popen([sys.executable, "-c", code, *words, command, "--x"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert health.running(command) == process.pid
        assert health.still(command, None, 1.0) == ""
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert f"process {process.pid} stands still" in health.still(command, None, 0.0)
        process.kill()
    assert health.running(command) is None
    assert "no process runs" in health.still(command, None, 1.0)
