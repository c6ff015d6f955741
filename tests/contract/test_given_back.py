"""A PostgreSQL database that a test gives back is to the next one as a new one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy
from leased_store import LeasedStore, everything
from sqlalchemy.exc import OperationalError

from tests import prepared_databases
from tests.prepared_databases import give_back, postgresql, shape, url_of

MANY = "INSERT INTO studies (study_name) SELECT repeat(md5(n::text), 10) || n FROM generate_series(1, 30000) n"


@pytest.fixture(autouse=True)
def _none_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepared_databases, "_free", [])


def engine_of(name: str) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(url_of(name), poolclass=sqlalchemy.NullPool)


def contents(name: str) -> dict[str, list[str]]:
    """Every row of every table, and where each sequence stands."""
    with engine_of(name).connect() as connection:
        look = sqlalchemy.inspect(connection)
        return {
            each: sorted(str(row) for row in connection.exec_driver_sql(f'SELECT * FROM "{each}"'))
            for each in (*look.get_table_names(), *look.get_sequence_names())
        }


def test_its_rows_and_its_numbers_are_those_of_a_new_one() -> None:
    names = [postgresql()]
    new = contents(names[0])
    for _ in range(2):
        leased = LeasedStore(url_of(names[-1]))
        leased.create(max_steps=27)
        leased.commit(everything())
        assert contents(names[-1]) != new
        leased.close()
        give_back(names[-1])
        names.append(postgresql())
    assert len(set(names)) == 3
    assert contents(names[-1]) == new
    give_back(names[-1])
    prepared_databases.drop_database(postgresql())


def test_who_knew_it_reaches_it_no_more() -> None:
    name = postgresql()
    engine = engine_of(name)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        give_back(name)
        with pytest.raises(OperationalError):
            connection.exec_driver_sql("SELECT 1")
    with pytest.raises(OperationalError, match="does not exist"):
        engine.connect()
    prepared_databases.drop_database(postgresql())


@pytest.mark.parametrize("change", ["CREATE TABLE notes (text TEXT)", MANY])
def test_one_that_was_changed_or_is_large_is_not_kept(change: str) -> None:
    name = postgresql()
    with engine_of(name).begin() as connection:
        connection.exec_driver_sql(change)
    give_back(name)
    assert prepared_databases._free == []


CHANGES = [
    "CREATE TABLE notes (text TEXT)",
    "CREATE SCHEMA notes",
    "CREATE INDEX more ON trials (state)",
    "CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TYPE kind AS ENUM ('a')",
    "CREATE RULE never AS ON DELETE TO trials DO INSTEAD NOTHING",
    "ALTER TABLE trials ADD COLUMN note TEXT",
    "ALTER TABLE trials ALTER COLUMN number SET DEFAULT 1",
    "ALTER TABLE trials ALTER COLUMN study_id SET NOT NULL",
    "ALTER TABLE trials DISABLE TRIGGER ALL",
    "ALTER TABLE trials DROP CONSTRAINT trials_study_id_fkey",
    "ALTER TABLE trials ENABLE ROW LEVEL SECURITY",
    "DROP TABLE orchestrator_redone",
    "DROP INDEX ix_studies_study_name",
    "GRANT SELECT ON trials TO PUBLIC",
    "ALTER DATABASE {name} SET default_transaction_read_only = on",
    "ALTER DATABASE {name} CONNECTION LIMIT 3",
    "REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
]


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlalchemy.Connection]:
    name = postgresql()
    with engine_of(name).connect() as connection:
        yield connection
    give_back(name)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_more_than_rows_is_seen(connection: sqlalchemy.Connection, change: str) -> None:
    before = shape(connection)
    connection.exec_driver_sql(change.format(name=connection.engine.url.database))
    assert shape(connection) != before
    connection.rollback()
    assert shape(connection) == before
