"""optuna-dashboard on the study database, behind a password; it writes only with --write."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import Any

from orchestrator.common.data_folder import storage_url_of
from orchestrator.common.extras import require
from orchestrator.common.settings import Settings
from orchestrator.common.signals import insist_on_ending
from orchestrator.common.urls import redact
from orchestrator.queries.readonly import open_study_reader
from orchestrator.web.credentials import PageOptions, check_free, choose, configured
from tasks.metrics_endpoint import LOOPBACK

PORT = 8080
THREADS = 8


def run(settings: Settings, page: PageOptions, write: bool, say: Callable[[str], None]) -> None:
    """Serves the dashboard until SIGTERM or Ctrl-C.

    Args:
        settings: The database, the artifact store and the password.
        page: Where it listens, and whether it asks for a password.
        write: Whether studies can be changed from it.
        say: Takes one line: where the page is and what it asks for.

    Raises:
        BadInput: a package is not installed, there is no database, the login cannot be used (see ``choose``), or the
            port is taken.
    """
    require("dashboard", "optuna_dashboard", "waitress")
    url = storage_url_of(settings)
    with open_study_reader(url):
        pass  # raises where there is no such database
    found = configured("ORCHESTRATOR_DASHBOARD_AUTH", settings.dashboard_auth, settings.dashboard_auth_file)
    host, port = page.address or LOOPBACK, page.port or PORT
    login = choose(found, page, settings.data_dir, host)
    check_free(host, port, "--host")
    app = make_app(settings, login.credentials if login else "", write=write)
    asks = login.describe(openly=sys.stderr.isatty()) if login else "which asks for no password"
    say(f"Dashboard of {redact(url)}: http://{host}:{port}, {asks}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    insist_on_ending()
    # Optional, so imported where it is used.
    import waitress

    waitress.serve(app, host=host, port=port, threads=THREADS, ident=None)


def make_app(settings: Settings, credentials: str, *, write: bool) -> Any:
    """Returns the dashboard as a WSGI application."""
    import optuna_dashboard

    from orchestrator.web.auth_middleware import AuthMiddleware
    from orchestrator.web.dashboard_storage import ArtifactStore, open_storage

    store = ArtifactStore(settings.artifact_url or str(settings.data_dir.resolve() / "artifacts"))
    storage = open_storage(storage_url_of(settings), write=write)
    return AuthMiddleware(optuna_dashboard.wsgi(storage, artifact_store=store), credentials, write=write)
