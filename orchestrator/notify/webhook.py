"""One signed POST to the host that the URL names; no message shows the URL."""

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
"""Seconds that connecting, and each answer, may take."""

SIGNATURE: Final = "X-Orchestrator-Signature"
_AGAIN: Final = frozenset({408, 421, 425, 429, *range(500, 600)})
"""Status codes after which a later attempt may succeed."""


class DeliveryAttempt(NamedTuple):
    """The outcome of one attempt: whether it was delivered, else whether to try again; ``detail`` is one line."""

    done: bool
    again: bool
    detail: str


class Forbidden(OSError):
    """The address is link-local: clouds answer there with secrets of the host."""


def sign(key: str, body: bytes, at: int) -> str:
    """Returns the value of the signature's header: seconds since the epoch, and the HMAC-SHA-256 of time and body."""
    digest = hmac.new(key.encode(), str(at).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def post(url: str, body: bytes, headers: Mapping[str, str], key: str = "") -> DeliveryAttempt:
    """Posts JSON. Redirects are not followed, and certificates are checked.

    Args:
        url: A URL of http or https.
        body: The JSON.
        headers: Further headers.
        key: Signs the body; empty for no signature.
    """
    sent = {"Content-Type": "application/json", "User-Agent": "trial-orchestrator", **headers}
    if key:
        sent[SIGNATURE] = sign(key, body, int(time.time()))
    opener = urllib.request.build_opener(_NoRedirect, _HTTPHandler, _HTTPSHandler)
    try:
        with opener.open(urllib.request.Request(url, body, sent, method="POST"), timeout=PATIENCE) as answer:
            return DeliveryAttempt(True, False, f"HTTP {answer.status}")
    except urllib.error.HTTPError as error:
        with error:
            again = error.code in _AGAIN
            moved = ", a redirect, which is not followed" if 300 <= error.code < 400 else ""
            return DeliveryAttempt(False, again, f"HTTP {error.code}{moved}")
    except Exception as error:  # of sockets, TLS or HTTP; it must end neither the thread nor the search
        return _failed(error)


def _failed(error: BaseException) -> DeliveryAttempt:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, Forbidden):
        return DeliveryAttempt(False, False, "its address is link-local, and nothing is posted there")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return DeliveryAttempt(False, True, f"its certificate is not trusted: {reason.verify_message}")
    if isinstance(reason, TimeoutError):
        return DeliveryAttempt(False, True, f"no answer in {PATIENCE:g} s")
    if isinstance(reason, OSError) and reason.strerror:
        return DeliveryAttempt(False, True, reason.strerror)
    # The text of an error of a library may hold the URL.
    return DeliveryAttempt(False, isinstance(reason, OSError | http.client.HTTPException), type(reason).__name__)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Refuses: a redirect leads to a host that no setting allows."""
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
    """Checks the address of the connection itself: a name may resolve to another address each time."""
    address = ipaddress.ip_address(connected.getpeername()[0].partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    if (mapped or address).is_link_local:
        connected.close()
        raise Forbidden
