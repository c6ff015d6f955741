"""A command leaves no connection to its database open, however it ends."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
import sqlalchemy
from click.testing import CliRunner
from sqlalchemy.pool import Pool

from orchestrator.api import access
from orchestrator.cli import cli
from tests.shared_servers import redis_url

SPEC = """
name = "{name}"
objective = "objective:objective"
trials = 3
{more}
[space]
x = {{ type = "float", low = 0, high = 1 }}
"""
SCHEDULE = '[schedule]\ncron = "0 3 * * *"'

COMMANDS = (
    *("prepare", "ls", "submit search.toml", "schedule run nightly --studies .", "export theirs -o trials.csv"),
    *("trials theirs", "status theirs", "why theirs 0", "stop theirs", "pause theirs", "enqueue theirs x=0.5"),
    *("replay theirs --pruner median", "logs theirs 0", "doctor", "retry theirs 0", "stop missing", "report theirs"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_it_closes_what_it_has_opened(
    command: str, sqlite: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(access, "ANSWER_SECONDS", 0.05)
    (tmp_path / "objective.py").write_text("def objective(trial):\n    return trial.params['x']\n")
    (tmp_path / "search.toml").write_text(SPEC.format(name="search", more=""))
    (tmp_path / "nightly.toml").write_text(SPEC.format(name="nightly", more=SCHEDULE))
    storage = optuna.storages.RDBStorage(sqlite)
    optuna.create_study(storage=storage, study_name="theirs").optimize(lambda trial: trial.suggest_float("x", 0, 1), 1)
    storage.remove_session()
    storage.engine.dispose()

    opened: list[object] = []
    sqlalchemy.event.listen(Pool, "connect", on_connect := lambda connection, _: opened.append(connection))
    sqlalchemy.event.listen(Pool, "close", on_close := lambda connection, _: opened.remove(connection))
    try:
        environment = {"ORCHESTRATOR_STORAGE_URL": sqlite, "ORCHESTRATOR_REDIS_URL": redis_url()}
        CliRunner().invoke(cli, command.split(), env=environment, standalone_mode=False)
    finally:
        sqlalchemy.event.remove(Pool, "connect", on_connect)
        sqlalchemy.event.remove(Pool, "close", on_close)
    assert opened == []
