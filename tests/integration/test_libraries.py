"""Objectives on well-known libraries, callbacks of optuna-integration included, run unchanged and to the same rows."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from fleet import PATIENCE, Fleet, Servers, with_environment

from tests.installed import NotInstalled

pytestmark = pytest.mark.long

HERE = Path(__file__).parent
NEEDS = {
    "sklearn": ("sklearn",),
    "lightgbm": ("lightgbm", "libgomp.so.1", "optuna_integration"),
    "xgboost": ("xgboost", "optuna_integration"),
    "xgboost_by_cloning": ("xgboost", "optuna_integration"),
    "catboost": ("catboost", "optuna_integration"),
    "torch": ("torch",),
    "lightning": ("lightning", "optuna_integration"),
}
"""The objectives, and the modules and libraries of the machine without which each is left out."""

SPEC = """
name = "libraries"
objective = "library_objectives:any_of_them"
trials = {trials}
seed = 1
[args]
libraries = "{named}"
[sampler]
name = "grid"
[space]
library = {{ type = "categorical", choices = {libraries} }}
rate = {{ type = "categorical", choices = ["fast", "slow"] }}
[pruner]
name = "threshold"
upper = 0.6
n_warmup_steps = 6
"""


def missing(library: str) -> list[str]:
    return [name for name in NEEDS[library] if not (_loads(name) if ".so" in name else importlib.util.find_spec(name))]


def _loads(shared_library: str) -> bool:
    try:
        ctypes.CDLL(shared_library)
    except OSError:
        return False
    return True


THERE = [library for library in NEEDS if not missing(library)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Plain Optuna, in a process of its own; it works while the workers do."""
    folder = tmp_path_factory.mktemp("plain")
    command = [sys.executable, str(HERE / "library_objectives.py"), *THERE]
    with tempfile.TemporaryFile() as errors:
        popen = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=folder, stdin=subprocess.DEVNULL)
        with popen:
            yield popen, errors
            popen.kill()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, plain: Any) -> tuple[dict[Any, Any], dict[Any, Any], Any]:
    """What came out on workers and on plain Optuna, by library and rate; and how each trial's attempt ended."""
    it = Fleet(None, tmp_path_factory.mktemp("libraries"))
    spec = it.write_spec(SPEC.format(trials=2 * len(THERE), libraries=json.dumps(THERE), named=",".join(THERE)))
    done = it.call("run", str(spec), "--slots", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert with_environment("ORCHESTRATOR_DATA_DIR", str(it.folder / "data")) == [], "DataLoader workers are gone"
    url = f"sqlite:///{it.folder / 'data' / 'studies.db'}"
    servers = Servers("", url)
    trials = servers.study("libraries").get_trials()
    servers.close()
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        query = sqlalchemy.text("SELECT trial, verdict, cause FROM orchestrator_attempts ORDER BY trial")
        ends = {row.trial: (row.verdict, row.cause) for row in connection.execute(query)}
    engine.dispose()
    output, _ = plain[0].communicate(timeout=PATIENCE)
    plain[1].seek(0)
    assert plain[0].returncode == 0, plain[1].read().decode()

    found = {
        _key(trial.params): (trial.state.name, trial.value, sorted(map(list, trial.intermediate_values.items())))
        for trial in trials
    }
    expected = {_key(params): (state, value, steps) for params, state, value, steps in json.loads(output)}
    return found, expected, {_key(trial.params): ends[trial.number] for trial in trials}


def _key(params: dict[str, Any]) -> tuple[str, str]:
    return params["library"], params["rate"]


@pytest.mark.parametrize("library", NEEDS)
def test_it_runs_as_on_plain_optuna(library: str, both: Any) -> None:
    """Pruned for the same reason at the same step, with the same values; and left then, not at its end."""
    if missing(library):
        raise NotInstalled(f"{' and '.join(missing(library))} is not installed, for {library}")
    found, expected, ends = both
    fast, slow = found[library, "fast"], found[library, "slow"]
    assert fast[0] == "COMPLETE"
    assert (slow[0], len(slow[2]), ends[library, "slow"]) == ("PRUNED", 7, ("pruned", "obeyed"))
    if library == "xgboost_by_cloning":
        # Optuna's storage in memory is cloned with the callback, so that its study never hears of the steps.
        assert fast[:2] == expected[library, "fast"][:2]
        assert fast[2] == found["xgboost", "fast"][2]
    else:
        assert (fast, slow) == (expected[library, "fast"], expected[library, "slow"])
