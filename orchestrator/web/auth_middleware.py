"""A WSGI middleware for the dashboard: it asks for a password, and refuses writes unless they are allowed."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from tasks.basic_auth import credentials_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_READING = ("GET", "HEAD", "OPTIONS")
_NO_LOGIN = "this dashboard asks for a user and a password"
_READ_ONLY = "this dashboard is read-only; to write from it, start 'orchestrator dashboard --write'"
_FOREIGN = "a page of another site sent this request; open the dashboard itself"


class AuthMiddleware:
    """A WSGI application around another one.

    Args:
        app: The application that answers requests that are let through.
        credentials: user:password; empty to ask for none.
        write: Whether requests other than GET, HEAD and OPTIONS are let through.
    """

    def __init__(self, app: WSGIApplication, credentials: str, *, write: bool) -> None:
        self._app = app
        self._credentials = credentials.encode()
        self._write = write

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        given = credentials_of(environ.get("HTTP_AUTHORIZATION", ""))
        if self._credentials and not hmac.compare_digest(given, self._credentials):
            challenge = ("WWW-Authenticate", 'Basic realm="dashboard"')
            return _refuse(start_response, HTTPStatus.UNAUTHORIZED, _NO_LOGIN, challenge)
        if environ["REQUEST_METHOD"] not in _READING:
            if not self._write:
                return _refuse(start_response, HTTPStatus.FORBIDDEN, _READ_ONLY)
            # A browser sends a password that it knows with every request, also with one that a foreign page makes.
            if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") not in ("same-origin", "none"):
                return _refuse(start_response, HTTPStatus.FORBIDDEN, _FOREIGN)
        return self._app(environ, _hardened(start_response, str(environ.get("PATH_INFO", ""))))


def _hardened(start_response: StartResponse, path: str) -> StartResponse:
    """Keeps an artifact that an objective has saved from running with the rights of the dashboard's pages."""

    def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Callable[[bytes], object]:
        kept = [header for header in headers if header[0].lower() != "access-control-allow-origin"]
        kept.append(("X-Content-Type-Options", "nosniff"))
        if path.startswith("/artifacts/"):
            kept.append(("Content-Security-Policy", "sandbox"))
        return start_response(status, kept, *rest)

    return start


def _refuse(
    start_response: StartResponse, status: HTTPStatus, reason: str, *headers: tuple[str, str]
) -> Iterable[bytes]:
    # The dashboard's pages show the "reason" of an answer in this form.
    body = json.dumps({"reason": reason}).encode()
    kind = ("Content-Type", "application/json")
    start_response(f"{status.value} {status.phrase}", [kind, ("Content-Length", str(len(body))), *headers])
    return [body]
