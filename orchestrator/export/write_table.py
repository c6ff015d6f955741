"""Writes the trials of a study into a file, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

from orchestrator.common.atomic_write import replacing
from orchestrator.common.errors import BadInput, did_you_mean, reason_of
from orchestrator.common.extras import require
from orchestrator.export import FORMATS
from orchestrator.export.rows import epoch_rows, trial_rows
from orchestrator.export.writers import write

if TYPE_CHECKING:
    from orchestrator.queries.trial_queries import StudyTrials


def write_table(listing: StudyTrials, output: Path | IO[bytes], form: str, *, epochs: bool, spreadsheet: bool) -> None:
    """Writes the table.

    Args:
        listing: The study that is being read.
        output: The file, by its path or open.
        form: One of ``FORMATS``, which was checked.
        epochs: A row for each epoch instead of one for each trial.
        spreadsheet: Whether texts are kept from being run as formulas.

    Raises:
        BadInput: the file cannot be written.
    """
    table = epoch_rows(listing) if epochs else trial_rows(listing)
    if not isinstance(output, Path):
        write(table, form, output, for_spreadsheets=spreadsheet)
        return
    try:
        with replacing(output) as file:
            write(table, form, file, for_spreadsheets=spreadsheet)
    except OSError as error:
        raise BadInput(str(output), f"cannot be written: {reason_of(error)}", "choose another file") from None


def check_format(form: str, *, spreadsheet: bool) -> str:
    """Returns the format; raises BadInput where it is none, lacks a package, or has nothing to keep from formulas."""
    if form not in FORMATS:
        raise BadInput("export: format", f"is '{form}'", did_you_mean(form, FORMATS))
    if form == "parquet":
        require("export as parquet", "pyarrow")
    if spreadsheet and form != "csv":
        raise BadInput("export: spreadsheet", f"is for CSV, and {form} holds texts as they are", "leave it out")
    return form


def format_of(output: Path | None) -> str:
    """Returns the format that a file's name asks for; raises BadInput where its ending is of none."""
    ending = "" if output is None else output.suffix.removeprefix(".").lower()
    if not ending:
        return FORMATS[0]
    if ending not in FORMATS:
        raise BadInput(str(output), f"ends with none of .{', .'.join(FORMATS)}", "give the format, too")
    return ending
