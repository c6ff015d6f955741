"""Commands that read do not import Optuna, which would double the time of a short command."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from leased_store import LeasedStore, everything

from tests import prepared_databases

LOOK = """
import sys
from orchestrator.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(sorted({"optuna", "sqlalchemy.orm", "celery", "numpy", "torch"} & sys.modules.keys()), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("looks") / "studies.db"
    leased = LeasedStore(prepared_databases.sqlite(path))
    leased.create(max_steps=27, pruner={"name": "median"}, direction="maximize")
    leased.commit(everything())
    leased.close()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    return kept | {"ORCHESTRATOR_DATA_DIR": str(path.parent)}


@pytest.mark.parametrize(
    "arguments",
    [
        ("ls",),
        ("ls", "--json"),
        ("status", "study"),
        ("trials", "study", "--sort", "value"),
        ("why", "study", "1"),
        ("schedule",),
    ],
    ids=" ".join,
)
def test_a_look_does_without_optuna(environment: dict[str, str], arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert done.stderr.splitlines()[-1] == "[]"


def test_steering_a_study_does_not_import_optuna() -> None:
    code = "import sys, orchestrator.messaging.command_client; assert 'optuna' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
