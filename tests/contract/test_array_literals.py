"""The text form of an array is read by PostgreSQL as the list that it was made of."""

from __future__ import annotations

import math
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, text

from orchestrator.model.lifecycle import AttemptState
from orchestrator.storage.sql_dialects import array_literal

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20) | st.sampled_from(
    ["", "NULL", "null", "{}", '"', "\\", '\\"', "a,b", " ", "\n", "'", "😀", '{"key": "a\\\\b"}', AttemptState.DONE]
)
KINDS: dict[str, st.SearchStrategy[Any]] = {
    "text": TEXTS,
    "bigint": st.integers(-(2**63), 2**63 - 1),
    "float8": st.floats() | st.integers(-1000, 1000) | st.floats(width=32).map(numpy.float64),
    "boolean": st.booleans(),
    "timestamp": st.datetimes(),
}


@pytest.fixture
def engine(postgresql: str) -> Any:
    made = create_engine(postgresql)
    yield made
    made.dispose()


@given(data=st.data())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", KINDS)
def test_the_server_reads_what_was_written(engine: Engine, kind: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | KINDS[kind], max_size=6))
    with engine.connect() as connection:
        found = connection.scalar(
            text(f"SELECT CAST(CAST(:literal AS text) AS {kind}[])"), {"literal": array_literal(values)}
        )
    if kind == "text":
        values = [None if value is None else str(value) for value in values]
    assert len(found) == len(values)
    for one, other in zip(found, values, strict=True):
        assert one == other or (math.isnan(one) and math.isnan(other))


def test_text_that_no_column_holds_is_refused(engine: Engine) -> None:
    for value in ("\0", "\ud800"):
        with engine.connect() as connection, pytest.raises(Exception, match=r"NUL|surrogates"):
            connection.scalar(
                text("SELECT CAST(CAST(:literal AS text) AS text[])"), {"literal": array_literal([value])}
            )
