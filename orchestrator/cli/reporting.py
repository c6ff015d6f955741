"""The command that makes a report. It looks, changes nothing of the study, and needs the database alone."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import click

from orchestrator.cli.access import LOOKS_IN
from orchestrator.cli.arguments import json_option, study_argument
from orchestrator.cli.commands import cli


@cli.command(epilog=LOOKS_IN)
@study_argument
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the files [default: reports/STUDY in ORCHESTRATOR_DATA_DIR].",
)
@json_option("the paths as one JSON object")
def report(study: str, output: Path | None, as_json: bool) -> None:
    """Write a report: a page of plots and tables.

    One HTML file that needs no network, and its plots as PNG: history, learning curves, importances, what pruning
    saved, failures, the best trials. STUDY may still be running. Prints the path of the page.
    """
    from orchestrator.common.data_folder import folder_of
    from orchestrator.common.settings import load_settings
    from orchestrator.report.write_files import check_installed, write
    from orchestrator.terminal.progress_bar import waiting

    settings = load_settings()
    check_installed()
    from orchestrator.report.all_plots import COUNT
    from orchestrator.report.load import read

    facts = read(settings, study, time.time)
    with waiting("drawing", 2 * COUNT, sys.stderr) as advance:
        written = write(facts, output or folder_of(settings.data_dir, study), advance)
    if written.missing:
        click.echo(f"orchestrator: {written.missing}", err=True)
    paths = {"html": str(written.html), "png": [str(path) for path in written.png]}
    click.echo(json.dumps(paths) if as_json else paths["html"])
