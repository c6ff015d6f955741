"""The beat, and the commands that look at schedules and run one now."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from orchestrator.cli.access import LOOKS_IN, issuer, look
from orchestrator.cli.arguments import json_option
from orchestrator.cli.commands import ANSWER_SECONDS, checked, cli, urls
from orchestrator.cli.terminal import show, width
from orchestrator.common.errors import BadInput, OrchestratorError

NEXT = 3
"""So many of the next runs are shown of each schedule."""

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
@click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    help="How the log is written; json is one object a line [default: ORCHESTRATOR_LOG_FORMAT, or text].",
)
def beat(studies: Path, log_format: str | None) -> None:
    """Run specs at the times that they name.

    Celery beat over the specs in a folder that have a [schedule]; changed, added and removed files are picked up as
    they are. `serve` runs what it asks for. Any number of beats may look at the same specs: each run is made once.
    Needs ORCHESTRATOR_REDIS_URL and ORCHESTRATOR_STORAGE_URL. Ctrl-C or SIGTERM ends it.
    """
    from orchestrator.common.settings import load_settings

    settings = load_settings()
    redis_url, storage_url = urls(settings)
    from orchestrator.schedule.beat import beat as run_beat
    from tasks.log_lines import set_up

    set_up("beat", log_format or settings.log_format)

    run_beat(redis_url, storage_url, studies)


@cli.group(invoke_without_command=True, epilog=LOOKS_IN)
@_studies_option
@click.option(
    "-n",
    "--last",
    metavar="N",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="So many of the last runs of each.",
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
    from orchestrator.schedule.folder import Folder
    from orchestrator.schedule.listing import listing
    from orchestrator.terminal.schedule_table import render, to_json

    contents = Folder(studies).look()
    now = time.time()
    with look() as history:
        known = history.schedules(contents.schedules)
        found = listing(contents, known, lambda name: history.slots(name, last), now, NEXT)
    if as_json:
        click.echo(json.dumps(to_json(found, contents.problems)))
    else:
        show(render(found, contents.problems, width(), now))


@schedule.command("run")
@click.argument("name")
@click.option("--studies", "folder", metavar="DIR", type=click.Path(path_type=Path), help="Folder of the specs.")
@click.pass_obj
def run_now(studies: Path, name: str, folder: Path | None) -> None:
    """Run the schedule NAME now.

    Beside its timetable, and subject to its `overlap`. Prints the name of the study.
    """
    from orchestrator.common.faults import nearest
    from orchestrator.common.settings import load_settings
    from orchestrator.schedule.folder import Folder

    studies = folder or studies
    contents = Folder(studies).look()
    if name not in contents.schedules:
        for problem in contents.problems.values():
            click.echo(f"note: {problem}", err=True)
        remedy = nearest(name, contents.schedules) if contents.schedules else "no spec there has a [schedule]"
        raise BadInput(f"schedule '{name}'", f"there is none of that name in {studies}", remedy)
    settings = load_settings()
    search = checked(contents.schedules[name].path, None, None, settings)
    # A `run` looks after its own study alone.
    urls(settings)
    with issuer(settings, prepare=True) as told:
        answer = told.begin(search, int(time.time()), ANSWER_SECONDS)
    if answer["state"] == "refused":
        raise BadInput(f"schedule '{name}'", answer["reason"])
    if answer["state"] not in ("running", "waiting"):
        raise OrchestratorError(f"schedule '{name}' was not run: {answer['reason']}")
    if answer["reason"]:
        click.echo(f"note: {answer['reason']}", err=True)
    click.echo(answer["study"])
