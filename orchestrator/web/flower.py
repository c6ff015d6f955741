"""Flower on our Celery application: behind a password, its metrics too, and with its tasks kept over a restart."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

import tornado.web
from flower import command
from flower.urls import handlers
from flower.views.monitor import Metrics
from tornado.ioloop import IOLoop
from tornado.options import Error, options
from tornado.platform.asyncio import BaseAsyncIOLoop

from orchestrator.common.errors import BadInput, did_you_mean
from orchestrator.common.settings import Settings, ensure_data_dir
from orchestrator.web.credentials import PageOptions, check_free, choose, configured
from tasks.app import create_app
from tasks.metrics_endpoint import LOOPBACK

COLUMNS = "uuid,state,args,result,runtime,worker,received"
MOST_TASKS = 10_000
"""Tasks that Flower keeps in memory and in its file: it answers nothing while it writes them."""

SAVE_MILLISECONDS = 60_000

_ELSEWHERE = {
    "port": "give --port before the --",
    "address": "give --address before the --",
    "basic_auth": "set ORCHESTRATOR_FLOWER_AUTH: every user of this machine can read a command line",
    "oauth2_secret": "set FLOWER_OAUTH2_SECRET: every user of this machine can read a command line",
    "cookie_secret": "set FLOWER_COOKIE_SECRET: every user of this machine can read a command line",
}
"""Options of Flower that are not passed on, and what to do instead."""


class GuardedMetrics(Metrics):  # type: ignore[misc]
    """Asks for the password like every other page; Flower itself shows its metrics without one."""

    @tornado.web.authenticated
    async def get(self) -> None:
        await super().get()


def run(
    settings: Settings, redis_url: str, page: PageOptions, own_options: Sequence[str], say: Callable[[str], None]
) -> None:
    """Runs Flower until SIGTERM or Ctrl-C.

    Args:
        settings: The password, and the data folder that takes Flower's file.
        redis_url: The broker.
        page: Where it listens, and whether it asks for a password.
        own_options: Options of Flower itself.
        say: Takes one line: where the page is and what it asks for.

    Raises:
        BadInput: an option or the login cannot be used (see ``choose``), or the port is taken.
    """
    places = {"address": page.address, "port": page.port}
    arguments = [f"--{name}={value}" for name, value in places.items() if value is not None]
    arguments = [*map(_checked, own_options), *arguments]
    _set_defaults(ensure_data_dir(settings.data_dir) / "flower")
    _apply(arguments)
    asks = _guard(settings, page)
    if not options.unix_socket:
        check_free(options.address, options.port, "--address")
    _guard_metrics()
    _end_by_the_loop()
    scheme = "https" if options.certfile else "http"
    place = options.unix_socket or f"{scheme}://{options.address}:{options.port}"
    say(f"Flower: {place}, {asks}")
    create_app(redis_url).start(argv=["flower", *arguments])


def _end_by_the_loop() -> None:
    """Makes SIGTERM and Ctrl-C stop Flower's loop; a second signal ends the process at once.

    Flower's own handler raises wherever its main thread happens to be. While the main thread starts another one, that
    leaves a thread which nothing ends, and the process waits for it for ever.
    """

    def on_signal(signum: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(signum, signal.SIG_DFL)
        loop = IOLoop.current(instance=False)
        if not isinstance(loop, BaseAsyncIOLoop):
            # Nothing has been started yet.
            sys.exit(0)
        loop.asyncio_loop.call_soon_threadsafe(loop.stop)

    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGTERM, on_signal)
    command.sigterm_handler = on_signal


def _checked(argument: str) -> str:
    """Returns an option of Flower; it ignores unknown ones, so they are refused here."""
    name = argument.lstrip("-").partition("=")[0].replace("-", "_")
    if not argument.startswith("--") or not name:
        raise BadInput(f"'{argument:.100}'", "is not an option of Flower", "write --name=value")
    if name in _ELSEWHERE:
        raise BadInput(f"--{name}", "cannot be given here", _ELSEWHERE[name])
    if name not in options:
        raise BadInput(f"--{name:.100}", "Flower has no such option", did_you_mean(name, options))
    return argument


def _set_defaults(folder: Path) -> None:
    """Sets our defaults first: the environment, the command line and the configuration file override them."""
    folder.mkdir(mode=0o700, exist_ok=True)
    options.address = LOOPBACK
    options.tasks_columns = COLUMNS
    options.max_tasks = MOST_TASKS
    options.persistent = True
    options.db = str(folder / "state")
    options.state_save_interval = SAVE_MILLISECONDS


def _apply(arguments: list[str]) -> None:
    """Lets Flower read its options from the environment, the command line and its configuration file."""
    try:
        command.apply_env_options()
        command.apply_options("flower", arguments)
    except FileNotFoundError as error:
        raise BadInput("--conf", f"there is no file '{error.filename}'", "name Flower's configuration file") from None
    except (Error, ValueError) as error:
        raise BadInput("an option of Flower", str(error), "see 'orchestrator flower -- --help'") from None


def _guard_metrics() -> None:
    guarded = (r"/metrics", GuardedMetrics)
    handlers[:] = [guarded if route == (r"/metrics", Metrics) else route for route in handlers]
    assert guarded in handlers, "Flower serves its metrics in another way"


def _guard(settings: Settings, page: PageOptions) -> str:
    """Sets the password that Flower asks for. Returns in words what it asks for."""
    found = configured("ORCHESTRATOR_FLOWER_AUTH", settings.flower_auth, settings.flower_auth_file)
    own = bool(options.basic_auth or options.auth)
    login = choose(found, page, settings.data_dir, options.address, other_login=own)
    if login is None:
        return "login as Flower's own options say" if own else "which asks for no password"
    options.basic_auth = [login.credentials]
    return login.describe(openly=sys.stderr.isatty())
