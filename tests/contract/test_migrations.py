"""Databases of every earlier version are upgraded in place and keep their rows.

``databases/`` holds one for each revision and kind of database, written by the program of that time: a dump of SQLite,
and one of ``pg_dump --inserts``. Each has studies, trials, and a row in every table that there was.
"""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from alembic.script import ScriptDirectory
from every_command import invoke
from leased_store import LeasedStore, optuna_storage
from sqlalchemy import Connection, inspect

from orchestrator.common.errors import BadInput
from orchestrator.queries.readonly import open_study_reader
from orchestrator.storage import migrations, own_tables
from orchestrator.storage.database import Database
from orchestrator.storage.migrations import HEAD, REVISIONS, VERSION_TABLE
from orchestrator.storage.schema_check import own_schema
from tests.prepared_databases import drop_database, make_database, url_of

STORED = Path(__file__).with_name("databases")
KINDS = ("sqlite", "postgresql")
OLDER = [revision for revision in REVISIONS if revision != HEAD]


@pytest.fixture
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a copy of a stored database, named by its kind and revision."""
    kind, revision = request.param
    dump = (STORED / f"{revision}-{kind}.sql").read_text()
    if kind == "sqlite":
        path = tmp_path / "studies.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(dump)
        yield f"sqlite:///{path}"
        return
    name = make_database()
    engine = sqlalchemy.create_engine(url_of(name), poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        cursor.execute(dump)
    yield url_of(name)
    drop_database(name)


def rows(url: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table by the names of its columns; a NaN as text, which equals itself."""
    engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
    metadata = sqlalchemy.MetaData()
    metadata.reflect(engine)
    with engine.connect() as connection:
        return {
            name: [
                {key: repr(value) for key, value in row._mapping.items()}
                for row in connection.execute(sqlalchemy.select(table).order_by(*table.primary_key))
            ]
            for name, table in metadata.tables.items()
        }


def optunas(connection: Connection) -> dict[str, Any]:
    """The shape of Optuna's tables."""
    inspector = inspect(connection)
    names = [name for name in inspector.get_table_names() if not name.startswith("orchestrator_")]
    return {name: (str(inspector.get_columns(name)), inspector.get_indexes(name)) for name in names}


def shape(connection: Connection) -> dict[str, Any]:
    """This program's tables: columns, keys, constraints and indexes, whatever their names and order."""
    inspector = inspect(connection)
    names = [name for name in own_tables.metadata.tables if name.startswith("orchestrator_")]
    found: dict[str, Any] = {}
    for name in names:
        columns = inspector.get_columns(name)
        indexes = [each for each in inspector.get_indexes(name) if not each.get("duplicates_constraint")]
        found[name] = {
            "columns": sorted((each["name"], str(each["type"]), each["nullable"]) for each in columns),
            "defaults": sorted((each["name"], str(each["default"])) for each in columns),
            "primary key": inspector.get_pk_constraint(name)["constrained_columns"],
            "unique": sorted(each["column_names"] for each in inspector.get_unique_constraints(name)),
            "foreign keys": [
                (each["constrained_columns"], each["referred_table"], each["options"])
                for each in inspector.get_foreign_keys(name)
            ],
            "indexes": sorted(
                (str(each["name"]), each["column_names"], bool(each["unique"]), _where(each)) for each in indexes
            ),
        }
    return found


def _where(index: Any) -> list[str]:
    """The states that a partial index names: PostgreSQL writes the condition in another way after each dump."""
    options = index.get("dialect_options", {})
    return re.findall(r"'(\w+)'", str(options.get("sqlite_where", options.get("postgresql_where", ""))))


@pytest.mark.parametrize(
    "old_url", [(kind, revision) for kind in KINDS for revision in REVISIONS], indirect=True, ids="-".join
)
def test_an_old_database_is_upgraded_and_keeps_every_row(old_url: str, url_of_new: dict[str, str]) -> None:
    before = rows(old_url)
    database = Database(old_url)
    with database.read() as connection:
        shape_of_optunas = optunas(connection)
        found = own_schema(connection)
    database.prepare()
    after = rows(old_url)
    for name, kept in before.items():
        if name in ("orchestrator_meta", VERSION_TABLE):
            continue
        if kept and name == "orchestrator_slots" and "result" not in kept[0]:
            # At that time what came of a run went with its study.
            kept = [row | {"result": "None"} for row in kept]
        if kept and name == "orchestrator_decisions" and "action" not in kept[0]:
            # At that time a decision was always one that pruned its trial.
            kept = [row | {"action": "'prune'"} for row in kept]
        assert after[name] == kept, name
    assert all(before[name] for name in ("orchestrator_attempts", "trials"))
    with database.read() as connection:
        assert optunas(connection) == shape_of_optunas
        schema = own_schema(connection)
        new = Database(url_of_new[database.dialect])
        with new.read() as other:
            assert shape(connection) == shape(other)
        new.close()
    assert found is not None
    assert schema is not None
    assert schema.found == HEAD
    assert VERSION_TABLE in after
    database.close()
    leased = LeasedStore(old_url)
    snapshot = leased.load("kept")
    assert [trial.state.name for trial in snapshot.trials] == ["COMPLETE", "PRUNED", "RUNNING", "FAIL"]
    assert [command.operation for command in leased.store.pending_commands()] == ["stop"]
    leased.close()
    with open_study_reader(old_url) as history:
        assert history.trial("kept", "0").state == "COMPLETE"
    with optuna_storage(old_url, prepared=False) as storage:
        assert len(storage.get_all_studies()) == 3


@pytest.fixture
def url_of_new(sqlite: str, postgresql: str) -> dict[str, str]:
    return {"sqlite": sqlite, "postgresql": postgresql}


def test_the_revisions_make_what_the_tables_say(url: str) -> None:
    """Where this fails, ``own_tables`` and the newest revision do not say the same."""
    database = Database(url)
    with database.read() as connection:
        migrated = shape(connection)
    with database.write() as connection:
        own = [table for name, table in own_tables.metadata.tables.items() if name.startswith("orchestrator_")]
        own_tables.metadata.drop_all(connection, tables=own)
        own_tables.metadata.create_all(connection, tables=own)
    with database.read() as connection:
        assert shape(connection) == migrated
    database.close()


def test_the_revisions_that_are_known_are_those_in_the_folder() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert [each.revision for each in scripts.walk_revisions()][::-1] == list(REVISIONS)


@pytest.mark.parametrize("old_url", [("sqlite", revision) for revision in OLDER], indirect=True, ids="-".join)
def test_an_sqlite_file_is_copied_before_it_is_upgraded(old_url: str, caplog: pytest.LogCaptureFixture) -> None:
    before = rows(old_url)
    database = Database(old_url)
    database.prepare()
    (line,) = [record for record in caplog.records if getattr(record, "action", "") == "upgraded"]
    assert f"to {HEAD}; the file as it was before is " in line.getMessage()
    assert rows(f"{old_url}.before-{HEAD}") == before
    caplog.clear()
    database.prepare()
    assert not caplog.records
    database.close()


@pytest.mark.parametrize("old_url", [("sqlite", "0001")], indirect=True)
def test_a_file_that_cannot_be_copied_is_not_upgraded(old_url: str) -> None:
    path = Path(old_url.removeprefix("sqlite:///"))
    path.with_name(f"{path.name}.before-{HEAD}").mkdir()
    before = rows(old_url)
    database = Database(old_url)
    with pytest.raises(BadInput, match=r"cannot be copied to .*; make room beside it; nothing was changed"):
        database.prepare()
    database.close()
    assert rows(old_url) == before


@pytest.mark.parametrize("old_url", [(kind, "0001") for kind in KINDS], indirect=True, ids="-".join)
def test_an_upgrade_that_fails_changes_nothing(old_url: str) -> None:
    before = rows(old_url)
    database = Database(old_url)
    with database.write() as connection:
        # What the last revision makes is there already.
        connection.exec_driver_sql("CREATE TABLE orchestrator_open (schedule INTEGER)")
        connection.exec_driver_sql("CREATE INDEX orchestrator_open_slots ON orchestrator_open (schedule)")
    with pytest.raises(BadInput, match="orchestrator_open_slots"):
        database.prepare()
    with database.write() as connection:
        connection.exec_driver_sql("DROP TABLE orchestrator_open")
    assert rows(old_url) == before
    database.prepare()
    assert len(rows(old_url)["orchestrator_decisions"]) == len(before["orchestrator_decisions"])
    database.close()


@pytest.mark.parametrize("old_url", [(kind, "0001") for kind in KINDS], indirect=True, ids="-".join)
def test_of_two_that_prepare_at_once_one_upgrades_and_the_other_waits(
    old_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[BaseException] = []
    barrier = threading.Barrier(3)

    def prepare() -> None:
        database = Database(old_url)
        barrier.wait()
        try:
            database.prepare()
        except BaseException as error:
            errors.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=prepare) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len([record for record in caplog.records if getattr(record, "action", "") == "upgraded"]) == 1


@pytest.mark.parametrize("old_url", [(kind, "0001") for kind in KINDS], indirect=True, ids="-".join)
def test_a_command_that_only_reads_names_the_one_that_upgrades(old_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_STORAGE_URL", old_url)
    (line,) = str(invoke("ls").exception).splitlines()
    assert f"are of revision 0001, this program's are of revision {HEAD}; 'orchestrator prepare' upgrades" in line
    assert "tables-version" in invoke("doctor").stdout
    assert invoke("prepare").exit_code == 0
    assert "kept" in invoke("ls").stdout
    assert f"tables of revision {HEAD}" in " ".join(invoke("doctor").stdout.split())


def test_the_file_of_run_is_upgraded_without_a_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRATOR_STORAGE_URL", raising=False)
    monkeypatch.setenv("ORCHESTRATOR_DATA_DIR", str(tmp_path))
    assert "is not set" in str(invoke("prepare").exception)
    with closing(sqlite3.connect(tmp_path / "studies.db")) as connection:
        connection.executescript((STORED / "0002-sqlite.sql").read_text())
    assert invoke("prepare").exit_code == 0
    assert "kept" in invoke("ls").stdout


def test_a_database_of_a_newer_version_is_refused_in_one_line(leased: LeasedStore) -> None:
    with leased.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    before = leased.rows()
    with pytest.raises(BadInput) as caught:
        leased.database.prepare()
    (line,) = str(caught.value).splitlines()
    assert "of revision 9999" in line
    assert line.endswith("a newer version wrote them: install that version of trial-orchestrator")
    with pytest.raises(BadInput, match="of revision 9999"), open_study_reader(leased.url):
        pass
    assert leased.rows() == before
