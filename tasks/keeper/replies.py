"""Waits for the control plane's replies to questions, in a thread beside the keeper's other waits."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable

import redis

from tasks import redis_keys
from tasks.app import as_bytes
from tasks.codec import Malformed, decode_reply
from tasks.contract import Reply
from tasks.signing import UNSIGNED, Keyring, Purpose


class ReplyWaiter:
    """Reads replies from a runner's list in Redis, in a thread.

    Args:
        connect: Makes the thread's Redis client.
        heartbeat: Longest wait of one blocking read, in seconds.
        wake: Called when a reply has come.
        keyring: Verifies replies.
    """

    def __init__(
        self,
        connect: Callable[[], redis.Redis],
        heartbeat: float,
        wake: Callable[[], None],
        keyring: Keyring = UNSIGNED,
    ) -> None:
        self._connect = connect
        self._heartbeat = heartbeat
        self._wake = wake
        self._keyring = keyring
        self._client: redis.Redis | None = None
        self._found: deque[Reply] = deque()
        self._runner = ""
        self._wanted = threading.Condition()
        self._thread: threading.Thread | None = None

    def wait(self, runner: str) -> None:
        """Begins to wait for replies to ``runner``."""
        with self._wanted:
            self._runner = runner
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="replies", daemon=True)
                self._thread.start()
            self._wanted.notify()

    def stop(self) -> None:
        """Ends the wait."""
        with self._wanted:
            self._runner = ""

    def take(self) -> list[Reply]:
        """Removes and returns the replies that have come."""
        found = []
        with contextlib.suppress(IndexError):
            while True:
                found.append(self._found.popleft())
        return found

    def _run(self) -> None:
        while True:
            with self._wanted:
                while not self._runner:
                    self._wanted.wait()
                runner = self._runner
            if reply := self._read(runner):
                self._found.append(reply)
                with self._wanted:
                    if self._runner == runner:
                        self._runner = ""
                self._wake()

    def _read(self, runner: str) -> Reply | None:
        try:
            self._client = self._client or self._connect()
            found = self._client.blpop([redis_keys.replies(runner)], timeout=self._heartbeat)
            return decode_reply(self._keyring.open(Purpose.REPLY, as_bytes(found[1]))) if found else None
        except Malformed:
            return None
        except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError):
            # The list may be gone with the server; the question is sent again until it is answered.
            threading.Event().wait(0.1)
            return None
