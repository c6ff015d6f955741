"""A process that tests fork is what one of a new interpreter would be."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import preloaded

ROOT = Path(__file__).parents[3]
PATIENCE = 240.0


def environment(**more: str) -> dict[str, str]:
    usual = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "ORCHESTRATOR_DATA_DIR": "data"}
    return usual | more


@pytest.mark.parametrize(
    ("code", "arguments"),
    [(0, ("--version",)), (0, ("init", "new")), (2, ("ls",)), (2, ("no-such-command",))],
)
def test_it_says_and_makes_the_same_and_ends_alike(code: int, arguments: tuple[str, ...], tmp_path: Path) -> None:
    forked, fresh = tmp_path / "forked", tmp_path / "fresh"
    for folder in (forked, fresh):
        folder.mkdir()
    done = preloaded.run(*arguments, environment=environment(), folder=forked, seconds=PATIENCE)
    expected = subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments],
        env=environment(),
        cwd=fresh,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == expected.returncode == code
    assert done.stdout.replace(str(forked), str(fresh)) == expected.stdout
    assert done.stderr.replace(str(forked), str(fresh)) == expected.stderr
    made = [{path.relative_to(folder): path.is_file() for path in folder.rglob("*")} for folder in (forked, fresh)]
    assert made[0] == made[1]


@pytest.mark.parametrize("command", ["serve", "worker"])
def test_it_shows_its_own_command_environment_and_folder_and_hears_signals(command: str, tmp_path: Path) -> None:
    # No answer comes from there, and both wait for it.
    with socket.create_server(("127.0.0.1", 0)) as silent, (tmp_path / "log").open("wb") as log:
        environ = environment(ORCHESTRATOR_REDIS_URL=f"redis://127.0.0.1:{silent.getsockname()[1]}/0", GIVEN="to it")
        environ["ORCHESTRATOR_STORAGE_URL"] = f"sqlite:///{tmp_path}/studies.db"
        process = preloaded.start([command], environment=environ, folder=tmp_path, stdout=log, stderr=log)
        try:
            check_shown(process, command, environ, tmp_path)
            os.kill(process.pid, signal.SIGKILL)
            assert process.wait(PATIENCE) == -signal.SIGKILL
        finally:
            process.kill()


def check_shown(process: preloaded.Process, command: str, environ: dict[str, str], folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    shown = Path(f"/proc/{process.pid}")
    wanted = {"serve": ["-m", "orchestrator", "serve"], "worker": ["-P", "-m", "tasks.worker"]}[command]
    while (shown / "cmdline").read_bytes().rstrip(b"\0").decode().split("\0") != [sys.executable, *wanted]:
        # The process shows it shortly after it was forked.
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < deadline, (shown / "cmdline").read_bytes()
        time.sleep(0.02)
    try:
        text = (shown / "environ").read_text()
        assert (shown / "cwd").resolve() == folder
    except PermissionError:
        assert command == "worker", "a worker alone keeps this from every user but root"
        return
    given = dict(pair.split("=", 1) for pair in text.rstrip("\0").split("\0"))
    secret = {"ORCHESTRATOR_STORAGE_URL"} if command == "worker" else set()
    assert given == {name: value for name, value in environ.items() if name not in secret}
