"""Commands that show where studies stand."""

from __future__ import annotations

import json
import sys
import time

import click

from orchestrator.cli.access import LOOKS_IN, look
from orchestrator.cli.arguments import json_option, study_argument
from orchestrator.cli.commands import cli
from orchestrator.cli.terminal import show, width


@cli.command(epilog=LOOKS_IN)
@json_option("a JSON list, an object for each study")
def ls(as_json: bool) -> None:
    """List the studies, a line for each.

    Where they stand, what is at work, how fast they go, when they will be done, what pruning has saved.
    """
    from orchestrator.terminal.overview import render_list, to_json

    with look() as history:
        found = history.overviews()
    now = time.time()
    if as_json:
        click.echo(json.dumps([to_json(each, now) for each in found]))
    else:
        show(render_list(found, width(), now))


@cli.command(epilog=LOOKS_IN)
@study_argument
@json_option("one JSON object")
def status(study: str, as_json: bool) -> None:
    """Show one study: progress, slots, pace, ETA.

    How many trials of STUDY have ended and how, the best one, how fast it goes, what pruning has saved, and what each
    slot does.
    """
    from orchestrator.terminal.overview import render_status, to_json

    with look() as history:
        found = history.overview(study)
    now = time.time()
    if as_json:
        click.echo(json.dumps(to_json(found, now)))
    else:
        show(render_status(found, width(), now))


@cli.command()
@study_argument
@json_option("a JSON object for each change, a line each, until the study has ended")
def watch(study: str, as_json: bool) -> None:
    """Watch a study until it has ended.

    The live view that `run` has, of any STUDY, on any machine that reaches the fleet's Redis and database. Without
    ORCHESTRATOR_REDIS_URL it is a study of the `run` that works in ORCHESTRATOR_DATA_DIR. Ctrl-C ends the watching and
    nothing else.
    """
    from orchestrator.common.settings import load_settings
    from orchestrator.terminal.json_lines import JsonView
    from orchestrator.terminal.views import make_view
    from orchestrator.terminal.watch import RECENT
    from orchestrator.terminal.watch import watch as watch_study

    settings = load_settings()
    view = JsonView(sys.stdout) if as_json else make_view(sys.stdout)
    try:
        # A program is told of what happens, and can read the past elsewhere.
        watch_study(settings, study, look, view, recent=0 if as_json else RECENT)
    except KeyboardInterrupt:
        view.close()
        sys.exit(130)
    finally:
        view.close()
