"""Upgrading a fleet that works: control planes first, then workers; nothing that trains is lost on the way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fleet import PATIENCE, Fleet, Process, real_servers_only, wait_for
from optuna.trial import TrialState

from tasks import redis_keys
from tasks.contract import VERSION

NEWER = VERSION + 1
SPEC = """
name = "upgraded"
objective = "objectives:waits"
trials = 2
parallel = 2
seed = 3
[args]
folder = "{folder}"
"""


def start(fleet: Fleet, version: int, *arguments: str) -> Process:
    """Starts a program that speaks this version."""
    log = fleet.folder / f"{len(fleet.processes)}-{version}.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-m", "tests.at_version", str(version), *arguments],
            env=fleet.environment(),
            cwd=fleet.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    fleet.processes.append(Process(popen, log))
    return fleet.processes[-1]


@real_servers_only
def test_a_control_plane_that_is_upgraded_lets_older_workers_finish_what_they_train(
    running: Fleet, tmp_path: Path
) -> None:
    servers = running.servers
    assert servers is not None
    folder = tmp_path / "go"
    folder.mkdir()
    before = running.start("serve")
    older = running.start("worker", "--slots", "2", "--name", "older")
    running.submit(running.write_spec(SPEC.format(folder=folder).replace("trials = 2", "trials = 1")))
    wait_for(lambda: servers.study("upgraded").trials[0].intermediate_values, "the first trial trains")
    assert before.stop() == 0

    after = start(running, NEWER, "serve")
    wait_for(lambda: "writing in term" in after.log.read_text(), "the newer one has taken over")
    running.submit(running.write_spec(SPEC.format(folder=folder)))
    # It meets a job that it does not understand, while it trains one that it does.
    wait_for(lambda: "it takes no more tasks" in older.log.read_text(), "the older worker finds out")
    assert f"speaks protocol version {VERSION}, the control plane {NEWER}" in older.log.read_text()
    assert older.popen.poll() is None

    newer = start(running, NEWER, "worker", "--slots", "1", "--name", "newer")
    wait_for(lambda: len(servers.study("upgraded").trials[1].intermediate_values) == 1, "the newer one has taken it")
    (folder / "go").touch()
    assert older.popen.wait(PATIENCE) == 2
    wait_for(lambda: servers.study("upgraded").trials[1].state.is_finished(), "all trials have ended")
    assert [trial.state for trial in servers.study("upgraded").trials] == [TrialState.COMPLETE] * 2
    assert servers.client().xlen(redis_keys.DEAD_LETTERS) == 0

    again = running.start("worker", "--slots", "1")
    assert again.popen.wait(PATIENCE) == 2
    (line,) = again.log.read_text().strip().splitlines()
    assert "upgrade this worker" in line
    assert newer.popen.poll() is None
