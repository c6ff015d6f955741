"""Commands that serve pages for a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from orchestrator.cli.commands import cli
from orchestrator.common.errors import BadInput

if TYPE_CHECKING:
    from orchestrator.common.settings import Settings


@cli.command()
@click.option("--port", type=click.IntRange(1, 65_535), help="Port to listen at [default: 5555].")
@click.option("--address", help="Address to listen at [default: 127.0.0.1].")
@click.option("--no-auth", is_flag=True, help="Ask for no password; only where nobody else can reach it.")
@click.option("--insecure", is_flag=True, help="With --no-auth: also where others can reach it.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS OF FLOWER]")
def flower(port: int | None, address: str | None, no_auth: bool, insecure: bool, options: tuple[str, ...]) -> None:
    """Show queue, workers and tasks in a browser, with Flower.

    It asks for the user and password of ORCHESTRATOR_FLOWER_AUTH (user:password) or ORCHESTRATOR_FLOWER_AUTH_FILE, or
    for one that is made once and kept in ORCHESTRATOR_DATA_DIR. Flower's own options, such as those of OAuth, come
    after --; `orchestrator flower -- --help` lists them. Without ORCHESTRATOR_REDIS_URL it shows the `run` that works
    in ORCHESTRATOR_DATA_DIR.
    """
    from orchestrator.common.settings import load_settings
    from orchestrator.web.flower import Wanted, run

    settings = load_settings()
    redis_url = "" if "--help" in options else _broker(settings)
    wanted = Wanted(redis_url, address, port, options, no_auth, insecure)
    run(settings, wanted, lambda line: click.echo(line, err=True))


def _broker(settings: Settings) -> str:
    from orchestrator.common.data_folder import redis_url_of
    from orchestrator.control.serve import check_redis
    from tasks.app import connect

    url = redis_url_of(settings)
    if url is None:
        problem = f"is not set, and no `run` works in {settings.data_dir}"
        raise BadInput("ORCHESTRATOR_REDIS_URL", problem, "set it to the Redis of the fleet")
    check_redis(connect(url), url)
    return url


@cli.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=8080, show_default=True, help="Port to listen at.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--write", is_flag=True, help="Let studies be changed and deleted from it.")
@click.option("--no-auth", is_flag=True, help="Ask for no password; only where nobody else can reach it.")
@click.option("--insecure", is_flag=True, help="With --no-auth: also where others can reach it.")
def dashboard(port: int, host: str, write: bool, no_auth: bool, insecure: bool) -> None:
    """Show the studies in a browser, with optuna-dashboard.

    Nothing can be changed from it unless --write is given. It asks for the user and password of
    ORCHESTRATOR_DASHBOARD_AUTH (user:password) or ORCHESTRATOR_DASHBOARD_AUTH_FILE, or for one that is made once and
    kept in ORCHESTRATOR_DATA_DIR. Looks into ORCHESTRATOR_STORAGE_URL, or else into the SQLite file that `run` keeps in
    ORCHESTRATOR_DATA_DIR.
    """
    from orchestrator.common.settings import load_settings
    from orchestrator.web.dashboard import Wanted, run

    run(load_settings(), Wanted(host, port, write, no_auth, insecure), lambda line: click.echo(line, err=True))
