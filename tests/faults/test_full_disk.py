"""The disk of a `run` is full for a while: it waits, says so in two lines, and comes to its end."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from fleet import fleet, wait_for
from optuna.trial import TrialState

SPEC = """
name = "full"
objective = "objectives:climbs"
trials = 12
[args]
epochs = 20
saves = "never"
seconds = 0.05
folder = "{folder}"
[pruner]
name = "none"
"""
ROOM = 24
"""MiB of the disk."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, small."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={ROOM}m", "none", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a disk")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(path: Path) -> None:
    """Leaves no room on a disk."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def trained(folder: Path) -> list[int]:
    """Returns how many epochs each trial has trained that has begun."""
    return [len(path.read_text().splitlines()) for path in folder.glob("*.epochs")]


def test_a_run_whose_disk_is_full_for_a_while_goes_on(disk: Path, tmp_path: Path) -> None:
    with fleet(None, tmp_path) as running:
        data = disk / "data"
        environment = running.environment() | {"ORCHESTRATOR_DATA_DIR": str(data)}
        spec = running.write_spec(SPEC.format(folder=tmp_path))
        run = running.start("run", str(spec), "--slots", "2", environment=environment)
        wait_for(lambda: (tmp_path / "1.epochs").exists(), running.logs())
        serve = data / "logs" / "serve.log"
        fill(disk / "filler")
        # Nothing can be recorded: what has begun is trained to its end, and then everything waits.
        wait_for(lambda: run.popen.poll() is not None or min(trained(tmp_path)) == 20, "it trains no more")
        assert run.popen.poll() is None, running.logs()
        (disk / "filler").unlink()
        assert run.popen.wait(240) == 0, running.logs() + serve.read_text()
        storage = optuna.storages.RDBStorage(f"sqlite:///{data / 'studies.db'}")
        try:
            trials = optuna.load_study(study_name="full", storage=storage).trials
        finally:
            storage.remove_session()
            storage.engine.dispose()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 12
    assert all(list(trial.intermediate_values) == list(range(1, 21)) for trial in trials)
