"""Commands that run the processes of a fleet: serve, worker, flower, dashboard."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from orchestrator.api.access import fleet_urls
from orchestrator.cli.options import log_format_option, metrics_port_option
from orchestrator.cli.program import cli
from orchestrator.cli.shared import load_settings
from orchestrator.common.errors import BadInput


class PassThrough(click.Command):
    """A command that hands its arguments to another program unchanged, once they have been checked.

    They are in the context's ``meta``, under ``ARGUMENTS``.
    """

    ARGUMENTS = "orchestrator.arguments"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[self.ARGUMENTS] = list(args)
        return super().parse_args(ctx, args)


@cli.command()
@click.option("--study", default="", help="Handle this study alone [default: all studies].")
@click.option("--journal", type=click.Path(path_type=Path), help="Record all inputs of the engine in this file.")
@metrics_port_option
@log_format_option
@click.option("--commands-of", default="", hidden=True)
@click.option("--parent", type=int, default=0, hidden=True)
def serve(
    study: str,
    journal: Path | None,
    metrics_port: int | None,
    log_format: str | None,
    commands_of: str,
    parent: int,
) -> None:
    """Run the control plane of a fleet.

    It asks for trials, records the reports of workers, and prunes. One is active; any number may stand by. Needs
    ORCHESTRATOR_REDIS_URL and ORCHESTRATOR_STORAGE_URL. Ctrl-C or SIGTERM ends it; the next one goes on.
    """
    if parent:
        from tasks.process_guards import die_with_parent

        die_with_parent(parent)
    settings = load_settings()
    redis_url, storage_url = fleet_urls(settings)
    metrics = settings.metrics(metrics_port)
    from tasks.log_lines import set_up

    set_up("serve", log_format or settings.log_format)
    from orchestrator.control.serve import serve as serve_studies
    from orchestrator.notify.policy import policy_of

    policy = policy_of(settings, commands_of)
    # Of a `run`, which has started this process.
    run = os.getppid() if commands_of else 0
    serve_studies(settings, redis_url, storage_url, only=study, run=run, record=journal, metrics=metrics, policy=policy)


@cli.command(cls=PassThrough)
@click.option("--slots", type=int, metavar="N", help="Trials at once [default: one per GPU; 1 to 4 without one].")
@click.option("--gpus", metavar="LIST", help="GPUs to use, such as 0,1 [default: all that are visible].")
@click.option("--per-gpu", type=int, metavar="K", help="Slots that share one GPU [default: 1].")
@click.option("--gpus-per-trial", type=int, metavar="K", help="GPUs that each slot has for itself [default: 1].")
@click.option("--queues", metavar="LIST", help="Queues to serve, separated by commas [default: trials].")
@click.option("--name", help="Name of this worker, unique on its host [default: worker-PID].")
@click.option("--loglevel", type=click.Choice(("debug", "info", "warning", "error")), help="[default: info]")
@log_format_option
@metrics_port_option
@click.option("--data-dir", type=click.Path(), help="Logs and files of trials [default: ORCHESTRATOR_DATA_DIR].")
@click.option("--heartbeat", type=float, metavar="SECONDS", help="[default: ORCHESTRATOR_HEARTBEAT, or 2]")
@click.option("--preload", hidden=True)
@click.option("--parent", type=int, hidden=True)
@click.pass_context
def worker(context: click.Context, /, **_: object) -> None:
    """Train trials from the queue: one on every machine with GPUs.

    Needs ORCHESTRATOR_REDIS_URL and nothing else; a worker never sees the database. SIGTERM makes it hand its trials
    back and end, a second one ends it at once. ORCHESTRATOR_OBJECTIVES, ORCHESTRATOR_OBJECTIVE_PATH and
    ORCHESTRATOR_COMMANDS say what it may run.
    """
    if load_settings().redis_url is None:
        raise BadInput("ORCHESTRATOR_REDIS_URL", "is not set", "a worker needs the URL of the Redis it serves")
    from orchestrator.common.settings import without_secrets

    # Another program replaces this process, so that a worker holds neither code of the control plane nor the database's
    # URL nor the key that signs notifications.
    arguments = [sys.executable, "-P", "-m", "tasks.worker", *context.meta[PassThrough.ARGUMENTS]]
    os.execve(sys.executable, arguments, without_secrets(os.environ))


def _page_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say whether a page asks for a password."""
    insecure = click.option("--insecure", is_flag=True, help="With --no-auth: also where others can reach it.")
    no_auth = click.option("--no-auth", is_flag=True, help="Ask for no password; only where no one else can reach it.")
    return no_auth(insecure(command))


@cli.command()
@click.option("--port", type=click.IntRange(1, 65_535), help="Port to listen at [default: 5555].")
@click.option("--address", help="Address to listen at [default: 127.0.0.1].")
@_page_options
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS OF FLOWER]")
def flower(port: int | None, address: str | None, no_auth: bool, insecure: bool, options: tuple[str, ...]) -> None:
    """Show queue, workers and tasks in a browser, with Flower.

    It asks for the user and password of ORCHESTRATOR_FLOWER_AUTH (user:password) or ORCHESTRATOR_FLOWER_AUTH_FILE, or
    for one that is made once and kept in ORCHESTRATOR_DATA_DIR. Flower's own options, such as those of OAuth, come
    after --; `orchestrator flower -- --help` lists them. Without ORCHESTRATOR_REDIS_URL it shows the `run` that works
    in ORCHESTRATOR_DATA_DIR.
    """
    from orchestrator.messaging.redis_check import answering_redis
    from orchestrator.web.credentials import PageOptions
    from orchestrator.web.flower import run

    settings = load_settings()
    redis_url = "" if "--help" in options else answering_redis(settings)
    page = PageOptions(address, port, no_auth, insecure)
    run(settings, redis_url, page, options, lambda line: click.echo(line, err=True))


@cli.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=8080, show_default=True, help="Port to listen at.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--write", is_flag=True, help="Let studies be changed and deleted from it.")
@_page_options
def dashboard(port: int, host: str, write: bool, no_auth: bool, insecure: bool) -> None:
    """Show the studies in a browser, with optuna-dashboard.

    Nothing can be changed from it unless --write is given. It asks for the user and password of
    ORCHESTRATOR_DASHBOARD_AUTH (user:password) or ORCHESTRATOR_DASHBOARD_AUTH_FILE, or for one that is made once and
    kept in ORCHESTRATOR_DATA_DIR. Looks into ORCHESTRATOR_STORAGE_URL, or else into the SQLite file that `run` keeps in
    ORCHESTRATOR_DATA_DIR.
    """
    from orchestrator.web.credentials import PageOptions
    from orchestrator.web.dashboard import run

    page = PageOptions(host, port, no_auth, insecure)
    run(load_settings(), page, write, lambda line: click.echo(line, err=True))
