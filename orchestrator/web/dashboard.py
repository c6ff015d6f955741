"""optuna-dashboard on the study database, behind a password; it writes only with --write."""

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
from orchestrator.queries.readonly import open_study_reader
from orchestrator.web.credentials import check_free, choose, configured

THREADS = 8
_PROGRAMS = ("optuna_dashboard", "waitress")
_INSTALL = "pip install 'trial-orchestrator[dashboard]'"


@dataclass(frozen=True)
class Wanted:
    """The options of the command.

    Attributes:
        host, port: Where it listens.
        write: Whether studies can be changed from it.
        no_auth, insecure: See ``choose``.
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
        wanted: The options of the command.
        say: Takes one line: where the page is and what it asks for.

    Raises:
        BadInput: a package is not installed, there is no database, the login cannot be used (see ``choose``), or the
            port is taken.
    """
    if missing := [program for program in _PROGRAMS if find_spec(program) is None]:
        name = missing[0].replace("_", "-")
        raise BadInput("dashboard", f"needs {name}, which is not installed", _INSTALL)
    url = storage_url_of(settings)
    with open_study_reader(url):
        pass  # raises where there is no such database
    found = configured("ORCHESTRATOR_DASHBOARD_AUTH", settings.dashboard_auth, settings.dashboard_auth_file)
    login = choose(found, settings.data_dir, wanted.host, no_auth=wanted.no_auth, insecure=wanted.insecure)
    check_free(wanted.host, wanted.port, "--host")
    app = make_app(settings, login.credentials if login else "", write=wanted.write)
    asks = login.describe(openly=sys.stderr.isatty()) if login else "which asks for no password"
    say(f"Dashboard of {redact(url)}: http://{wanted.host}:{wanted.port}, {asks}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    insist_on_ending()
    # Optional, so imported where it is used.
    import waitress

    waitress.serve(app, host=wanted.host, port=wanted.port, threads=THREADS, ident=None)


def make_app(settings: Settings, credentials: str, *, write: bool) -> Any:
    """Returns the dashboard as a WSGI application."""
    import optuna_dashboard

    from orchestrator.web.artifact_store import ArtifactStore
    from orchestrator.web.auth_middleware import AuthMiddleware
    from orchestrator.web.dashboard_storage import open_storage

    store = ArtifactStore(settings.artifact_url or str(settings.data_dir.resolve() / "artifacts"))
    storage = open_storage(storage_url_of(settings), write=write)
    return AuthMiddleware(optuna_dashboard.wsgi(storage, artifact_store=store), credentials, write=write)
