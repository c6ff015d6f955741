"""A database that cannot be used is answered by every command in one line that says what helps, and is left alone."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import optuna
import pytest
from every_command import PROCESSES, invoke, looking
from leased_store import optuna_storage

from orchestrator.common.errors import BadInput
from orchestrator.doctor.database_probe import read_database
from orchestrator.storage.database import Database
from orchestrator.storage.migrations import VERSION_TABLE
from orchestrator.storage.schema_check import OPTUNA_HEAD
from tests import preloaded, prepared_databases
from tests.servers import Redis

SPEC = 'name = "plain"\nobjective = "train:objective"\ntrials = 1\n'


def of_schema(version: str, *statements: str) -> Callable[[Path], object]:
    """Returns what makes of a database one that another Optuna has left."""

    def make(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
            for statement in statements:
                connection.execute(statement)

    return make


def of_statements(*texts: str) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        path.unlink()
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for text in texts:
                connection.execute(text)

    return make


def damage(path: Path) -> None:
    """Spoils the pages behind the first one, as a bad disk does."""
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


class Cause(NamedTuple):
    """What may be there, and the words of the one line: for who looks, and for who would write; none where nothing is
    wrong with it."""

    make: Callable[[Path], object]
    looks: str
    writes: str | None = None


UPGRADE = "then migrate it: optuna storage upgrade --storage sqlite:///"
NEWER = "a newer version wrote them: install that version of trial-orchestrator"
RENAME = "ALTER TABLE trial_values RENAME COLUMN value_type TO kind"
STUDIES = "CREATE TABLE studies (study_id INTEGER PRIMARY KEY, study_name TEXT)"
CAUSES = {
    "older": Cause(of_schema("v2.4.0.a", RENAME), UPGRADE, UPGRADE),
    "oldest": Cause(of_schema("v0.9.0.a", "DROP TABLE study_directions"), UPGRADE, UPGRADE),
    "before versions": Cause(of_schema(OPTUNA_HEAD, "DROP TABLE alembic_version"), UPGRADE, UPGRADE),
    "newer": Cause(of_schema("v9.0.0.a"), f"{NEWER}, and its Optuna", f"{NEWER}, and its Optuna"),
    "ours newer": Cause(of_schema(OPTUNA_HEAD, f"UPDATE {VERSION_TABLE} SET version_num = '0099'"), NEWER, NEWER),
    "text": Cause(lambda path: path.write_text("no database"), *["is not an SQLite database; name another file"] * 2),
    "damaged": Cause(damage, *["is damaged: database disk image is malformed; take the last backup"] * 2),
    "folder": Cause(make_folder, *["is a folder, not an SQLite database; name another file"] * 2),
    "of another program": Cause(
        of_statements("CREATE TABLE notes (text TEXT)"),
        "holds no studies, nor the tables for them; run a search first",
        "is a database of another program, with a table 'notes'; name another file",
    ),
    "another program's studies": Cause(
        of_statements(STUDIES), *["has a table 'studies' that is not Optuna's; name another database"] * 2
    ),
    "empty": Cause(lambda path: path.write_bytes(b""), "holds no studies, nor the tables for them; run a search first"),
    "absent": Cause(lambda path: path.unlink(), "there is no such database; run a search first"),
}


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database with tables of ours and Optuna's, and all else that commands ask for before they look at it."""
    monkeypatch.chdir(tmp_path)
    # Nothing here is just being made.
    monkeypatch.setattr("orchestrator.storage.database.LOOKS_AT_MAKING", 1)
    path = tmp_path / "database" / "studies.db"
    path.parent.mkdir()
    url = prepared_databases.sqlite(path)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "spec.toml").write_text(SPEC + "[schedule]\ncron = '0 0 1 1 *'\ntimezone = 'UTC'\n")
    (tmp_path / "train.py").write_text("def objective(trial):\n    return 1.0\n")
    for name, value in {"STORAGE_URL": url, "DATA_DIR": str(tmp_path / "data")}.items():
        monkeypatch.setenv(f"ORCHESTRATOR_{name}", value)
    monkeypatch.delenv("ORCHESTRATOR_REDIS_URL", raising=False)
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() if each.is_file() else b"" for each in path.parent.iterdir()}


@pytest.mark.parametrize("cause", CAUSES)
def test_every_look_says_what_helps_and_changes_nothing(cause: str, stored: Path) -> None:
    make, words, _ = CAUSES[cause]
    make(stored)
    before = contents(stored)
    for name, arguments in looking():
        result = invoke(*arguments)
        if name == "doctor":
            assert " ".join(words.split(";")[0].split()) in " ".join(result.stdout.split()), result.stdout
            continue
        assert isinstance(result.exception, BadInput), (name, result.exception, result.output)
        (line,) = str(result.exception).splitlines()
        assert words in line, name
        assert "cannot be reached" not in line
    assert contents(stored) == before


@pytest.mark.parametrize("cause", CAUSES)
def test_so_does_whatever_prepares_it(cause: str, stored: Path) -> None:
    make, _, words = CAUSES[cause]
    make(stored)
    before = contents(stored)
    database = Database(f"sqlite:///{stored}")
    try:
        if words is None:
            database.prepare()
            return
        with pytest.raises(BadInput) as caught:
            database.prepare()
    finally:
        database.close()
    assert words in str(caught.value)
    assert contents(stored) == before


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.kill()


@pytest.mark.parametrize("command", PROCESSES)
def test_each_command_that_prepares_it_ends_with_that_line(command: str, stored: Path, redis_url: str) -> None:
    CAUSES["older"].make(stored)
    arguments = {
        "run": ["studies/spec.toml", "--slots", "1"],
        "submit": ["studies/spec.toml"],
        "schedule run": ["plain"],
    }
    environment = dict(os.environ) | {"ORCHESTRATOR_REDIS_URL": redis_url, "PYTHONPATH": os.getcwd()}
    words = [*command.split(), *arguments.get(command, [])]
    done = preloaded.run(*words, environment=environment, folder=Path.cwd(), seconds=120.0)
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("orchestrator: sqlite:///")
    assert UPGRADE in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("version", ["v2.4.0.a", "v9.0.0.a"])
def test_a_server_with_tables_of_another_optuna(postgresql: str, version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(postgresql)
    with database.write() as connection:
        connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{version}'")
        connection.exec_driver_sql(RENAME)
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", postgresql)
    for arguments in (["ls"], ["trials", "plain"]):
        result = invoke(*arguments)
        assert f"are of schema version {version}, made by Optuna" in str(result.exception)
    with pytest.raises(BadInput, match=f"are of schema version {version}"):
        database.prepare()
    database.close()


def test_tables_that_another_process_is_making_are_waited_for(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Optuna commits its tables before their version; a process that starts beside another one meets that."""
    database = Database(url)
    with database.write() as connection:
        connection.exec_driver_sql("DELETE FROM alembic_version")

    def another_process_goes_on(_: float) -> None:
        with database.write() as connection:
            connection.exec_driver_sql(f"INSERT INTO alembic_version VALUES ('{OPTUNA_HEAD}')")

    monkeypatch.setattr("orchestrator.storage.database.time.sleep", another_process_goes_on)
    prepared = Database(url)
    prepared.prepare()
    prepared.close()
    database.close()


def test_tables_that_lack_something_are_no_server_that_is_away(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(url)
    with database.write() as connection:
        connection.exec_driver_sql(RENAME)
    database.close()
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", url)
    with optuna_storage(url, prepared=False) as storage:
        optuna.create_study(storage=storage, study_name="plain")
    (line,) = str(invoke("trials", "plain").exception).splitlines()
    assert "its tables are not as this program knows them: " in line


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
@pytest.mark.parametrize(("mode", "looks"), [(0o000, False), (0o444, True)])
def test_a_file_that_may_not_be_touched(mode: int, looks: bool, stored: Path) -> None:
    stored.chmod(mode)
    stored.parent.chmod(0o555)
    try:
        result = invoke("ls")
        assert looks == (result.exception is None), result.exception
        if not looks:
            assert "cannot be read: Permission denied; check whose the file" in str(result.exception)
        with pytest.raises(BadInput, match=r"cannot be (read|written): Permission denied; check whose the file"):
            Database(f"sqlite:///{stored}").prepare()
    finally:
        stored.parent.chmod(0o755)
        stored.chmod(0o644)


def test_what_is_known_of_optunas_tables_is_what_is_installed() -> None:
    """Where this fails, Optuna has changed its tables: ``theirs`` has to follow."""
    from orchestrator.storage.schema_check import OPTUNA_FIRST, _installed

    head, known = _installed()
    assert head == OPTUNA_HEAD
    assert OPTUNA_FIRST in known


OTHERS_LOOK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(*(name for (name,) in connection.execute("SELECT study_name FROM studies ORDER BY study_id")))
connection.close()
"""


@pytest.mark.parametrize(
    "look", [lambda database: database.prepare(), lambda database: read_database(database.url, ())]
)
def test_a_look_costs_no_connection_of_the_same_process_its_locks(
    look: Callable[[Database], object], stored: Path
) -> None:
    """Without its locks the next program that closes the file takes away the log that the connection writes to."""
    database = Database(f"sqlite:///{stored}")
    try:
        with database.write() as connection:
            connection.exec_driver_sql("INSERT INTO studies (study_name) VALUES ('before')")
        with closing(sqlite3.connect(stored, isolation_level=None)) as own:
            own.execute("SELECT 1 FROM studies")
            look(database)
            seen = [_seen_by_another(stored)]
            own.execute("INSERT INTO studies (study_name) VALUES ('behind')")
            seen.append(_seen_by_another(stored))
        assert seen == ["before", "before behind"]
    finally:
        database.close()


def _seen_by_another(path: Path) -> str:
    command = [sys.executable, "-c", OTHERS_LOOK, str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.strip()
