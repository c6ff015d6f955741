"""Pending notifications, the outcomes of their delivery, and a server that answers badly."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from orchestrator.model.changeset import NoteRow
from orchestrator.model.notifications import DeliveryState, PendingNotification
from orchestrator.notify.notifier import Notifier
from orchestrator.notify.policy import Policy
from orchestrator.spec.notify import NotifyTable

PATIENCE = 60.0


@contextmanager
def notifying(policy: Policy | None = None, environ: dict[str, str] | None = None) -> Iterator[Notifier]:
    made = Notifier(policy or Policy(key="k"), environ or {})
    try:
        yield made
    finally:
        made.close()


def owed(
    url: str, event: str = "finished", key: str = "uid:1", study: str = "s", **changes: Any
) -> PendingNotification:
    note = NoteRow(key, event, "post", json.dumps({"id": key}), changes.pop("at", time.time()))
    return PendingNotification(study, note, NotifyTable(url=url), **changes)


def a_command(*words: str, study: str = "s", **changes: Any) -> PendingNotification:
    note = NoteRow("uid:1:command", "finished", "command", '{"id": "uid:1"}', time.time())
    return PendingNotification(study, note, NotifyTable(command=words), **changes)


class Settled:
    """What has become of notes so far, as the loop would learn it."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self.all: list[tuple[str, DeliveryState]] = []

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        pause = threading.Event()
        while True:
            self.all += self._notifier.take_settled().items()
            if condition():
                return
            assert time.monotonic() < deadline, self.all
            pause.wait(0.005)

    def last(self, key: str) -> DeliveryState:
        """Waits until nothing more becomes of a note; returns what has."""
        self.wait(lambda: any(each == key and state.state != "owed" for each, state in self.all))
        return next(state for each, state in reversed(self.all) if each == key)


@contextmanager
def odd_server(answer: bytes) -> Iterator[str]:
    """Answers with these bytes; with none it never does."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                if answer:
                    connection.sendall(answer)
                else:
                    done.wait(PATIENCE)

        done = threading.Event()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/hush"
        done.set()
        thread.join()
