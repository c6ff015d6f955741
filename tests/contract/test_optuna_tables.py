"""Optuna's tables as they are named here are those that Optuna makes, and a number is stored as it stores one."""

from __future__ import annotations

import math

import pytest
import sqlalchemy
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.storages._rdb import models
from sqlalchemy import Column, Connection

from orchestrator.storage.batch_writer import to_stored
from orchestrator.storage.database import Database
from orchestrator.storage.optuna_decoding import decoder
from orchestrator.storage.optuna_tables import from_stored, metadata

Value, Step = models.TrialValueModel, models.TrialIntermediateValueModel
NUMBERS = (0.0, -0.0, 0.1, -1e308, 5e-324, math.inf, -math.inf)


def described(column: Column[object]) -> tuple[object, ...]:
    kind = column.type
    details = tuple(getattr(kind, name, None) for name in ("length", "precision", "name", "enums"))
    keys = sorted(key.target_fullname for key in column.foreign_keys)
    return column.name, type(kind), details, column.primary_key, column.nullable, keys


@pytest.mark.parametrize("name", sorted(metadata.tables))
def test_a_table_is_what_optuna_says_it_is(name: str) -> None:
    theirs = models.BaseModel.metadata.tables[name]
    assert [described(column) for column in metadata.tables[name].columns] == [
        described(each) for each in theirs.columns
    ]


def test_no_table_with_something_of_a_study_is_forgotten() -> None:
    assert models.BaseModel.metadata.tables.keys() - metadata.tables.keys() == {"version_info"}


def read_columns(connection: Connection, name: str) -> set[str]:
    return {column["name"] for column in sqlalchemy.inspect(connection).get_columns(name)}


def test_a_database_has_these_tables(url: str) -> None:
    database = Database(url)
    with database.read() as connection:
        for name, table in metadata.tables.items():
            assert read_columns(connection, name) == set(table.columns.keys())
    database.close()


@pytest.mark.parametrize("number", NUMBERS)
def test_a_final_value_is_stored_as_optuna_stores_it(number: float) -> None:
    value, kind = Value.value_to_stored_repr(number)
    assert to_stored(number) == (value, kind.name)
    assert from_stored(value, kind.name) == number


@pytest.mark.parametrize("number", [*NUMBERS, math.nan])
def test_a_reported_value_is_stored_as_optuna_stores_it(number: float) -> None:
    value, kind = Step.intermediate_value_to_stored_repr(number)
    assert to_stored(number) == (value, kind.name)
    assert from_stored(value, kind.name) == pytest.approx(number, rel=0, abs=0, nan_ok=True)


@pytest.mark.parametrize(
    ("distribution", "value"),
    [
        (FloatDistribution(1e-5, 1.0, log=True), 0.1),
        (FloatDistribution(0.0, 1.0, step=0.25), 0.75),
        (IntDistribution(1, 100, log=True), 64),
        (IntDistribution(0, 10, step=5), 10),
        (CategoricalDistribution(("adam", None, True, 3, 0.5)), None),
        (CategoricalDistribution((1, 1.5)), 1),
    ],
)
def test_a_parameter_is_read_as_optuna_reads_it(distribution: BaseDistribution, value: object) -> None:
    found = decoder(distribution_to_json(distribution))(distribution.to_internal_repr(value))
    assert (found, type(found)) == (value, type(value))


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    ("distribution", "stored", "value"),
    [
        ('{"name": "UniformDistribution", "attributes": {"low": 0.0, "high": 1.0}}', 0.5, 0.5),
        ('{"name": "IntLogUniformDistribution", "attributes": {"low": 1, "high": 8, "step": 1}}', 4.0, 4),
        ('{"type": "int", "low": 1, "high": 8}', 4.0, 4),
        ('{"type": "categorical", "choices": ["a", "b"]}', 1.0, "b"),
    ],
)
def test_what_older_versions_wrote_is_read_too(distribution: str, stored: float, value: object) -> None:
    found = decoder(distribution)(stored)
    assert (found, type(found)) == (value, type(value))
