"""Requests to pages under test."""

from __future__ import annotations

import base64
import urllib.error
import urllib.request


def ask(
    port: int, path: str, credentials: str = "", *, method: str = "GET", data: bytes | None = None, kind: str = ""
) -> tuple[int, bytes]:
    """Returns status and body of what a server on this machine answers; status 0 where it does not.

    Args:
        port, path: What is asked for.
        credentials: user:password, or nothing.
        method: The method.
        data, kind: What is sent, and its media type.
    """
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, method=method)
    if credentials:
        request.add_header("Authorization", "Basic " + base64.b64encode(credentials.encode()).decode())
    if kind:
        request.add_header("Content-Type", kind)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""
