"""A database is prepared once; one of another version, or one that is not there, is refused in one line."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from leased_store import LeasedStore, everything

from orchestrator.common.errors import BadInput
from orchestrator.storage.database import Database


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_database_of_another_optuna_is_refused(leased: LeasedStore) -> None:
    with leased.database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
    with pytest.raises(BadInput, match="then migrate it: optuna storage upgrade --storage "):
        leased.database.prepare()
    gc.collect()  # Optuna's constructor raised, so that its connection was not closed


def test_preparing_what_is_prepared_changes_nothing(leased: LeasedStore) -> None:
    leased.create()
    leased.commit(everything())
    before = leased.rows()
    leased.database.prepare()
    assert leased.rows() == before


@pytest.mark.parametrize("url", ["postgresql://user:secret@127.0.0.1:1/none", "sqlite:////proc/none/study.db"])
def test_a_database_that_is_not_there_is_one_clear_line(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        Database(url).prepare()
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_database_lacks_tables_until_they_are_prepared(leased: LeasedStore, tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'new.db'}")
    assert database.lacks_tables()
    assert not (tmp_path / "new.db").exists(), "a look makes no file"
    database.prepare()
    assert not database.lacks_tables()
    database.close()
    assert not leased.database.lacks_tables()
    with leased.database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
    assert leased.database.lacks_tables(), "the control plane says what is wrong with them"


def test_a_file_that_is_no_database_lacks_none(tmp_path: Path) -> None:
    (tmp_path / "no.db").write_text("no database" * 100)
    database = Database(f"sqlite:///{tmp_path / 'no.db'}")
    assert not database.lacks_tables()
    with pytest.raises(BadInput, match="is not an SQLite database"):
        database.prepare()


def test_threads_prepare_databases_at_once(tmp_path: Path) -> None:
    databases = [Database(f"sqlite:///{tmp_path / str(number)}.db") for number in range(4)]
    with ThreadPoolExecutor(len(databases)) as pool:
        list(pool.map(Database.prepare, databases))
    for database in databases:
        with database.read() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM orchestrator_meta").scalar() is not None
        database.close()
