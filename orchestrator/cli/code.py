"""The command that gives back the code of a study: code."""

from __future__ import annotations

import json
from pathlib import Path

import click

from orchestrator.cli.options import json_option, study_argument
from orchestrator.cli.program import cli
from orchestrator.cli.shared import READS_DATABASE, fleet


@cli.command(epilog=READS_DATABASE)
@study_argument
@click.option("--trial", metavar="TRIAL", help="What this trial ran, instead of the newest: a number, best or last.")
@click.option(
    "--to",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the files into DIR, which is empty or new.",
)
@json_option("one JSON object")
def code(study: str, trial: str | None, to: Path | None, as_json: bool) -> None:
    """Show the code that STUDY has sent to workers.

    Its digest, its objective and its files; with --to the files themselves, as they were when it was sent.

    \b
    orchestrator code digits --trial best --to digits-code
    """
    with fleet() as studies:
        handle = studies.handle(study)
        bundle = handle.code(trial, to=to)
        kept = handle.code_digests()
    files = {file.path: len(file.data) for file in bundle.files}
    if as_json:
        about = {"study": study, "digest": bundle.digest, "objective": bundle.objective, "files": files}
        written = [] if to is None else [str(to / path) for path in files]
        click.echo(json.dumps(about | {"kept": kept, "written": written}))
    elif to is not None:
        click.echo(str(to))
    else:
        click.echo(f"{bundle.digest}  {bundle.objective}")
        for name, size in files.items():
            click.echo(f"{size:>10}  {name}")
