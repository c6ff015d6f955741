"""Databases of a PostgreSQL server, made and dropped by tests."""

from __future__ import annotations

import uuid

import sqlalchemy

from tests.shared_servers import postgresql_url


def run(statement: str) -> None:
    engine = sqlalchemy.create_engine(postgresql_url(), isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


def make_database(template: str = "") -> str:
    name = f"contract_{uuid.uuid4().hex}"
    run(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
    return name


def url_of(name: str) -> str:
    return sqlalchemy.make_url(postgresql_url()).set(database=name).render_as_string(hide_password=False)
