"""The Slurm example: what it asks Slurm for, and what becomes of a signal. A stub stands where the worker would."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from orchestrator.spec.model import Spec
from tasks.keeper.keeper import DRAIN_SECONDS
from tests.deployment import DOCKER, check_command, known_settings

SCRIPT = DOCKER / "slurm" / "worker.sbatch"
TEXT = SCRIPT.read_text()

# Says what it was called with, then counts the signals until it is told to end with 3.
STUB = """#!/bin/bash
trap 'echo told' TERM
printf '%s\\n' "$@" "redis=$ORCHESTRATOR_REDIS_URL" ready
read -r < {folder}/end & waiter=$!
while kill -0 $waiter 2>/dev/null; do wait $waiter; done
exit 3
"""


def start(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Starts the script on a stub, with the settings of a file; waits until the stub has said all."""
    (folder / "stub").write_text(STUB.format(folder=folder))
    (folder / "stub").chmod(0o755)
    (folder / "settings").write_text("ORCHESTRATOR_REDIS_URL=redis://:a$b@host/0\n".replace("$", r"\$"))
    os.mkfifo(folder / "end")
    given = {"ORCHESTRATOR": str(folder / "stub"), "ORCHESTRATOR_ENV": str(folder / "settings")}
    return subprocess.Popen(
        ["bash", str(SCRIPT), *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "SLURM_JOB_ID": "4711"} | given | variables,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines = [line.rstrip("\n") for line in iter(process.stdout.readline, "ready\n")]
    check_command(["orchestrator", *(line for line in lines if not line.startswith("redis="))])
    return lines


def finish(folder: Path, process: subprocess.Popen[str]) -> str:
    (folder / "end").write_text("\n")
    rest, _ = process.communicate(timeout=30)
    return rest


def test_it_asks_slurm_for_a_signal_in_time_and_to_be_started_again() -> None:
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=?(.*)$", TEXT, re.MULTILINE))
    known = ["job-name", "nodes", "ntasks", "cpus-per-task", "gres", "time", "output", "open-mode", "signal", "requeue"]
    assert sorted(asked) == sorted(known)
    # To the script alone: the processes of the worker must not all be told.
    (seconds,) = re.findall(r"^B:TERM@(\d+)$", asked["signal"])
    assert int(seconds) >= 2 * (Spec.model_fields["grace"].default + DRAIN_SECONDS)
    assert (asked["requeue"], asked["nodes"], asked["ntasks"]) == ("", "1", "1")
    # Slurm reads no further than to the first command.
    assert TEXT.rindex("#SBATCH") < TEXT.index("\nset -eu")
    named = set(re.findall(r"ORCHESTRATOR_\w+", TEXT)) - {"ORCHESTRATOR_ENV"}
    assert named <= known_settings()


@pytest.mark.parametrize(
    ("given", "gpus"),
    [
        ({"CUDA_VISIBLE_DEVICES": "0,1", "SLURM_JOB_GPUS": "2,3"}, ["--gpus=0,1"]),
        ({"SLURM_JOB_GPUS": "2,3"}, ["--gpus=2,3"]),
        ({"SLURM_STEP_GPUS": "1", "SLURM_JOB_GPUS": "1,2"}, ["--gpus=1"]),
        ({}, []),
    ],
)
def test_the_worker_gets_the_gpus_of_its_allocation(tmp_path: Path, given: dict[str, str], gpus: list[str]) -> None:
    process = start(tmp_path, "--per-gpu=2", "--queues=a,b", **given)
    expected = ["worker", "--name=slurm-4711", *gpus, "--per-gpu=2", "--queues=a,b", "redis=redis://:a$b@host/0"]
    assert said(process) == expected
    assert finish(tmp_path, process) == ""
    assert process.returncode == 3


def test_a_signal_is_passed_on_once_and_the_worker_is_waited_for(tmp_path: Path) -> None:
    process = start(tmp_path)
    said(process)
    assert process.stdout is not None
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "told\n"
    # A worker takes a second one as an order to end at once.
    process.send_signal(signal.SIGTERM)
    assert process.poll() is None
    assert finish(tmp_path, process) == ""
    assert process.returncode == 3
