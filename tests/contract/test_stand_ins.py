"""The stand-ins for curl and redis-cli answer as these do."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import stand_ins
from tests.servers import free_port
from tests.shared_servers import redis_url
from tests.webhook_server import webhook_server


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all of them, wherever the machine has the programs themselves."""
    monkeypatch.setattr("tests.installed.HIDDEN", {*stand_ins.SCRIPTS, "redis-server", *stand_ins.OF_POSTGRESQL})
    stand_ins.make(tmp_path / "bin")
    return tmp_path


def call(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [folder / "bin" / command[0], *command[1:]],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_is_there(folder: Path) -> None:
    names = {path.name for path in (folder / "bin").iterdir()}
    assert {"curl", "redis-cli", "redis-server", *stand_ins.OF_POSTGRESQL} == names
    assert "PostgreSQL" in call(folder, "psql", "--version").stdout
    assert call(folder, "redis-server", "--version").returncode == 0


def test_curl(folder: Path) -> None:
    with webhook_server([200, 500, 500], {"X-Answer": "yes"}) as it:
        done = call(folder, "curl", "-sS", "-u", "me:secret", "-H", "X-Asked: yes", "-d", "a body", it.url)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        (posted,) = it.posted
        assert (posted.body, posted.headers["X-Asked"]) == (b"a body", "yes")
        assert posted.headers["Authorization"] == "Basic bWU6c2VjcmV0"
        assert call(folder, "curl", "-d", "", it.url).returncode == 0
        assert call(folder, "curl", "-f", "-d", "", "-o", "body", it.url).returncode == 22
    away = call(folder, "curl", f"127.0.0.1:{free_port()}/metrics")
    assert (away.returncode, away.stderr.startswith("curl: (7)")) == (7, True)


def test_redis_cli(folder: Path) -> None:
    url = redis_url()
    assert call(folder, "redis-cli", "-u", url, "PING").stdout == "PONG\n"
    assert call(folder, "redis-cli", "-u", url, "RPUSH", "{test}list", "a", "b c").stdout == "2\n"
    assert call(folder, "redis-cli", "-u", url, "LRANGE", "{test}list", "0", "-1").stdout == "a\nb c\n"
    assert call(folder, "redis-cli", "-u", url, "GET", "{test}none").stdout == "\n"
    refused = call(folder, "redis-cli", "-u", url, "GET", "{test}list")
    assert (refused.returncode, refused.stdout.split()[0]) == (0, "WRONGTYPE")
    assert call(folder, "redis-cli", "-u", url, "DEL", "{test}list").stdout == "1\n"
    away = call(folder, "redis-cli", "-p", str(free_port()), "PING", REDISCLI_AUTH="secret")
    assert (away.returncode, away.stdout) == (1, "")
