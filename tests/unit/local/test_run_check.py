"""`validate` fails on whatever ends `run` in its first seconds, and makes nothing."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest

from orchestrator.cli import cli
from orchestrator.common.errors import BadInput
from orchestrator.common.settings import Settings, load_settings
from orchestrator.local.data_folder_check import FILES, FOLDERS, check_contents
from orchestrator.local.run_check import check_run
from orchestrator.spec.model import validate
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from tests import prepared_databases
from tests.servers import free_port
from tests.shared_servers import redis_url

Change = Callable[[Path, pytest.MonkeyPatch], dict[str, Any]]


HELD: list[socket.socket] = []


@pytest.fixture(autouse=True)
def sockets() -> Iterator[None]:
    yield
    while HELD:
        HELD.pop().close()


def setting(name: str, value: str) -> Change:
    def change(folder: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
        patch.setenv(f"ORCHESTRATOR_{name}", value.format(folder=folder, port=free_port()))
        return {}

    return change


def key(**keys: Any) -> Change:
    return lambda _folder, _patch: keys


def source(text: str) -> Change:
    def change(folder: Path, _: pytest.MonkeyPatch) -> dict[str, Any]:
        (folder / "train.py").write_text(text)
        return {}

    return change


def optunas_study(folder: Path, _: pytest.MonkeyPatch) -> dict[str, Any]:
    (folder / "data").mkdir()
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / 'data' / 'studies.db'}")
    optuna.create_study(study_name="mine", storage=storage, direction="maximize")
    storage.remove_session()
    storage.engine.dispose()
    return {}


def of_another_version(folder: Path, _: pytest.MonkeyPatch) -> dict[str, Any]:
    (folder / "data").mkdir()
    path = folder / "data" / "studies.db"
    prepared_databases.sqlite(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE orchestrator_alembic_version SET version_num = '9999'")
    return {}


def taken_port(above: int) -> Change:
    """The port so far above that of the metrics is another program's."""

    def change(_: Path, patch: pytest.MonkeyPatch) -> dict[str, Any]:
        HELD.append(socket.create_server(("127.0.0.1", 0)))
        patch.setenv("ORCHESTRATOR_METRICS_PORT", str(HELD[-1].getsockname()[1] - above))
        return {}

    return change


def a_file(folder: Path, _: pytest.MonkeyPatch) -> dict[str, Any]:
    (folder / "data").write_text("")
    return {}


CAUSES: dict[str, tuple[Change, str]] = {
    "a package that is missing": (source("import nix_da\n"), "importing 'train' raises ModuleNotFoundError"),
    "an error at import": (source("raise ValueError('no data')\n"), "raises ValueError: no data"),
    "an import that ends the process": (source("import os\nos._exit(7)\n"), "the process that imported it died: exit"),
    "an import that exits": (source("import sys\nsys.exit('bye')\n"), "raises SystemExit: bye"),
    "no such function": (source("print('hello')\n"), "'train' has no 'objective'"),
    "no function": (source("objective = 3\n"), "must be a function"),
    "a folder of code": (setting("OBJECTIVE_PATH", "{folder}/nix"), "ORCHESTRATOR_OBJECTIVE_PATH"),
    "a folder of data": (a_file, "is not a folder, or lies below a file"),
    "Redis": (setting("REDIS_URL", "redis://127.0.0.1:{port}/0"), "Redis cannot be reached"),
    "the database": (setting("STORAGE_URL", "postgresql://user@127.0.0.1:{port}/nix"), "cannot be reached"),
    "another version": (of_another_version, "a newer version wrote them"),
    "a study of Optuna's": (optunas_study, "made by Optuna, with direction maximize; the spec says minimize"),
    "metrics for all": (setting("METRICS_PORT", "9000"), ""),
    "a port of metrics that is taken": (taken_port(0), "Address already in use"),
    "the worker's port of metrics": (taken_port(1), "Address already in use"),
    "no port for the worker's metrics": (setting("METRICS_PORT", "65535"), "METRICS_PORT: is 65536"),
    "a package for a store": (setting("CHECKPOINT_URL", "smb://host/x"), "'smb://' cannot be used: "),
    "a store that cannot be made": (setting("ARTIFACT_URL", "/proc/nix"), "/proc/nix: cannot be created: "),
    "an endpoint": (key(notify={"endpoint": "team"}), "knows no endpoint 'team'"),
    "commands": (setting("COMMANDS", "python 'unclosed"), "ORCHESTRATOR_COMMANDS"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_is_found(cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change, problem = CAUSES[cause]
    for name in [name for name in os.environ if name.startswith("ORCHESTRATOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    source("def objective(trial):\n    return 1.0\n")(tmp_path, monkeypatch)
    keys = change(tmp_path, monkeypatch)
    if cause == "metrics for all":
        monkeypatch.setenv("ORCHESTRATOR_METRICS_ADDRESS", "0.0.0.0")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(BadInput) as caught:
        spec = validate({"name": "mine", "objective": "train:objective", "trials": 1} | keys, "spec.toml")
        check_run(spec, "spec.toml", load_settings(), os.environ)
    assert problem in str(caught.value)
    assert [path for path in sorted(tmp_path.rglob("*")) if "__pycache__" not in path.parts] == before


@pytest.mark.parametrize("command", ["validate", "run"])
@pytest.mark.parametrize("name", [*FOLDERS, *FILES])
def test_a_name_in_the_data_folder_that_is_taken(
    command: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder stands where a file is kept, and a file where a folder is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", str(tmp_path / "data"))
    source("def objective(trial):\n    return 1.0\n")(tmp_path, monkeypatch)
    (tmp_path / "spec.toml").write_text('name = "mine"\nobjective = "train:objective"\ntrials = 1\n')
    taken = tmp_path / "data" / name
    taken.parent.mkdir(parents=True)
    taken.touch() if name in FOLDERS else taken.mkdir()
    with pytest.raises(BadInput, match="move it away") as caught:
        cli.main([command, "spec.toml"], standalone_mode=False)
    assert caught.value.where == str(taken)


def test_a_database_that_is_a_link_may_lead_to_a_file_that_is_made_later(tmp_path: Path) -> None:
    (tmp_path / "studies.db").symlink_to(tmp_path / "later.db")
    (tmp_path / "checkpoints").write_text("another program's")
    check_contents(tmp_path, Settings(checkpoint_url="/elsewhere"))
    (tmp_path / "studies.db").unlink()
    (tmp_path / "studies.db").symlink_to(tmp_path / "gone" / "studies.db")
    with pytest.raises(BadInput, match="leads nowhere"):
        check_contents(tmp_path, Settings(checkpoint_url="/elsewhere"))


def test_what_is_right_passes_and_is_not_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", str(tmp_path / "data"))
    text = "print('importing')\ndef objective(trial):\n    raise AssertionError\n"
    source(text)(tmp_path, monkeypatch)
    spec = validate({"name": "mine", "objective": "train:objective", "trials": 1}, "spec.toml")
    check_run(spec, "spec.toml", load_settings(), os.environ)
    assert not (tmp_path / "data").exists()
    source("raise ValueError")(tmp_path, monkeypatch)
    check_run(spec, "spec.toml", load_settings(), os.environ, imports=False)


def test_ports_that_the_control_plane_of_a_fleet_has_are_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = prepared_databases.sqlite(tmp_path / "fleet.db")
    for name, value in {"STORAGE_URL": url, "REDIS_URL": redis_url(), "DATA_DIR": str(tmp_path / "data")}.items():
        monkeypatch.setenv(f"ORCHESTRATOR_{name}", value)
    source("def objective(trial):\n    return 1.0\n")(tmp_path, monkeypatch)
    taken_port(0)(tmp_path, monkeypatch)
    spec = validate({"name": "mine", "objective": "train:objective", "trials": 1}, "spec.toml")
    with pytest.raises(BadInput, match="Address already in use"):
        check_run(spec, "spec.toml", load_settings(), os.environ, imports=False)
    with closing(Database(url)) as database:
        assert WriterLease(database, 600.0).acquire() is None
    check_run(spec, "spec.toml", load_settings(), os.environ, imports=False)
