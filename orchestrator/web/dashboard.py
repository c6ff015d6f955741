"""optuna-dashboard on the study database: it shows, behind a password, and writes only where that was asked for."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from orchestrator.common.data_folder import storage_url_of
from orchestrator.common.errors import BadInput
from orchestrator.common.settings import Settings
from orchestrator.common.signals import insist_on_ending
from orchestrator.common.urls import redact
from orchestrator.queries.readonly import open_history
from orchestrator.web.credentials import Access, check_choice, check_exposure, check_free, given, made

THREADS = 8
_PROGRAMS = ("optuna_dashboard", "waitress")
_INSTALL = "pip install 'trial-orchestrator[dashboard]'"


@dataclass(frozen=True)
class Wanted:
    """What was asked for.

    Attributes:
        host, port: Where it listens.
        write: Whether studies can be changed from it.
        no_auth: Whether it asks for no password.
        insecure: Whether it may do so where others can reach it.
    """

    host: str
    port: int
    write: bool
    no_auth: bool
    insecure: bool


def run(settings: Settings, wanted: Wanted, say: Callable[[str], None]) -> None:
    """Serves the dashboard until SIGTERM or Ctrl-C.

    Args:
        settings: The database, the artifact store and the password.
        wanted: What was asked for.
        say: Told, in one line, where the page is and what it asks for.

    Raises:
        BadInput: something is not installed, there is no database, nobody would be asked for a password, or the port
            is taken.
    """
    if missing := [program for program in _PROGRAMS if find_spec(program) is None]:
        name = missing[0].replace("_", "-")
        raise BadInput("dashboard", f"needs {name}, which is not installed", _INSTALL)
    check_choice(no_auth=wanted.no_auth, insecure=wanted.insecure)
    url = storage_url_of(settings)
    with open_history(url):
        pass  # what is wrong with it has been said
    access = _access(settings, wanted)
    check_free(wanted.host, wanted.port, "--host")
    app = make_app(settings, access.credentials if access else "", write=wanted.write)
    asks = access.describe(openly=sys.stderr.isatty()) if access else "which asks for no password"
    say(f"Dashboard of {redact(url)}: http://{wanted.host}:{wanted.port}, {asks}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    insist_on_ending()
    # Imported where it is needed, as it need not be installed.
    import waitress

    waitress.serve(app, host=wanted.host, port=wanted.port, threads=THREADS, ident=None)


def make_app(settings: Settings, credentials: str, *, write: bool) -> Any:
    """Returns the dashboard as a WSGI application."""
    import optuna_dashboard

    from orchestrator.web.artifact_store import ArtifactStore
    from orchestrator.web.auth_middleware import Guard
    from orchestrator.web.dashboard_storage import open_storage

    store = ArtifactStore(settings.artifact_url or str(settings.data_dir.resolve() / "artifacts"))
    storage = open_storage(storage_url_of(settings), write=write)
    return Guard(optuna_dashboard.wsgi(storage, artifact_store=store), credentials, write=write)


def _access(settings: Settings, wanted: Wanted) -> Access | None:
    access = given("ORCHESTRATOR_DASHBOARD_AUTH", settings.dashboard_auth, settings.dashboard_auth_file)
    if not wanted.no_auth:
        return access or made(settings.data_dir)
    if access:
        raise BadInput("--no-auth", "stands beside settings that ask for a login", "leave one of them out")
    check_exposure(wanted.host, insecure=wanted.insecure)
    return None
