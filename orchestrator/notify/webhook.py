"""One POST: signed, to the very host that was named, and no word of the URL in what is said of it."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

PATIENCE: Final = 10.0
"""Seconds that connecting, and each answer to a request, may take."""

SIGNATURE: Final = "X-Orchestrator-Signature"
_AGAIN: Final = frozenset({408, 421, 425, 429, *range(500, 600)})
"""Answers after which it may go better another time."""


class Tried(NamedTuple):
    """How one try went: whether it was taken, or else whether it makes sense to try again; ``detail`` is one line."""

    done: bool
    again: bool
    detail: str


class Forbidden(OSError):
    """The address belongs to the host itself or its cloud, and answers anybody who can reach it."""


def sign(key: str, body: bytes, at: int) -> str:
    """Returns the signature's header: the time in seconds since the epoch, and an HMAC of time and body by SHA-256."""
    digest = hmac.new(key.encode(), str(at).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def post(url: str, body: bytes, headers: Mapping[str, str], key: str = "") -> Tried:
    """Posts JSON. Redirects are not followed, and certificates are checked.

    Args:
        url: Of http or https.
        body: The JSON.
        headers: Beside the usual ones.
        key: Signs it, if there is one.
    """
    sent = {"Content-Type": "application/json", "User-Agent": "trial-orchestrator", **headers}
    if key:
        sent[SIGNATURE] = sign(key, body, int(time.time()))
    try:
        with _opener().open(urllib.request.Request(url, body, sent, method="POST"), timeout=PATIENCE) as answer:
            return Tried(True, False, f"HTTP {answer.status}")
    except urllib.error.HTTPError as error:
        with error:
            again = error.code in _AGAIN
            moved = ", a redirect, which is not followed" if 300 <= error.code < 400 else ""
            return Tried(False, again, f"HTTP {error.code}{moved}")
    except Exception as error:  # of sockets, TLS and HTTP; whatever it is, it must end neither thread nor search
        return _failed(error)


def _failed(error: BaseException) -> Tried:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, Forbidden):
        return Tried(False, False, "its address is link-local, and nothing is posted there")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return Tried(False, True, f"its certificate is not trusted: {reason.verify_message}")
    if isinstance(reason, TimeoutError):
        return Tried(False, True, f"no answer in {PATIENCE:g} s")
    if isinstance(reason, OSError) and reason.strerror:
        return Tried(False, True, reason.strerror)
    # The text of others may hold the URL.
    return Tried(False, isinstance(reason, OSError | http.client.HTTPException), type(reason).__name__)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """A redirect would lead to where nobody has let a note be sent to."""
        return


class _HTTPConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _check_peer(self.sock)


class _HTTPSConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        _check_peer(self.sock)


class _HTTPHandler(urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HTTPConnection, request)


class _HTTPSHandler(urllib.request.HTTPSHandler):
    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HTTPSConnection, request, context=ssl.create_default_context())


def _check_peer(connected: socket.socket) -> None:
    """Of the address that is really connected to: a name may be resolved to another one each time."""
    address = ipaddress.ip_address(connected.getpeername()[0].partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    if (mapped or address).is_link_local:
        connected.close()
        raise Forbidden


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(_NoRedirect, _HTTPHandler, _HTTPSHandler)
