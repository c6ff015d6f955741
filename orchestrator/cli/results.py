"""Commands that give the results of a study: best, report, export."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from orchestrator.api.study_files import FORMATS, Format
from orchestrator.cli.options import json_option, study_argument
from orchestrator.cli.program import cli
from orchestrator.cli.shared import READS_DATABASE, fleet, show
from orchestrator.common.advice import how_to
from orchestrator.common.errors import BadInput
from orchestrator.common.formatting import listed
from orchestrator.common.parameter_text import FORMATS as PARAMETER_FORMATS


@cli.command(epilog=READS_DATABASE)
@study_argument
@click.option(
    "--params",
    "form",
    type=click.Choice(tuple(PARAMETER_FORMATS)),
    help="Print nothing but the parameters: TOML, JSON, or arguments of a command line, quoted for a shell.",
)
@json_option("one JSON object; of several objectives a list")
def best(study: str, form: str | None, as_json: bool) -> None:
    """Show the best trial: value, parameters, model.

    The best trial of STUDY that has completed and satisfies its constraints; of several objectives those on the Pareto
    front. While none has completed, the trial that leads by what it has reported.

    \b
    orchestrator best digits --params toml > best.toml
    eval python train.py "$(orchestrator best digits --params args)"
    """
    from orchestrator.terminal.best_view import render, to_json

    if form and as_json:
        raise BadInput("--params", "prints the parameters alone", "leave out --json; --params json prints them as JSON")
    with fleet() as studies:
        found = studies.handle(study).best_trials()
    if not found:
        remedy = f"'{how_to('trials', study)}' shows its trials"
        raise BadInput(f"study '{study}'", "no trial has completed yet, nor reported a value", remedy)
    if form:
        if len(found) > 1:
            numbers = listed(each.number for each in found)
            problem = f"{len(found)} trials are on the Pareto front: {numbers}"
            raise BadInput(f"study '{study}'", problem, "'orchestrator best' with --json has the parameters of each")
        click.echo(PARAMETER_FORMATS[form](found[0].params))
    elif as_json:
        several = len(found[0].directions) > 1
        click.echo(json.dumps([to_json(each) for each in found] if several else to_json(found[0])))
    else:
        show(render(found))


@cli.command(epilog=READS_DATABASE)
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
    from orchestrator.common.extras import require
    from orchestrator.terminal.progress_bar import waiting

    require("report", "plotly", "jinja2")
    from orchestrator.report.all_plots import COUNT

    with fleet() as found, waiting("drawing", 2 * COUNT, sys.stderr) as advance:
        written = found.handle(study).report(output, advance=advance)
    if written.missing:
        click.echo(f"orchestrator: {written.missing}", err=True)
    paths = {"html": str(written.html), "png": [str(path) for path in written.png]}
    click.echo(json.dumps(paths) if as_json else paths["html"])


@cli.command(epilog=READS_DATABASE)
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
def export(study: str, form: Format | None, output: Path | None, epochs: bool, spreadsheet: bool) -> None:
    """Write the trials of a study as a table.

    A row for each trial of STUDY: state, values, times in UTC, epochs, attempts, where it ran, why it was pruned or how
    it failed, a column for each parameter and each user attribute. Columns are named as in Optuna's trials_dataframe.

    \b
    orchestrator export digits -o digits.csv
    orchestrator export digits --epochs -o curves.parquet
    """
    if output is None and form == "parquet" and sys.stdout.isatty():
        raise BadInput("export as parquet", "a terminal cannot show it", "name a file with -o")
    with fleet() as found:
        sink = sys.stdout.buffer if output is None else output
        found.handle(study).export(sink, format=form, epochs=epochs, spreadsheet=spreadsheet)
