"""What the health checks of the containers find."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from tests import prepared_databases
from tests.deployment import DOCKER, WORKERS, dockerfile, healthcheck, load, service

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


class Answering:
    """A Redis that is there."""

    def ping(self) -> bool:
        return True


def test_serve_is_healthy_while_a_control_plane_holds_the_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = prepared_databases.sqlite(tmp_path / "studies.db")
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", url)
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://localhost:1/0")
    monkeypatch.setattr("tasks.app.connect", lambda _: Answering())
    health = load(DOCKER / "health.py")
    database = Database(url)
    assert health.main(["serve", str(os.getpid())]) == 1
    assert "no control plane holds the writer's lease" in capsys.readouterr().err
    WriterLease(database, 60).acquire()
    assert health.main(["serve", str(os.getpid())]) == 0
    monkeypatch.setattr(time, "time", lambda clock=time.time: clock() + 61)
    assert health.main(["serve", str(os.getpid())]) == 1
    database.close()


def test_without_redis_nothing_is_healthy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    # No process listens on port 1: it refuses at once.
    monkeypatch.setenv("ORCHESTRATOR_REDIS_URL", "redis://127.0.0.1:1/0")
    health = load(DOCKER / "health.py")
    for check in ("serve", "worker", "flower"):
        assert health.main([check]) == 1
        assert "ConnectionError" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["/opt/venv/bin/orchestrator"], ["-m", "orchestrator"]])
def test_a_command_is_found_among_the_processes_and_a_loop_that_stands_still_is_seen(words: list[str]) -> None:
    health = load(DOCKER / "health.py")
    command = ("orchestrator", f"beat-{os.getpid()}")
    code = "import select, sys\nwhile True: print(flush=True); select.select([], [], [], 0.01)"
    with subprocess.Popen([sys.executable, "-c", code, *words, command[1], "--x"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert health.running(command) == process.pid
        assert health.still(None, command, 1.0) == ""
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        assert f"process {process.pid} stands still" in health.still(None, command, 0.0)
        process.kill()
    assert health.running(command) is None
    assert "no process runs" in health.still(None, command, 1.0)


def test_of_a_process_and_those_that_it_has_forked_it_is_the_one_that_is_meant() -> None:
    health = load(DOCKER / "health.py")
    words = ("-m", f"tasks.worker-{os.getpid()}")
    code = "import os, signal, time\nif os.fork(): print(flush=True); signal.pause()\nelse: signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (child,) = health._children(process.pid)
        assert health.running(words) == process.pid
        process.kill()
        os.kill(child, signal.SIGKILL)
