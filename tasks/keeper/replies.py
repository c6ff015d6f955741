"""Waiting for the control plane's answer to a ``suggest``, beside everything else a keeper waits for."""

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
    """Takes replies from a runner's list in a thread that lives as long as somebody waits.

    Args:
        connect: Makes the thread's Redis client.
        heartbeat: Longest wait of one blocking read, in seconds.
        ring: Called when a reply is there to be taken.
        keyring: Verifies what is read.
    """

    def __init__(
        self,
        connect: Callable[[], redis.Redis],
        heartbeat: float,
        ring: Callable[[], None],
        keyring: Keyring = UNSIGNED,
    ) -> None:
        self._connect = connect
        self._heartbeat = heartbeat
        self._ring = ring
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
        """Nobody waits any more."""
        with self._wanted:
            self._runner = ""

    def take(self) -> list[Reply]:
        """Returns the replies that have come."""
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
                self._ring()

    def _read(self, runner: str) -> Reply | None:
        try:
            self._client = self._client or self._connect()
            found = self._client.blpop([redis_keys.replies(runner)], timeout=self._heartbeat)
            return decode_reply(self._keyring.open(Purpose.REPLY, as_bytes(found[1]))) if found else None
        except Malformed:
            return None
        except (redis.ConnectionError, redis.TimeoutError, redis.ResponseError):
            # The list may be gone with the server; the suggest is sent again until it is answered.
            threading.Event().wait(0.1)
            return None
