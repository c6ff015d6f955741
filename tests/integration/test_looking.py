"""`why` and `replay` as a user calls them: what they print, and that they need and change nothing but the database."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.changes import Changes, DecisionRow, TrialEnd
from orchestrator.spec.model import validate
from orchestrator.storage import Store, WriterLease
from orchestrator.storage.database import Database

AT = 1_700_000_000.0
ASHA = "asha mode='promotion'"
SPEC = {
    "name": "search",
    "objective": "objectives:steady",
    "trials": 3,
    "max_steps": 3,
    "pruner": {"name": "median", "n_startup_trials": 1},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as `run` leaves it: two trials that completed, and one that the median pruned."""
    made = tmp_path_factory.mktemp("looking") / "data"
    made.mkdir()
    database = Database(f"sqlite:///{made}/studies.db")
    database.prepare()
    lease = WriterLease(database, 60.0)
    assert lease.acquire() is None
    store = Store(database, lease)
    store.create(validate(SPEC, "test"), AT)
    for number, curve in enumerate(([0.5, 0.3, 0.2], [0.4, 0.3, 0.1], [0.9])):
        at = AT + 10 * number
        changes = Changes(new_trials={number: at}, values=[(number, step, value) for step, value in enumerate(curve)])
        changes.ends[number] = TrialEnd("PRUNED" if number == 2 else "COMPLETE", (curve[-1],), at + 5)
        if number == 2:
            changes.decisions.append(DecisionRow(2, "prune", "median", 0, 0.9, 0.45, 2, at + 5))
        store.commit({"search": changes})
    lease.release()
    store.close()
    database.close()
    return made.parent


def call(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("ORCHESTRATOR_")}
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *arguments],
        env=clean | {"ORCHESTRATOR_DATA_DIR": "data"} | environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_why(folder: Path) -> None:
    done = call(folder, "why", "search", "2")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "trial 2 was pruned at epoch 0: best value so far 0.9, the median of 2 completed trials at epoch 0 is 0.45",
        "  (2 of 3 epochs not trained)",
    ]


def test_why_for_programs(folder: Path) -> None:
    done = call(folder, "why", "search", "2", "--json")
    answer = json.loads(done.stdout)
    assert (answer["state"], answer["decision"]["threshold"], answer["epochs"]) == ("PRUNED", 0.45, 1)


def test_replay(folder: Path) -> None:
    url = f"sqlite:///{folder}/data/studies.db"
    rules = ["--pruner", "median n_startup_trials=1", "--pruner", "none"]
    done = call(folder, "replay", "search", *rules, ORCHESTRATOR_STORAGE_URL=url, ORCHESTRATOR_DATA_DIR="elsewhere")
    assert (done.returncode, done.stderr) == (0, "")
    table = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in table[3:6]] == ["as", "median", "none"]
    # Its own rule has pruned the same; without any, the third trial would have gone on.
    assert table[4][-7:] == ["7", "0", "1", "–", "0.1000", "1", "kept"]
    assert table[5][-9:] == ["≥", "7", "≤", "0", "0", "1", "0.1000", "1", "kept"]
    assert not (folder / "elsewhere").exists()


def test_replay_of_a_specs_pruner_for_programs(folder: Path) -> None:
    (folder / "other.toml").write_text(
        'name = "other"\nobjective = "m:f"\ntrials = 9\n[pruner]\nname = "threshold"\nlower = 0.15\n'
    )
    done = call(folder, "replay", "search", "--pruner", "other.toml", "--json")
    recorded, threshold = json.loads(done.stdout)
    assert (recorded["recorded"], recorded["epochs_trained"], recorded["pruned"]) == (True, 7, 1)
    assert (threshold["rule"], threshold["pruned"], threshold["winner_pruned_at"]) == ("threshold", 1, 2)
    assert threshold["best"] == {"number": 0, "value": 0.2, "rank": 2}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["why", "serach", "2"], "study 'serach': there is none of that name in this database; did you mean 'search'?"),
        (["why", "search", "3"], "trial 3: there is no such trial; study 'search' has 3 trials, 0 to 2"),
        (["why", "search", "two"], "trial 'two': is not a number; study 'search' has 3 trials, 0 to 2"),
        (["why", "search"], "Missing argument 'TRIAL'"),
        (["replay", "search"], "Missing option '--pruner'"),
        (["replay", "search", "--pruner", "medain"], "did you mean 'median'?"),
        (["replay", "search", "--pruner", "median n_startup=2"], "n_startup_trials"),
        (["replay", "search", "--pruner", ASHA], "promotes trials"),
        (["replay", "search", "--pruner", "nowhere.toml"], "nowhere.toml: there is no such file"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else "",
)
def test_bad_input(folder: Path, arguments: list[str], expected: str) -> None:
    done = call(folder, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr


@pytest.mark.parametrize("command", [["why", "search", "2"], ["replay", "search", "--pruner", "none"]])
def test_a_folder_in_which_nothing_was_run(tmp_path: Path, command: list[str]) -> None:
    done = call(tmp_path, *command)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "data/studies.db: there is no such database; run a search first" in done.stderr
    assert list(tmp_path.iterdir()) == []
