"""Writes rows as CSV, JSON or Parquet without loss: a number is read back as it was, NaN and infinities by name."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice
from typing import IO, Any, Final

from msgspec import UNSET

from orchestrator.common.json_text import json_list
from orchestrator.export.rows import Column, Kind, Rows, lossless, special

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # the full-width ones, too
"""Beginnings of a text that Excel, LibreOffice or Google Sheets may take for a formula."""

_GROUP: Final = 5_000
"""Rows of a group of Parquet."""


def write(table: Rows, form: str, file: IO[bytes], *, for_spreadsheets: bool = False) -> None:
    """Writes a table in one of ``FORMATS``.

    Args:
        table: The rows.
        form: The format.
        file: The file.
        for_spreadsheets: Whether, in CSV, an apostrophe precedes a text that a spreadsheet would take for a formula.
    """
    if form == "parquet":
        _write_parquet(table, file)
        return
    # Half of a surrogate pair, which UTF-8 cannot hold, is escaped.
    text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
    try:
        if form == "csv":
            _write_csv(table, text, _harmless if for_spreadsheets else str)
        else:
            _write_json(table, text)
    finally:
        text.detach()


def _write_csv(table: Rows, file: IO[str], guard: Callable[[str], str]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([guard(column.name) for column in table.columns])
    for row in table.rows:
        writer.writerow([guard(value) if isinstance(value, str) else _text(value) for value in row])


def _harmless(text: str) -> str:
    """Returns a text that no spreadsheet takes for a formula; numbers need no change."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _text(value: Any) -> str:
    if value is UNSET:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, datetime):
        return _moment(value)
    if isinstance(value, float):
        return repr(value) if value - value == 0 else special(value)
    return json.dumps(lossless(value), ensure_ascii=False)


def _write_json(table: Rows, file: IO[str]) -> None:
    names = [column.name for column in table.columns]

    def items() -> Iterator[dict[str, Any]]:
        for row in table.rows:
            yield {name: _plain(value) for name, value in zip(names, row, strict=True) if value is not UNSET}

    file.writelines(json_list(items()))


def _plain(value: Any) -> Any:
    return _moment(value) if isinstance(value, datetime) else lossless(value)


def _moment(value: datetime) -> str:
    return value.isoformat(timespec="microseconds")


def _write_parquet(table: Rows, file: IO[bytes]) -> None:
    import pyarrow
    from pyarrow import parquet

    types: dict[Kind, Any] = {
        "integer": pyarrow.int64(),
        "float": pyarrow.float64(),
        "boolean": pyarrow.bool_(),
        "text": pyarrow.string(),
        "time": pyarrow.timestamp("us", tz="UTC"),
        "json": pyarrow.string(),
    }
    schema = pyarrow.schema([(column.name, types[column.kind]) for column in table.columns])
    rows = iter(table.rows)
    with parquet.ParquetWriter(file, schema) as writer:
        while group := list(islice(rows, _GROUP)):
            cells = [[_cell(row[place], column) for row in group] for place, column in enumerate(table.columns)]
            arrays = [pyarrow.array(each, field.type) for each, field in zip(cells, schema, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _cell(value: Any, column: Column) -> Any:
    if value is UNSET or value is None:
        return None
    if column.kind == "json":
        return json.dumps(lossless(value))
    return value.encode("utf-8", "backslashreplace").decode() if column.kind == "text" else value
