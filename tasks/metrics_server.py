"""Server of a process's metrics for Prometheus, and the metrics that every process has."""

from __future__ import annotations

import hmac
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, Counter, ProcessCollector, disable_created_metrics, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from tasks.basic_auth import credentials_of
from tasks.metrics_endpoint import ADDRESS, PORT, BadSetting, Endpoint

log = logging.getLogger(__name__)

PATIENCE: Final = 10.0
"""Seconds that a client may take for its request."""


class MetricsServer:
    """Shows the metrics of ``registry`` under ``/metrics``, in threads of its own, from ``start`` to ``close``.

    The port is taken at once, so that a port that is in use is found out before anything else is begun.

    Raises:
        BadSetting: the port or the address cannot be had.
    """

    def __init__(self, endpoint: Endpoint, registry: CollectorRegistry) -> None:
        app = _guarded(make_wsgi_app(registry), endpoint.password)
        try:
            family = socket.getaddrinfo(endpoint.address, endpoint.port, type=socket.SOCK_STREAM)[0][0]
            kind = type("Server", (_Server,), {"address_family": family})
            self._server: WSGIServer = make_server(endpoint.address, endpoint.port, app, kind, _Handler)
        except OSError as error:
            where = f"{endpoint.address}:{endpoint.port}"
            variable, remedy = (PORT, "choose another port")
            if isinstance(error, socket.gaierror):
                variable, remedy = (ADDRESS, "choose an address of this host")
            raise BadSetting(variable, f"{where} cannot be had: {error.strerror}", remedy) from None
        # It looks whether it is to end that often, in seconds.
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="metrics", daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def start(self) -> None:
        self._thread.start()

    def leave_to_parent(self) -> None:
        """Lets go of the port in a process that was forked from the one that shows the metrics."""
        self._server.socket.close()

    def close(self) -> None:
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


def make_registry() -> CollectorRegistry:
    """Returns the metrics of every process: CPU time, memory, descriptors, and the warnings in its log."""
    # The time at which a counter was made would be one more series for each counter.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    lines = Counter("orchestrator_log_lines", "Warnings and errors in the log.", ["level", "action"], registry=registry)
    logging.getLogger().addHandler(_LineCounter(lines))
    return registry


class _LineCounter(logging.Handler):
    def __init__(self, counter: Counter) -> None:
        super().__init__(logging.WARNING)
        self._counter = counter
        self._process = os.getpid()

    def emit(self, record: logging.LogRecord) -> None:
        if os.getpid() != self._process:
            # In a forked process the counter's lock may be held by a thread that exists in the parent alone.
            return
        self._counter.labels(record.levelname.lower(), record.__dict__.get("action", "")).inc()


class _Server(ThreadingWSGIServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Logs at debug level: a client may disconnect at any moment."""
        del request
        log.debug("a request for metrics from %s was broken off", client_address, exc_info=True)


class _Handler(WSGIRequestHandler):
    timeout = PATIENCE

    def log_message(self, format: str, *arguments: Any) -> None:
        """Logs nothing."""


_App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def _guarded(app: _App, password: str) -> _App:
    def guarded(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        given = credentials_of(environ.get("HTTP_AUTHORIZATION", "")).partition(b":")[2]
        if password and not hmac.compare_digest(given, password.encode()):
            headers = [("WWW-Authenticate", 'Basic realm="metrics"'), ("Content-Type", "text/plain")]
            start_response("401 Unauthorized", headers)
            return [b"the password of the metrics is wanted\n"]
        if environ["PATH_INFO"] not in ("/", "/metrics"):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"there are only /metrics\n"]
        try:
            return app(environ, start_response)
        except Exception:
            log.exception("the metrics could not be read", extra={"action": "metrics_failed"})
            start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
            return [b"the metrics could not be read\n"]

    return guarded
