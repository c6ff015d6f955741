"""Which of two control planes leads: whatever their namespaces, however long one reads, and when one hangs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from fleet import Fleet, Process, real_servers_only, wait_for

SPEC = """
name = "{name}"
objective = "objectives:climbs"
trials = 1
[args]
folder = "{folder}"
[pruner]
name = "none"
"""

pytestmark = real_servers_only


def leads(process: Process) -> int:
    """Returns how often a control plane has begun to lead."""
    return len(re.findall("writing in term", process.log.read_text()))


def studies(running: Fleet, count: int, folder: Path) -> None:
    """Makes studies that no worker trains for."""
    serve = running.start("serve")
    for number in range(count):
        running.submit(running.write_spec(SPEC.format(name=f"study-{number}", folder=folder)))
    assert serve.stop() == 0


@pytest.mark.parametrize("proc", [[], ["--mount-proc"]], ids=["its host's /proc", "a /proc of its own"])
def test_two_of_one_host_in_pid_namespaces_of_their_own(running: Fleet, proc: list[str]) -> None:
    unshare = ["unshare", "--pid", "--fork", "--kill-child", *proc]
    try:
        subprocess.run([*unshare, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may make no PID namespaces")
    command = [*unshare, sys.executable, "-m", "orchestrator", "serve"]
    both = [running.launch(command, f"serve-{name}") for name in "ab"]
    wait_for(lambda: sum(map(leads, both)) == 1, "none leads")
    standby = next(each for each in both if not leads(each))
    wait_for(lambda: "standing by" in standby.log.read_text(), "it does not stand by")
    # For some leases the other one goes on, and does what it is told.
    for number in range(3):
        running.submit(running.write_spec(SPEC.format(name=f"told-{number}", folder=running.folder)))
    assert [leads(each) for each in both].count(1) == 1
    assert leads(standby) == 0
    assert "deposed" not in running.logs()
    assert "taken over" not in running.logs()
    for each in both:
        each.kill()


def test_reading_studies_for_longer_than_the_lease_keeps_the_leader(running: Fleet, tmp_path: Path) -> None:
    studies(running, 3, tmp_path)
    both = [running.start("slow", program="tests.faults.odd_serve") for _ in "ab"]
    wait_for(lambda: any(each.log.read_text().count("trials there") == 3 for each in both), running.logs())
    assert sum(map(leads, both)) == 1, running.logs()
    assert "taken over" not in running.logs()


def test_a_control_plane_whose_loop_hangs_gives_way(running: Fleet, tmp_path: Path) -> None:
    limited = running.environment() | {"ORCHESTRATOR_LOOP_LIMIT": "4"}
    hanging = running.start("hangs", environment=limited, program="tests.faults.odd_serve")
    wait_for(lambda: leads(hanging), "it does not lead")
    standby = running.start("serve")
    wait_for(lambda: "standing by" in standby.log.read_text(), "it does not stand by")
    running.submit(running.write_spec(SPEC.format(name="study", folder=tmp_path)))
    wait_for(lambda: leads(standby), "it does not take over")
    assert "hanging" in hanging.log.read_text()
    assert "no progress for" in hanging.log.read_text()
    hanging.kill()
