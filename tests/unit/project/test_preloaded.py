"""A process that tests fork is what one of a new interpreter would be."""

from __future__ import annotations

import json
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

OBJECTIVE = """
import atexit, gc, json, locale, logging, multiprocessing, os, signal, sys, threading
from pathlib import Path

HERE = Path(__file__).parent
MARK = "ORCHESTRATOR_TRAINER"  # Each trainer has another one.
left_open = (HERE / "left-open").open("w")
left_open.write("Python writes it as it takes this module apart")
atexit.register((HERE / "at-exit").write_text, "called")


def words(name):
    read = Path("/proc/self", name).read_text().split("\\0")
    return [word for word in read if word and not word.isdigit() and not word.startswith(MARK)]


def late():
    before = sorted(name for name in sys.modules if name.startswith("torch"))
    import torch.nn.functional
    there = {name: module.__spec__ for name, module in sys.modules.items() if name.startswith("torch")}
    specs = {name: spec and (spec.name, spec.origin, spec.has_location) for name, spec in there.items()}
    return [before, torch.nn.functional is sys.modules["torch.nn.functional"], specs, torch.ones(2).sum().item()]


def state():
    status = dict(line.split(":\\t") for line in Path("/proc/self/status").read_text().splitlines())
    files = [path.resolve().name.partition(":")[0] for path in Path("/proc/self/fd").iterdir()]
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    return {
        "command": words("cmdline"), "shown": sorted(words("environ")), "names": sorted(os.environ),
        "arguments": sys.argv, "path": sys.path, "folder": os.getcwd(), "main": sys.modules["__main__"].__spec__.name,
        "leads its session": os.getsid(0) == os.getpid(), "locale": locale.setlocale(locale.LC_ALL),
        "masks": [status["SigBlk"], status["SigIgn"], status["SigCgt"]],
        "handlers": {number: str(handler).partition(" at ")[0] for number, handler in handlers.items()},
        "files": sorted(name for name in files if name != "null" and not name.isdigit()),
        "umask": os.umask(os.umask(0o77) or 0o22),
        "streams": [(each.fileno(), each.encoding, each.errors) for each in (sys.stdout, sys.stderr)],
        "threads": sorted((each.name, each.daemon) for each in threading.enumerate()),
        "log": [logging.root.level, logging.root.handlers],
        "hooks": [sys.excepthook is sys.__excepthook__, threading.excepthook is threading.__excepthook__],
        "process": [multiprocessing.current_process().name, multiprocessing.parent_process()],
        "garbage": [gc.isenabled(), gc.get_threshold()],
        "imported late": late(),
    }


def objective(trial):
    (HERE / "state").write_text(json.dumps(state()))
    return 1.0
"""


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


def test_trainers_of_a_forked_run_are_what_those_of_a_new_interpreter_are(tmp_path: Path) -> None:
    found = []
    for kind in ("forked", "fresh"):
        folder = tmp_path / kind
        folder.mkdir()
        (folder / "tells.py").write_text(OBJECTIVE)
        (folder / "spec.toml").write_text('name = "s"\nobjective = "tells:objective"\ntrials = 1\n')
        # Python sets the variable by itself where it would read another encoding.
        environ = environment(ORCHESTRATOR_OBJECTIVE_PATH=str(folder), LC_ALL="C.UTF-8")
        arguments = ("run", "spec.toml", "--slots", "1")
        if kind == "forked":
            done = preloaded.run(*arguments, environment=environ, folder=folder, seconds=PATIENCE)
        else:
            command = [sys.executable, "-m", "orchestrator", *arguments]
            done = subprocess.run(command, env=environ, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert (folder / "at-exit").read_text() == "called"
        assert (folder / "left-open").read_text().startswith("Python writes it")
        found.append(json.loads((folder / "state").read_text().replace(str(folder), "")))
    assert found[0] == found[1]
