"""`orchestrator doctor` beside real processes: what is planted is found, mended where that is safe, and gone then."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner
from fleet import PATIENCE, Fleet, follow_to_end, real_servers_only, wait_for

from orchestrator.cli import cli
from orchestrator.messaging.dispatch import Dispatcher
from tasks import redis_keys
from tasks.contract import Job
from tests.servers import Redis

SPEC = """
name = "s"
objective = "objectives:waits"
trials = 4
max_steps = 2
[space]
x = {{ type = "float", low = 0.0, high = 1.0 }}
[args]
folder = "{folder}"
"""


@pytest.fixture
def fleet(running: Fleet, tmp_path: Path) -> Iterator[Fleet]:
    """A fleet on a Redis of its own, whose settings may be spoilt."""
    own = Redis(tmp_path / "redis")
    own.start()
    assert running.servers is not None
    running.servers.redis_url = own.url
    yield running
    running.close()
    own.close()


def doctor(fleet: Fleet, *arguments: str) -> tuple[dict[str, Any], dict[str, dict[str, Any]], int]:
    """Returns what it printed, its findings by code without what is well, and how it ended.

    Called in this process, which has everything imported; other tests call the program.
    """
    none: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("ORCHESTRATOR_"))
    done = CliRunner().invoke(cli, ["doctor", "--json", *arguments], env=none | fleet.environment())
    assert not done.stderr, done.stderr
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
    answer = json.loads(done.stdout)
    wrong = {each["code"]: each for each in answer["findings"] if each["severity"] != "ok"}
    assert answer["ok"] is (done.exit_code == 0)
    return answer, wrong, done.exit_code


def contents(client: redis.Redis) -> dict[bytes, Any]:
    """Returns everything in Redis but what Celery's library stores about clients that were once connected."""
    return {key: client.dump(key) for key in client.scan_iter() if not key.startswith(b"_kombu")}


def trains(file: Path) -> bool:
    """Whether an attempt runs, by a database whose tables may not be complete yet."""
    if not file.exists():
        return False
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection, suppress(sqlite3.OperationalError):
        return bool(connection.execute("SELECT 1 FROM orchestrator_attempts WHERE state = 'running'").fetchone())
    return False


def ask(fleet: Fleet) -> int:
    """Asks for a trial as a notebook does, and leaves it; returns its number."""
    assert fleet.servers is not None
    return fleet.servers.study("s").ask().number


@real_servers_only
def test_what_the_world_and_the_database_disagree_about(fleet: Fleet, tmp_path: Path) -> None:
    assert fleet.servers is not None
    client = fleet.servers.client()
    (tmp_path / "go").touch()
    leader = fleet.start("serve")
    wait_for(lambda: "writing in term" in leader.log.read_text(), "it leads")
    fleet.submit(fleet.write_spec(SPEC.format(folder=tmp_path)))
    wait_for(lambda: client.llen("trials\x06\x163") == 1, "a task waits")
    leader.kill()

    ask(fleet)
    client.xgroup_destroy(redis_keys.EVENTS, redis_keys.GROUP)
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.rpush("trials", b"{")
    client.xadd(redis_keys.EVENTS, {redis_keys.EVENT_FIELD: b"\xff\x00poison"})
    stranger = Job(study="s", uid="u", trial=9, token="unknown", attempt=1, objective="m:f", directions=("minimize",))
    dispatcher = Dispatcher(fleet.servers.redis_url, client)
    dispatcher.send(stranger, "trials", priority=5)
    dispatcher.close()
    before = contents(client)
    answer, wrong, code = doctor(fleet)
    expected = {
        "redis-eviction": "problem",
        "control-plane-missing": "problem",
        "worker-missing": "problem",
        "lease-left": "note",
        "group-missing": "warning",
        "queue-malformed": "warning",
        "queue-unknown": "warning",
        "trial-unattended": "warning",
    }
    assert {name: each["severity"] for name, each in wrong.items()} == expected
    assert code == 1
    mendable = {"lease-left", "group-missing", "queue-malformed", "queue-unknown"}
    assert {name for name, each in wrong.items() if each["repairable"]} == mendable
    assert answer["facts"]["database"]["books"]["unattended"] == [["s", 1]]
    assert contents(client) == before, "a look changes nothing"

    answer, wrong, _ = doctor(fleet, "--repair")
    assert len(answer["mended"]) == len(mendable), answer["mended"]
    left = expected.keys() - mendable | {"dead-letters"}
    # On a busy machine what was planted in the stream has grown old by now.
    assert wrong.keys() - {"stream-behind"} == left
    answer, again, _ = doctor(fleet, "--repair")
    assert (answer["mended"], again.keys() - {"stream-behind"}) == ([], left), "a second time it has nothing to do"

    client.config_set("maxmemory-policy", "noeviction")
    fleet.start("serve")
    fleet.start("worker", "--slots", "2", "--name", "w")
    ended = follow_to_end(client, "s")
    assert (ended.state, ended.complete) == ("finished", 4), "what was unattended is attempted"
    answer, wrong, code = doctor(fleet)
    assert (set(wrong), code) == ({"dead-letters"}, 0)
    letters = "\n".join(wrong["dead-letters"]["details"])
    assert "poison" in letters, "what is no event is kept by serve"
    assert "a task without an attempt" in letters, "and what was no task by doctor"
    assert {sign["slot"].partition("@")[0] for sign in answer["facts"]["workers"]["signs"]} == {"w"}
    (worker,) = answer["facts"]["workers"]["workers"]
    assert (worker["slots"], worker["queues"], abs(worker["clock"]["offset"]) < 5) == (2, ["trials"], True)


@real_servers_only
def test_with_a_control_plane_it_is_the_one_that_mends(fleet: Fleet, tmp_path: Path) -> None:
    assert fleet.servers is not None
    client = fleet.servers.client()
    leader = fleet.start("serve")
    wait_for(lambda: "writing in term" in leader.log.read_text(), "it leads")
    standby = fleet.start("serve")
    wait_for(lambda: "standing by" in standby.log.read_text(), "one stands by")
    worker = fleet.start("worker", "--slots", "1", "--name", "w")
    fleet.submit(fleet.write_spec(SPEC.format(folder=tmp_path)))
    study = fleet.servers.study("s")
    wait_for(lambda: any(trial.intermediate_values for trial in study.trials), "the first trial has reported")
    answer, wrong, code = doctor(fleet)
    assert (wrong, code) == ({}, 0)
    (plane,) = (each for each in answer["findings"] if each["code"] == "control-plane")
    assert plane["text"] == "writes in term 1, 1 stands by"

    number = ask(fleet)
    (running,) = (each for each in answer["facts"]["database"]["books"]["attempts"] if each["state"] == "running")
    client.delete(redis_keys.confirmation(running["token"]))
    os.kill(worker.pid, signal.SIGSTOP)
    try:
        _, wrong, code = doctor(fleet)
        assert set(wrong) == {"trial-unattended", "confirmation-missing", "worker-silent"}
        assert wrong["trial-unattended"]["about"] == f"study s, trial {number}"
        assert code == 0, "time is lost, and nothing else"
    finally:
        os.kill(worker.pid, signal.SIGCONT)

    answer, wrong, _ = doctor(fleet, "--repair")
    assert answer["mended"] == ["had study s reconciled by the control plane: it is running"]
    assert wrong == {}
    assert [each["state"] for each in answer["facts"]["database"]["books"]["attempts"]] == ["running", "sent", "sent"]
    (tmp_path / "go").touch()
    ended = follow_to_end(client, "s")
    assert (ended.state, ended.complete) == ("finished", 4)


def test_beside_a_run(alone: Fleet, tmp_path: Path) -> None:
    _, wrong, code = doctor(alone)
    assert (set(wrong), code) == ({"redis-absent", "database-absent"}, 0)
    assert not (tmp_path / "data").exists(), "a look makes nothing"
    alone.start("run", str(alone.write_spec(SPEC.format(folder=tmp_path))), "--slots", "1")
    wait_for(lambda: trains(tmp_path / "data" / "studies.db"), "it trains")
    done = alone.call("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert "redis://:***@127.0.0.1:" in done.stdout, "no password is shown"
    assert done.stdout.splitlines()[-1] == "nothing is wrong"
    (tmp_path / "go").touch()


def test_what_cannot_be_reached_is_a_finding_and_what_is_misspelt_is_bad_input(alone: Fleet) -> None:
    away = {
        "ORCHESTRATOR_REDIS_URL": "redis://:secret@127.0.0.1:1/0",
        "ORCHESTRATOR_STORAGE_URL": "postgresql://me:secret@127.0.0.1:1/optuna",
    }
    process = alone.start("doctor", environment=alone.environment() | away)
    assert process.popen.wait(PATIENCE) == 1
    said = process.log.read_text()
    assert "[redis-unreachable]" in said
    assert "[database-unreachable]" in said
    assert "secret" not in said
    assert "Traceback" not in said
    wrong = alone.start("doctor", environment=alone.environment() | {"ORCHESTRATOR_REDIS_URL": "host:6379"})
    assert wrong.popen.wait(PATIENCE) == 2
    assert wrong.log.read_text().count("\n") == 1
