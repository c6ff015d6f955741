"""An objective may have processes, threads and signal handlers of its own, be pruned among them, and leaves nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import busy_objectives
import pytest
from fleet import HERE, Fleet, Servers, with_environment
from optuna.trial import FrozenTrial, TrialState

SPEC = """
name = "busy"
objective = "busy_objectives:busy"
trials = {trials}
grace = {grace}
[args]
folder = "{folder}"
names = {names}
[sampler]
name = "random"
[pruner]
name = "threshold"
upper = 1e6
"""

Ends = dict[str, tuple[FrozenTrial, FrozenTrial, bool]]
LONG, SHORT = 60.0, 3.0
"""Grace periods, in seconds: one that no busy machine uses up, and one for those who would use up any."""


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> Ends:
    """By kind: the trial that ran to its end, the one that was pruned, and whether the latter had to be killed."""
    gentle = [name for name in busy_objectives.TABLE if name not in busy_objectives.STUBBORN]
    return {
        **search(tmp_path_factory.mktemp("gentle"), gentle, LONG),
        **search(tmp_path_factory.mktemp("stubborn"), list(busy_objectives.STUBBORN), SHORT),
    }


def search(folder: Path, names: list[str], grace: float) -> Ends:
    notes = folder / "notes"
    notes.mkdir()
    it = Fleet(None, folder)
    spec = it.write_spec(SPEC.format(grace=grace, trials=2 * len(names), folder=notes, names=json.dumps(names)))
    done = it.call("run", str(spec), "--slots", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert with_environment("ORCHESTRATOR_DATA_DIR", str(folder / "data")) == []
    started = [pid for path in notes.glob("*.json") for pid in json.loads(path.read_text())]
    assert started
    assert [pid for pid in started if busy_objectives.is_alive(pid)] == []
    servers = Servers("", f"sqlite:///{folder / 'data' / 'studies.db'}")
    trials = servers.study("busy").get_trials()
    servers.close()
    log = (folder / "data" / "logs" / "worker.log").read_text()
    return {
        name: (trials[2 * index], trials[2 * index + 1], f"trial {2 * index + 1} did not leave" in log)
        for index, name in enumerate(names)
    }


@pytest.mark.parametrize("name", busy_objectives.TABLE)
def test_it_runs_to_its_end(name: str, ends: Ends) -> None:
    trial = ends[name][0]
    assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.0), trial.user_attrs


@pytest.mark.parametrize("name", busy_objectives.TABLE)
def test_it_is_pruned_in_the_middle(name: str, ends: Ends) -> None:
    trial, killed = ends[name][1:]
    assert trial.state is TrialState.PRUNED, trial.user_attrs
    assert trial.intermediate_values == {1: 1e9}
    # A stop that comes before the stubborn ones have dug in makes them leave like the others.
    assert not killed or name in busy_objectives.STUBBORN


def test_plain_optuna_runs_them_too(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        done = subprocess.run(
            [sys.executable, str(HERE / "busy_objectives.py")],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=280,
            check=False,
        )
    assert done.returncode == 0, log.read_text()[-2_000:]
