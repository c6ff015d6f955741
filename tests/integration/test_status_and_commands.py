"""Looking at studies and steering them from the command line, beside a fleet and beside a `run`."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from fleet import PATIENCE, Fleet, real_servers_only, wait_for

SPEC = """
name = "s"
objective = "objectives:waits"
direction = "maximize"
trials = 3
max_steps = 2
[space]
x = {{ type = "float", low = 0.0, high = 1.0 }}
[args]
folder = "{folder}"
"""


def seen(fleet: Fleet) -> dict[str, object]:
    found = fleet.call("status", "s", "--json")
    return json.loads(found.stdout) if found.returncode == 0 else {}


@real_servers_only
def test_a_fleet_is_looked_at_and_steered(running: Fleet, tmp_path: Path) -> None:
    running.start("serve")
    running.start("worker", "--slots", "1")
    running.submit(running.write_spec(SPEC.format(folder=tmp_path)))
    wait_for(lambda: seen(running).get("epochs") == 1, "the first trial has reported")

    (slot,) = seen(running)["slots"]  # type: ignore[misc]
    assert (slot["trial"], slot["attempt"], slot["epochs"], slot["step"]) == (0, 1, 1, 1)
    shown = running.call("status", "s")
    assert "0/3 trials" in shown.stdout
    assert "1 running" in shown.stdout
    assert "\x1b" not in shown.stdout, "colours are for terminals"
    assert [(each["study"], each["state"]) for each in json.loads(running.call("ls", "--json").stdout)] == [
        ("s", "running")
    ]
    watched = running.start("watch", "s")
    told = running.start("watch", "s", "--json")
    wait_for(lambda: "study s running" in watched.log.read_text(), "the view shows the study")
    wait_for(lambda: '"running"' in told.log.read_text(), "and tells programs of it")

    assert running.call("pause", "s").stdout == "paused\n"
    (tmp_path / "go").touch()
    wait_for(lambda: seen(running)["complete"] == 2, "the trial that ran and the one that waited have ended")
    assert {"state": "paused", "running": 0, "waiting": 0}.items() <= seen(running).items()
    assert running.call("resume", "s").stdout == "running\n"

    assert watched.popen.wait(PATIENCE) == 0, "it ends with the study"
    assert "trial 2 COMPLETE" in watched.log.read_text()
    assert told.popen.wait(PATIENCE) == 0
    changes = [json.loads(line) for line in told.log.read_text().splitlines()]
    assert {each["type"] for each in changes} == {"progress", "ended"}
    assert [each["number"] for each in changes if each["type"] == "ended"] == [0, 1, 2]
    assert (changes[0]["state"], changes[-1]["state"]) == ("running", "finished")
    assert seen(running)["state"] == "finished"
    again = running.call("watch", "s")
    assert (again.returncode, "study s finished" in again.stdout) == (0, True)

    assert running.call("retry", "s", "1").stdout == "trial 3\n"
    wait_for(lambda: seen(running)["complete"] == 4, "the study has gone on for the retry")
    listed = json.loads(running.call("trials", "s", "--json").stdout)
    assert (listed[3]["retry_of"], listed[3]["params"], listed[3]["value"]) == (
        1,
        *[listed[1][k] for k in ("params", "value")],
    )
    assert all(each["peak_memory_bytes"] > 1 << 20 for each in listed), "workers measure every trial"
    unknown = running.call("pause", "sss")
    assert (unknown.returncode, "did you mean 's'" in unknown.stderr or "known: s" in unknown.stderr) == (2, True)


def test_a_stop_ends_the_study_at_once(running_embedded: Fleet, tmp_path: Path) -> None:
    running_embedded.start("serve")
    running_embedded.start("worker", "--slots", "1")
    running_embedded.submit(running_embedded.write_spec(SPEC.format(folder=tmp_path)))
    wait_for(lambda: seen(running_embedded).get("epochs") == 1, "the first trial has reported")

    assert running_embedded.call("stop", "s").stdout == "stopped\n"

    assert (seen(running_embedded)["state"], seen(running_embedded)["running"]) == ("stopped", 0)
    kept = running_embedded.call("retry", "s", "0")
    assert kept.stdout.startswith("trial ")
    assert kept.stderr == ("note: study 's' is stopped; run or submit its spec again, and it goes on with this trial\n")


def test_beside_a_run(alone: Fleet, tmp_path: Path) -> None:
    spec = alone.write_spec(SPEC.format(folder=tmp_path) + "ready = 1\n")
    run = alone.start("run", str(spec), "--slots", "1")
    wait_for(lambda: seen(alone).get("epochs") == 3, "the second trial has reported")
    refused = alone.call("retry", "s", "1")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "orchestrator: trial 1 of study 's': has not ended yet; only a trial that has ended can be retried\n"
    )
    again = alone.call("retry", "s", "0")
    assert again.returncode == 0, again.stderr
    number = again.stdout.split()[1]
    why = alone.call("why", "s", number)
    assert "with the parameters of trial 0" in why.stdout or "retry of trial 0" in why.stdout
    assert seen(alone)["budget"] == 4
    watched = alone.start("watch", "s")
    wait_for(lambda: "study s running" in watched.log.read_text(), "the view shows the study")

    assert alone.call("stop", "s").stdout == "stopped\n"

    assert watched.popen.wait(PATIENCE) == 0
    assert run.popen.wait(PATIENCE) == 0
    assert "study s stopped" in watched.log.read_text()
    refused = alone.call("pause", "s")
    assert refused.returncode == 2
    assert "study 's': is stopped already; run or submit its spec again, and it goes on" in refused.stderr


def test_ctrl_c_ends_the_watching_and_nothing_else(running_embedded: Fleet, tmp_path: Path) -> None:
    running_embedded.start("serve")
    running_embedded.submit(running_embedded.write_spec(SPEC.format(folder=tmp_path)))
    watched = running_embedded.start("watch", "s")
    wait_for(lambda: "study s running" in watched.log.read_text(), "the view shows the study")

    assert watched.stop(signal.SIGINT) == 130

    assert "Traceback" not in watched.log.read_text()
    assert seen(running_embedded)["state"] == "running"
