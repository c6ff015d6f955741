"""A table as csv, json and Parquet, and what is read back from each."""

from __future__ import annotations

import csv
import io
import json
import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import UNSET
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from pyarrow import parquet

from orchestrator.cli import cli
from orchestrator.common import extras
from orchestrator.common.errors import BadInput
from orchestrator.export import FORMATS, writers
from orchestrator.export.rows import Column, Rows, kind_of_parameter, kinds_of_attributes

AT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
COLUMNS = [
    Column("number", "integer"),
    Column("value", "float"),
    Column("when", "time"),
    Column("params_kind", "text"),
    Column("user_attrs_any", "json"),
    Column("yes", "boolean"),
]
ROWS: list[list[Any]] = [
    [0, 0.1 + 0.2, AT, 'a "b", c', {"ä": [1, None, math.inf]}, True],
    [1, math.nan, UNSET, None, "text", False],
    [2, -math.inf, AT + timedelta(microseconds=1), "line\nbreak", UNSET, UNSET],
    [3, 5e-324, AT, "\ud800\x00", 2**70, None],
    [4, -0.0, AT, "", 1.5, True],
]


def written(form: str) -> bytes:
    file = io.BytesIO()
    writers.write(Rows(COLUMNS, iter(ROWS)), form, file)
    return file.getvalue()


def test_csv() -> None:
    head, *rows = csv.reader(io.StringIO(written("csv").decode(), newline=""))
    assert head == [column.name for column in COLUMNS]
    assert [row[1] for row in rows] == ["0.30000000000000004", "NaN", "-Infinity", "5e-324", "-0.0"]
    assert [repr(float(row[1])) for row in rows] == [repr(row[1]) for row in ROWS]
    assert rows[0][2:] == ["2026-01-02T03:04:05.678901+00:00", 'a "b", c', '{"ä": [1, null, "Infinity"]}', "true"]
    assert datetime.fromisoformat(rows[0][2]) == AT
    assert rows[1][2:] == ["", "null", "text", "false"], "what is not there is empty, a null is told"
    assert rows[2][3:] == ["line\nbreak", "", ""]
    assert rows[3][3:5] == ["\\ud800\x00", str(2**70)]


def test_json() -> None:
    text = written("json").decode("ascii")
    rows = json.loads(text)
    assert len(text.splitlines()) == len(ROWS) + 2, "a row on each line"
    assert rows[0] == {
        "number": 0,
        "value": 0.1 + 0.2,
        "when": "2026-01-02T03:04:05.678901+00:00",
        "params_kind": 'a "b", c',
        "user_attrs_any": {"ä": [1, None, "Infinity"]},
        "yes": True,
    }
    assert [repr(float(row["value"])) for row in rows] == [repr(row[1]) for row in ROWS]
    assert "when" not in rows[1]
    assert (rows[1]["params_kind"], rows[3]["params_kind"]) == (None, "\ud800\x00")


def test_parquet() -> None:
    table = parquet.read_table(io.BytesIO(written("parquet")))
    assert [str(kind) for kind in table.schema.types] == [
        "int64",
        "double",
        "timestamp[us, tz=UTC]",
        "string",
        "string",
        "bool",
    ]
    rows = table.to_pylist()
    assert [repr(row["value"]) for row in rows] == [repr(row[1]) for row in ROWS]
    assert (rows[0]["when"], rows[1]["when"]) == (AT, None)
    assert [row["params_kind"] for row in rows] == ['a "b", c', None, "line\nbreak", "\\ud800\x00", ""]
    assert [row["user_attrs_any"] and json.loads(row["user_attrs_any"]) for row in rows] == [
        {"ä": [1, None, "Infinity"]},
        "text",
        None,
        2**70,
        1.5,
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_a_table_without_rows(form: str) -> None:
    file = io.BytesIO()
    writers.write(Rows(COLUMNS, iter([])), form, file)
    if form == "json":
        assert json.loads(file.getvalue()) == []
    elif form == "csv":
        assert len(file.getvalue().splitlines()) == 1
    else:
        assert parquet.read_table(file).num_rows == 0


def test_parquet_comes_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers, "_GROUP", 2)
    file = io.BytesIO()
    writers.write(Rows(COLUMNS, iter(ROWS)), "parquet", file)
    assert parquet.ParquetFile(file).num_row_groups == 3


def test_without_pyarrow_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    done = CliRunner().invoke(cli, ["export", "any", "--format", "parquet"])
    assert isinstance(done.exception, BadInput)
    assert str(done.exception) == ("export as parquet: needs pyarrow, which is not installed; pip install pyarrow")


@pytest.mark.parametrize(
    ("distributions", "kind"),
    [
        ([FloatDistribution(0, 1), FloatDistribution(0, 2)], "float"),
        ([IntDistribution(0, 9)], "integer"),
        ([IntDistribution(0, 9), FloatDistribution(0, 1)], "float"),
        ([IntDistribution(0, 2**60), FloatDistribution(0, 1)], "json"),
        ([IntDistribution(0, 2**60)], "integer"),
        ([CategoricalDistribution(["a", "b", None])], "text"),
        ([CategoricalDistribution([True, False])], "boolean"),
        ([CategoricalDistribution([16, 32])], "integer"),
        ([CategoricalDistribution([1, "auto"])], "json"),
        ([CategoricalDistribution([None])], "text"),
    ],
)
def test_what_a_parameter_can_be(distributions: list[BaseDistribution], kind: str) -> None:
    assert kind_of_parameter(distributions) == kind


def test_what_attributes_are() -> None:
    found = kinds_of_attributes([("a", 1), ("a", 2.5), ("b", "x"), ("b", None), ("c", [1]), ("d", True), ("d", 1)])
    assert found == {"a": "float", "b": "text", "c": "json", "d": "json"}


def test_a_spreadsheet_runs_no_text_as_a_formula() -> None:
    texts = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\nx", "\uff1d1", "plain", "a=1", ""]
    columns = [Column("params_kind", "text"), Column("=params", "float"), Column("user_attrs_any", "json")]
    rows: list[list[Any]] = [[text, -1.5, text] for text in texts]
    for safe in (True, False):
        file = io.BytesIO()
        writers.write(Rows(columns, iter(rows)), "csv", file, for_spreadsheets=safe)
        head, *read = csv.reader(io.StringIO(file.getvalue().decode(), newline=""))
        guarded = [f"'{text}" if safe and index < 7 else text for index, text in enumerate(texts)]
        assert head[1] == ("'=params" if safe else "=params")
        assert read == [[text, "-1.5", text] for text in guarded], "numbers stay numbers"
