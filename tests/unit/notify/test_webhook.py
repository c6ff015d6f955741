"""One POST of a notification to a real server: its signature, allowed addresses, and the meaning of each answer."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from notifying import Settled, notifying, odd_server, owed

from orchestrator.notify import webhook as posts
from orchestrator.notify.webhook import SIGNATURE, post, sign
from tests.installed import program
from tests.pages import all_blocks
from tests.webhook_server import ReceivedPost, webhook_server


def verified(posted: ReceivedPost, key: str) -> bool:
    at, mark = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", posted.headers[SIGNATURE]).groups()  # type: ignore[union-attr]
    return sign(key, posted.body, int(at)) == f"t={at},v1={mark}"


def test_a_note_is_posted_as_json_and_signed() -> None:
    with webhook_server() as it, notifying() as notifier:
        notifier.owe([owed(it.url)])
        (posted,) = it.wait(1)
        assert Settled(notifier).last("uid:1")[:3] == ("delivered", 1, "HTTP 204")
    assert posted.path == "/services/T0/hush-hush"
    assert posted.body == b'{"id": "uid:1"}'
    assert posted.headers["Content-Type"] == "application/json"
    assert posted.headers["X-Orchestrator-Event"] == "finished"
    assert posted.headers["X-Orchestrator-Delivery"] == "uid:1"
    assert verified(posted, "k")
    assert not verified(posted, "another")


def test_without_a_key_there_is_no_signature() -> None:
    with webhook_server() as it:
        assert post(it.url, b"{}", {}).done
        assert SIGNATURE not in it.wait(1)[0].headers


@pytest.mark.parametrize(
    ("status", "again"),
    [
        *(
            (200, False),
            (299, False),
            (301, False),
            (307, False),
            (400, False),
            (401, False),
            (404, False),
            (410, False),
        ),
        *((408, True), (425, True), (429, True), (500, True), (503, True), (599, True)),
    ],
)
def test_what_an_answer_means(status: int, again: bool) -> None:
    with webhook_server([status], {"Location": "/elsewhere"}) as it:
        tried = post(it.url, b"{}", {})
        assert (tried.done, tried.again) == (status < 300, again)
        assert f"HTTP {status}" in tried.detail
        assert len(it.posted) == 1, "a redirect was followed"


def test_no_server_answers() -> None:
    with webhook_server() as it:
        url = it.url
    tried = post(url, b"{}", {})
    assert (tried.done, tried.again) == (False, True)
    assert "refused" in tried.detail
    tried = post("http://no-such-host.invalid/hush", b"{}", {})
    assert (tried.done, tried.again) == (False, True)
    assert "hush" not in tried.detail


def test_a_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posts, "PATIENCE", 0.1)
    with odd_server(b"") as url:
        assert post(url, b"{}", {}) == (False, True, "no answer in 0.1 s")
    with odd_server(b"220 mail ready\r\n") as url:
        tried = post(url, b"{}", {})
        assert (tried.done, tried.again, tried.detail) == (False, True, "BadStatusLine")


class Connected:
    """A socket that is connected to an address."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.closed = False

    def getpeername(self) -> tuple[str, int]:
        return self._address, 80

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1%eth0", "::ffff:169.254.169.254"])
def test_nothing_is_posted_to_a_link_local_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Connected(address)
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: made)
    made.setsockopt = lambda *_: None  # type: ignore[attr-defined]
    tried = post("http://harmless.example.org/", b"{}", {})
    assert (tried.done, tried.again) == (False, False)
    assert "link-local" in tried.detail
    assert made.closed


def test_a_self_signed_certificate_is_not_trusted(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*made, "-keyout", key, "-out", certificate, *subject], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with webhook_server() as it:
        it.server.socket = context.wrap_socket(it.server.socket, server_side=True)
        tried = post(it.url.replace("http:", "https:"), b"{}", {})
        assert (tried.done, tried.again) == (False, True)
        assert "certificate is not trusted: self-signed certificate" in tried.detail
        assert it.posted == []


def test_the_page_shows_how_a_signature_is_checked() -> None:
    (block,) = all_blocks("test_webhook")
    names: dict[str, Any] = {}
    exec(compile(block.text, block.where, "exec"), names)
    is_genuine = names["is_genuine"]
    now, body = int(time.time()), b'{"id": "uid:1"}'
    assert is_genuine("k", sign("k", body, now), body)
    assert not is_genuine("k", sign("k", body, now), body + b" ")
    assert not is_genuine("k", sign("j", body, now), body)
    assert not is_genuine("k", sign("k", body, now - 3_600), body), "it may have been recorded"
    for header in ("", "t=1", "v1=abc", f"t={now}", "t=x,v1=y", "nonsense"):
        assert not is_genuine("k", header, body)
    with webhook_server() as it:
        assert post(it.url, body, {}, "k").done
        (posted,) = it.wait(1)
    assert is_genuine("k", posted.headers[SIGNATURE], posted.body)
