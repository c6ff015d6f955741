"""The middleware of the dashboard: password, read-only access, and requests of foreign pages."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from typing import Any
from wsgiref.util import setup_testing_defaults

import pytest

from orchestrator.web.auth_middleware import AuthMiddleware

CREDENTIALS = "admin:pass:word"


def inner(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    start_response("200 OK", [("Access-Control-Allow-Origin", "*"), ("Content-Type", "text/html")])
    return [environ["REQUEST_METHOD"].encode()]


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


def ask(
    guard: AuthMiddleware, method: str = "GET", path: str = "/", **headers: str
) -> tuple[str, dict[str, str], bytes]:
    environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path}
    environ |= {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    setup_testing_defaults(environ)
    answer: list[Any] = []
    body = guard(environ, lambda status, headers, *_: answer.extend((status, dict(headers))))
    return answer[0], answer[1], b"".join(body)


WRONG = ("wrong", "admin", "", "admin:wrong", CREDENTIALS + "x", CREDENTIALS[:-1], "admin:pässword")
BROKEN = ("", "Basic", "Basic ", "Basic !!!", "Basic ÿ", "Bearer x", basic(CREDENTIALS).replace("Basic", "Bearer"))


@pytest.mark.parametrize("header", [*map(basic, WRONG), *BROKEN])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_without_the_password_nothing_is_served(header: str, method: str) -> None:
    status, headers, body = ask(AuthMiddleware(inner, CREDENTIALS, write=True), method, authorization=header)
    assert status == "401 Unauthorized"
    assert headers["WWW-Authenticate"] == 'Basic realm="dashboard"'
    assert json.loads(body)["reason"]


@pytest.mark.parametrize("credentials", [CREDENTIALS, ""])
def test_with_the_password_reading_is_allowed_and_writing_is_not(credentials: str) -> None:
    guard = AuthMiddleware(inner, credentials, write=False)
    header = basic(CREDENTIALS).replace("Basic", "basic")
    for method in ("GET", "HEAD", "OPTIONS"):
        assert ask(guard, method, authorization=header)[0] == "200 OK"
    for method in ("POST", "PUT", "PATCH", "DELETE", "MOVE"):
        status, _, body = ask(guard, method, authorization=header)
        assert status == "403 Forbidden"
        assert "--write" in json.loads(body)["reason"]


@pytest.mark.parametrize(
    ("site", "status"),
    [(None, 200), ("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)],
)
def test_a_foreign_page_does_not_write_with_the_password_that_a_browser_knows(site: str | None, status: int) -> None:
    guard = AuthMiddleware(inner, CREDENTIALS, write=True)
    headers = {"authorization": basic(CREDENTIALS)} | ({} if site is None else {"sec_fetch_site": site})
    assert ask(guard, "DELETE", **headers)[0].startswith(str(status))


def test_an_artifact_is_no_page_of_the_dashboard() -> None:
    guard = AuthMiddleware(inner, "", write=False)
    _, headers, _ = ask(guard, path="/artifacts/1/2/3")
    assert headers["Content-Security-Policy"] == "sandbox"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Access-Control-Allow-Origin" not in headers
    assert "Content-Security-Policy" not in ask(guard, path="/dashboard")[1]
