"""The command that writes a study as a table."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from orchestrator.cli.access import LOOKS_IN, look
from orchestrator.cli.arguments import study_argument
from orchestrator.cli.commands import cli
from orchestrator.common.errors import BadInput
from orchestrator.export import FORMATS


@cli.command(epilog=LOOKS_IN)
@study_argument
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="What to write [default: what the name of FILE ends with, or else csv].",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write [default: standard output].",
)
@click.option("--epochs", is_flag=True, help="A row for each epoch that was reported, instead of one for each trial.")
@click.option(
    "--spreadsheet",
    is_flag=True,
    help="In CSV, put an apostrophe before texts that a spreadsheet would run as a formula.",
)
def export(study: str, form: str | None, output: Path | None, epochs: bool, spreadsheet: bool) -> None:
    """Write the trials of a study as a table.

    A row for each trial of STUDY: state, values, times in UTC, epochs, attempts, where it ran, why it was pruned or how
    it failed, a column for each parameter and each user attribute. Columns are named as in Optuna's trials_dataframe.

    \b
    orchestrator export digits -o digits.csv
    orchestrator export digits --epochs -o curves.parquet
    """
    from orchestrator.common.atomic_write import replacing
    from orchestrator.export.rows import epoch_rows, trial_rows
    from orchestrator.export.writers import check_installed, write

    form = form or _form_of(output)
    check_installed(form)
    if spreadsheet and form != "csv":
        raise BadInput("--spreadsheet", f"is for CSV, and {form} holds texts as they are", "take it out")
    if output is None and form == "parquet" and sys.stdout.isatty():
        raise BadInput("export as parquet", "is nothing for a terminal to show", "name a file with -o")
    with look() as history:
        listing = history.listing(study)
        table = epoch_rows(listing) if epochs else trial_rows(listing)
        if output is None:
            write(table, form, sys.stdout.buffer, for_spreadsheets=spreadsheet)
            return
        try:
            with replacing(output.resolve()) as file:
                write(table, form, file, for_spreadsheets=spreadsheet)
        except OSError as error:
            raise BadInput(
                str(output), f"cannot be written: {error.strerror or error}", "choose another file"
            ) from None


def _form_of(output: Path | None) -> str:
    """Returns the format that a file's name asks for."""
    ending = "" if output is None else output.suffix.removeprefix(".").lower()
    if not ending:
        return FORMATS[0]
    if ending not in FORMATS:
        raise BadInput(str(output), f"ends with none of .{', .'.join(FORMATS)}", "say with --format what it is to be")
    return ending
