"""What stands before the dashboard: a password, and no way to write unless that was asked for."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_READING = ("GET", "HEAD", "OPTIONS")
_READ_ONLY = "this dashboard only shows; to write from it, start 'orchestrator dashboard --write'"
_FOREIGN = "a page of another site has asked for this"


class Guard:
    """A WSGI application around another one.

    Args:
        app: Who answers what is let through.
        credentials: user:password; empty to ask for none.
        write: Whether anything but looking is let through.
    """

    def __init__(self, app: WSGIApplication, credentials: str, *, write: bool) -> None:
        self._app = app
        self._credentials = credentials.encode()
        self._write = write

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if self._credentials and not self._knows(environ.get("HTTP_AUTHORIZATION", "")):
            challenge = ("WWW-Authenticate", 'Basic realm="dashboard"')
            return _refuse(start_response, HTTPStatus.UNAUTHORIZED, "a user and a password are wanted", challenge)
        if environ["REQUEST_METHOD"] not in _READING:
            if not self._write:
                return _refuse(start_response, HTTPStatus.FORBIDDEN, _READ_ONLY)
            # Browsers send a password that they know to whatever page asks for it.
            if environ.get("HTTP_SEC_FETCH_SITE", "same-origin") not in ("same-origin", "none"):
                return _refuse(start_response, HTTPStatus.FORBIDDEN, _FOREIGN)
        return self._app(environ, _hardened(start_response, str(environ.get("PATH_INFO", ""))))

    def _knows(self, header: str) -> bool:
        scheme, _, encoded = header.partition(" ")
        try:
            given = base64.b64decode(encoded.encode("latin-1"), validate=True)
        except (binascii.Error, ValueError):
            return False
        return scheme.lower() == "basic" and hmac.compare_digest(given, self._credentials)


def _hardened(start_response: StartResponse, path: str) -> StartResponse:
    """What an objective has left as an artifact is shown, and never run with the rights of the dashboard's pages."""

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
