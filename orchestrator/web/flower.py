"""Flower on our Celery application: behind a password, its metrics too, and with what is known kept over a restart."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from orchestrator.web.credentials import check_choice, check_exposure, check_free, given, made
from tasks.app import create_app
from tasks.metrics_endpoint import LOOPBACK

COLUMNS = "uuid,state,args,result,runtime,worker,received"
MOST_TASKS = 10_000
"""What is kept of a fleet's tasks, and written down: Flower stands still while it writes."""

SAVE_MILLISECONDS = 60_000

_ELSEWHERE = {
    "port": "give --port before the --",
    "address": "give --address before the --",
    "basic_auth": "set ORCHESTRATOR_FLOWER_AUTH: everybody on this machine can read a command line",
    "oauth2_secret": "set FLOWER_OAUTH2_SECRET: everybody on this machine can read a command line",
    "cookie_secret": "set FLOWER_COOKIE_SECRET: everybody on this machine can read a command line",
}
"""Options of Flower's that are not passed on, and what to do instead."""


class GuardedMetrics(Metrics):  # type: ignore[misc]
    """Asks for the password like every other page; Flower shows its metrics to everybody."""

    @tornado.web.authenticated
    async def get(self) -> None:
        await super().get()


@dataclass(frozen=True)
class Wanted:
    """What was asked for.

    Attributes:
        redis_url: The broker.
        address, port: Where it listens; None where Flower's own settings may say so.
        arguments: Options of its own.
        no_auth: Whether it asks for no password.
        insecure: Whether it may do so where others can reach it.
    """

    redis_url: str
    address: str | None
    port: int | None
    arguments: Sequence[str]
    no_auth: bool
    insecure: bool


def run(settings: Settings, wanted: Wanted, say: Callable[[str], None]) -> None:
    """Runs Flower until SIGTERM or Ctrl-C.

    Args:
        settings: The password, and the data folder that takes what Flower knows.
        wanted: What was asked for.
        say: Told, in one line, where the page is and what it asks for.

    Raises:
        BadInput: an option cannot be used, nobody would be asked for a password, or the port is taken.
    """
    check_choice(no_auth=wanted.no_auth, insecure=wanted.insecure)
    arguments = [*map(_checked, wanted.arguments), *_places(wanted)]
    _set_defaults(ensure_data_dir(settings.data_dir) / "flower")
    _apply(arguments)
    asks = _guard(settings, wanted)
    if not options.unix_socket:
        check_free(options.address, options.port, "--address")
    _guard_metrics()
    _end_by_the_loop()
    scheme = "https" if options.certfile else "http"
    place = options.unix_socket or f"{scheme}://{options.address}:{options.port}"
    say(f"Flower: {place}, {asks}")
    create_app(wanted.redis_url).start(argv=["flower", *arguments])


def _end_by_the_loop() -> None:
    """Has SIGTERM and Ctrl-C end Flower's loop, a second one the process at once.

    Flower's own handler raises wherever its main thread happens to be; in the middle of starting a thread, that leaves
    one behind which nobody ends, and the process waits for it for ever.
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
    """Flower would pass over what it does not know."""
    name = argument.lstrip("-").partition("=")[0].replace("-", "_")
    if not argument.startswith("--") or not name:
        raise BadInput(f"'{argument:.100}'", "is no option of Flower's", "write --name=value")
    if name in _ELSEWHERE:
        raise BadInput(f"--{name}", "is not taken from here", _ELSEWHERE[name])
    if name not in options:
        raise BadInput(f"--{name:.100}", "Flower has no such option", did_you_mean(name, options))
    return argument


def _places(wanted: Wanted) -> list[str]:
    places = {"address": wanted.address, "port": wanted.port}
    return [f"--{name}={value}" for name, value in places.items() if value is not None]


def _set_defaults(folder: Path) -> None:
    """Whatever else says something about an option comes later, and counts."""
    folder.mkdir(mode=0o700, exist_ok=True)
    options.address = LOOPBACK
    options.tasks_columns = COLUMNS
    options.max_tasks = MOST_TASKS
    options.persistent = True
    options.db = str(folder / "state")
    options.state_save_interval = SAVE_MILLISECONDS


def _apply(arguments: list[str]) -> None:
    """Has Flower read its options: from the environment, the command line and its configuration file."""
    try:
        command.apply_env_options()
        command.apply_options("flower", arguments)
    except FileNotFoundError as error:
        raise BadInput("--conf", f"there is no file '{error.filename}'", "name Flower's configuration file") from None
    except (Error, ValueError) as error:
        raise BadInput("an option of Flower's", str(error), "see 'orchestrator flower -- --help'") from None


def _guard_metrics() -> None:
    guarded = (r"/metrics", GuardedMetrics)
    handlers[:] = [guarded if route == (r"/metrics", Metrics) else route for route in handlers]
    assert guarded in handlers, "Flower serves its metrics in another way"


def _guard(settings: Settings, wanted: Wanted) -> str:
    """Sees to it that a password is asked for, unless told otherwise. Returns what is asked for, in words."""
    access = given("ORCHESTRATOR_FLOWER_AUTH", settings.flower_auth, settings.flower_auth_file)
    if wanted.no_auth:
        if access or options.basic_auth or options.auth:
            raise BadInput("--no-auth", "stands beside settings that ask for a login", "leave one of them out")
        check_exposure(options.address, insecure=wanted.insecure)
        return "which asks for no password"
    if access is None and not options.basic_auth and not options.auth:
        access = made(settings.data_dir)
    if access is None:
        return "login as Flower's own options say"
    options.basic_auth = [access.credentials]
    return access.describe(openly=sys.stderr.isatty())
