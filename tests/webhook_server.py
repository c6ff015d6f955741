"""An HTTP server that records what is posted to it and answers with the statuses that a test gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE = 60.0


@dataclass(frozen=True)
class ReceivedPost:
    """One request and the status that it was answered with."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    status: int


@dataclass
class WebhookServer:
    """A running server.

    Attributes:
        url: Address of the server; its path looks like a secret.
        statuses: Statuses of the next answers, in order; 204 when they are used up.
        server: The HTTP server itself.
        posted: Requests received so far.
    """

    url: str
    statuses: list[int]
    server: ThreadingHTTPServer
    posted: list[ReceivedPost] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait(self, count: int) -> list[ReceivedPost]:
        """Waits until so many requests have been answered."""
        with self.changed:
            came = self.changed.wait_for(lambda: len(self.posted) >= count, PATIENCE)
            assert came, f"{count} posts expected within {PATIENCE} s, received: {self.posted}"
            return list(self.posted)

    def take(self, path: str, headers: Mapping[str, str], body: bytes) -> int:
        with self.changed:
            status = self.statuses.pop(0) if self.statuses else 204
            self.posted.append(ReceivedPost(path, dict(headers), body, status))
            self.changed.notify_all()
            return status


@contextmanager
def webhook_server(statuses: Sequence[int] = (), headers: Mapping[str, str] | None = None) -> Iterator[WebhookServer]:
    """Yields a webhook on a loopback port of its own; ``headers`` go with each answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = it.take(self.path, dict(self.headers), body)
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            del format, arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    it = WebhookServer(f"http://127.0.0.1:{server.server_port}/services/T0/hush-hush", list(statuses), server)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield it
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
