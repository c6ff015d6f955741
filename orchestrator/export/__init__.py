"""A study as a table in a file: for spreadsheets, notebooks and databases."""

from typing import Final

FORMATS: Final = ("csv", "json", "parquet")
