"""A search runs in a folder whose files are called like parts of this program, its packages and Python's modules."""

from __future__ import annotations

import sys

from fleet import PATIENCE, Fleet

SHADOWS = ("tasks", "orchestrator", "celery", "optuna", "random", "logging", "sqlalchemy")
SPEC = 'name = "own"\nobjective = "mine_beside_them:objective"\ntrials = 2\nseed = 1\n'
OBJECTIVE = """
import statistics


def objective(trial):
    return trial.suggest_float("x", 0, 1) + statistics.MINE
"""


def test_a_search_beside_files_of_such_names(alone: Fleet) -> None:
    for name in SHADOWS:
        (alone.folder / f"{name}.py").write_text(f"raise ImportError('the {name}.py of the user')\n")
    (alone.folder / "statistics.py").write_text("MINE = 1.0\n")
    (alone.folder / "mine_beside_them.py").write_text(OBJECTIVE)
    alone.write_spec(SPEC)
    environment = alone.environment()
    del environment["ORCHESTRATOR_OBJECTIVE_PATH"]
    # As the installed command does: with ``-m`` Python itself would take the folder's files for the program.
    words = ["orchestrator", "run", "spec.toml", "--slots", "1"]
    program = f"import sys; from orchestrator.cli import main; sys.argv = {words!r}; main()"
    run = alone.launch([sys.executable, "-P", "-c", program], "run", environment)
    assert run.popen.wait(PATIENCE) == 0, alone.logs()
    assert "2 complete" in run.log.read_text()
