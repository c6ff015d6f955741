"""Commands for scheduled searches: beat, schedule, schedule run."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.api.access import fleet_urls
from orchestrator.api.schedules import run_now as run_schedule_now
from orchestrator.cli.options import json_option, log_format_option
from orchestrator.cli.program import cli
from orchestrator.cli.shared import READS_DATABASE, fleet, load_settings, tell

_studies_option = click.option(
    "--studies",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("studies"),
    show_default=True,
    help="Folder of the specs.",
)


@cli.command()
@_studies_option
@log_format_option
def beat(studies: Path, log_format: str | None) -> None:
    """Run specs at the times that they name.

    Celery beat over the specs in a folder that have a [schedule]; changed, added and removed files are picked up as
    they are. `serve` runs what it asks for. Any number of beats may look at the same specs: each run is made once.
    Needs ORCHESTRATOR_REDIS_URL and ORCHESTRATOR_STORAGE_URL. Ctrl-C or SIGTERM ends it.
    """
    settings = load_settings()
    redis_url, storage_url = fleet_urls(settings)
    from orchestrator.schedule.beat import beat as run_beat
    from tasks.log_lines import set_up

    set_up("beat", log_format or settings.log_format)

    run_beat(redis_url, storage_url, studies, settings=settings)


@cli.group(invoke_without_command=True, epilog=READS_DATABASE)
@_studies_option
@click.option(
    "-n",
    "--last",
    metavar="N",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Number of the last runs of each.",
)
@json_option("one JSON object")
@click.pass_context
def schedule(context: click.Context, studies: Path, last: int, as_json: bool) -> None:
    """List scheduled searches, and their runs.

    When the specs in a folder that have a [schedule] run next, what came of their last runs, and which files are wrong.
    `orchestrator schedule run NAME` runs one now.
    """
    if context.invoked_subcommand is not None:
        context.obj = studies
        return
    with fleet() as found:
        tell(found.schedules(studies, last=last), as_json)


@schedule.command("run")
@click.argument("name")
@click.option("--studies", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Folder of the specs.")
@click.pass_obj
def run_now(studies: Path, name: str, folder: Path | None) -> None:
    """Run the schedule NAME now.

    Beside its timetable, and subject to its `overlap`. Prints the name of the study.
    """

    def note(line: str) -> None:
        click.echo(f"note: {line}", err=True)

    with fleet() as found:
        click.echo(run_schedule_now(found.settings, found.commands, name, folder or studies, note))
