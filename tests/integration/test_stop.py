"""A pruned trial is left in the middle of its epoch, in the same process, and Flower says so."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import sqlalchemy
from fleet import Fleet, follow_to_end, wait_for
from optuna.trial import TrialState

SPEC = """
name = "long"
objective = "objectives:long_epochs"
direction = "maximize"
trials = 11
seed = 5
[args]
folder = "{folder}"
[pruner]
name = "median"
n_startup_trials = 1
"""


def test_a_trial_is_left_in_the_middle_of_a_20_s_epoch(running: Fleet, tmp_path: Path) -> None:
    servers = running.servers
    assert servers is not None
    notes = tmp_path / "notes"
    notes.mkdir()
    running.start("serve")
    running.start("worker", "--slots", "1")
    running.submit(running.write_spec(SPEC.format(folder=notes)))

    end = follow_to_end(servers.client(), "long")

    assert (end.complete, end.pruned, end.failed) == (6, 5, 0), running.logs()
    # The study has ended with the last decision; the trial that it was about may be leaving only now.
    wait_for(lambda: all(row.state == "done" for row in _rows(servers.storage_url)[1].values()), "everybody has left")
    left = {number: json.loads((notes / f"{number}.json").read_text()) for number in range(11)}
    pruned = [trial.number for trial in servers.study("long").trials if trial.state is TrialState.PRUNED]
    assert pruned == [1, 3, 5, 7, 9]
    assert all(left[number]["interrupted"] for number in pruned)
    assert len({note["pid"] for note in left.values()}) == 1, "the trainer survives and takes the next trial"
    decided, attempts = _rows(servers.storage_url)
    # An epoch lasts 20 s: whatever is far below that was left in its middle. The fastest of five says what the path
    # itself takes; the others may have met a busy machine.
    delays = sorted(left[number]["left"] - decided[number] for number in pruned)
    assert delays[-1] < 5.0
    assert delays[0] < 0.1
    for number in pruned:
        assert attempts[number].verdict == "pruned"
        assert attempts[number].cause == "obeyed"
        assert 0.0 < attempts[number].latency < 5.0


def test_flower_shows_pruned_as_revoked_and_finished_as_success(running: Fleet, tmp_path: Path) -> None:
    servers = running.servers
    assert servers is not None
    notes = tmp_path / "notes"
    notes.mkdir()
    port = _free_port()
    log = (tmp_path / "flower.log").open("wb")
    flower = subprocess.Popen(
        [
            *(sys.executable, "-m", "celery", "--broker", servers.redis_url),
            *("flower", "--address=127.0.0.1", f"--port={port}", "--inspect_timeout=2000"),
        ],
        env=running.environment() | {"FLOWER_UNAUTHENTICATED_API": "true"},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        wait_for(lambda: _get(port, "/api/workers") is not None, "Flower answers")
        running.start("serve")
        running.start("worker", "--slots", "1", "--name", "one")
        wait_for(lambda: any("one@" in name for name in _get(port, "/api/workers?refresh=1") or {}), "Flower sees it")
        running.submit(running.write_spec(SPEC.format(folder=notes).replace("trials = 11", "trials = 4")))
        follow_to_end(servers.client(), "long")
        tokens = {row.token: trial for trial, row in _rows(servers.storage_url)[1].items()}

        def states() -> dict[int, str]:
            tasks = _get(port, "/api/tasks") or {}
            return {tokens[token]: task["state"] for token, task in tasks.items() if token in tokens}

        expected = {0: "SUCCESS", 1: "REVOKED", 2: "SUCCESS", 3: "REVOKED"}
        wait_for(lambda: states() == expected, "Flower has heard of every task", 20)
    finally:
        flower.terminate()
        flower.wait(15)
        log.close()


def _rows(url: str) -> tuple[dict[int, float], dict[int, Any]]:
    """Returns when each pruned trial was decided on, and the attempt of each trial."""
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        decisions = connection.execute(sqlalchemy.text("SELECT trial, at FROM orchestrator_decisions")).all()
        attempts = connection.execute(sqlalchemy.text("SELECT * FROM orchestrator_attempts")).all()
    engine.dispose()
    return {row.trial: row.at for row in decisions}, {row.trial: row for row in attempts}


def _get(port: int, path: str) -> dict[str, Any] | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)
            return found
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
