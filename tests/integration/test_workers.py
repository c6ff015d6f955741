"""`workers` beside real ones: what each slot trains, and draining."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from fleet import Fleet, follow_to_end, wait_for

SPEC = """
name = "s"
objective = "objectives:waits"
trials = 3
max_steps = 2
[args]
folder = "{folder}"
"""


def workers(fleet: Fleet) -> dict[str, dict[str, Any]]:
    done = fleet.call("workers", "--json")
    assert done.returncode == 0, done.stderr
    return {each["name"].partition("@")[0]: each for each in json.loads(done.stdout)}


def test_a_worker_is_seen_drained_and_replaced(running_embedded: Fleet, tmp_path: Path) -> None:
    fleet = running_embedded
    assert fleet.servers is not None
    client = fleet.servers.client()
    fleet.start("serve")
    first = fleet.start("worker", "--slots", "1", "--name", "first")
    fleet.submit(fleet.write_spec(SPEC.format(folder=tmp_path)))
    wait_for(
        lambda: any(slot["trial"] == 0 for slot in workers(fleet).get("first", {"slots": []})["slots"]), "it trains"
    )
    found = workers(fleet)["first"]
    assert (found["state"], found["capacity"], found["queues"], found["host"]) == (
        "ready",
        1,
        ["trials"],
        os.uname().nodename,
    )
    (slot,) = found["slots"]
    assert (slot["study"], slot["trial"], slot["busy"]) == ("s", 0, True)
    assert 0 <= slot["heard"] < 5
    text = fleet.call("workers").stdout
    assert "1 worker, 1 of 1 slots busy" in text

    wrong = fleet.call("workers", "drain", "frist")
    assert (wrong.returncode, "did you mean" in wrong.stderr) == (2, True), wrong.stderr
    drained = fleet.call("workers", "drain", "first")
    assert drained.stdout == f"first@{os.uname().nodename} drains\n", drained.stderr
    assert workers(fleet)["first"]["state"] == "draining"
    assert first.popen.poll() is None, "its trial goes on"
    second = fleet.start("worker", "--slots", "1", "--name", "second")
    wait_for(lambda: "second" in workers(fleet), "the other one")
    (tmp_path / "go").touch()
    ended = follow_to_end(client, "s")
    assert (ended.state, ended.complete) == ("finished", 3)
    wait_for(lambda: first.popen.poll() is not None, "the end of the worker that drains")
    assert first.popen.poll() == 0
    runs = {row["number"]: row for row in json.loads(fleet.call("trials", "s", "--json").stdout)}
    assert runs[0]["attempts"] == 1, "it was not handed back"
    assert {runs[number]["slot"].partition("@")[0] for number in (1, 2)} == {"second"}
    second.stop(signal.SIGTERM)
