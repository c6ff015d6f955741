"""A database is prepared once; one of another version, or one that is not there, is refused in one line."""

from __future__ import annotations

import gc

import pytest
import sqlalchemy
from books import Books, everything
from sqlalchemy import insert, update

from orchestrator.common.errors import BadInput
from orchestrator.storage import own_tables
from orchestrator.storage.database import Database


def test_tables_of_another_version_are_refused(books: Books) -> None:
    with books.database.write() as connection:
        connection.execute(update(own_tables.meta).values(schema_version=own_tables.SCHEMA_VERSION + 1))
    with pytest.raises(BadInput, match="version 3, this program's are of version 2; it was written by a newer one"):
        books.database.prepare()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_database_of_another_optuna_is_refused(books: Books) -> None:
    with books.database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
    with pytest.raises(BadInput, match="then migrate it: optuna storage upgrade --storage "):
        books.database.prepare()
    gc.collect()  # Optuna's constructor raised, so that nobody could close its connection


def test_preparing_what_is_prepared_changes_nothing(books: Books) -> None:
    books.create()
    books.commit(everything())
    before = books.rows()
    books.database.prepare()
    assert books.rows() == before


@pytest.mark.parametrize("url", ["postgresql://nobody:secret@127.0.0.1:1/none", "sqlite:////proc/none/study.db"])
def test_a_database_that_is_not_there_is_one_clear_line(url: str) -> None:
    with pytest.raises(BadInput) as caught:
        Database(url).prepare()
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_two_rows_of_meta_are_impossible(books: Books) -> None:
    with pytest.raises(sqlalchemy.exc.IntegrityError), books.database.write() as connection:
        connection.execute(insert(own_tables.meta).values(schema_version=own_tables.SCHEMA_VERSION))
