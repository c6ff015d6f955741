"""A connection to Redis that never waits: requests are sent in batches, answers go to callbacks in their order."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis

Callback = Callable[[Any], None]


class Connection:
    """One connection; the caller selects on it and calls ``receive`` when there is something to read.

    Args:
        port: Of a server on the loopback interface.
        push: Takes the messages of subscriptions.
    """

    def __init__(self, port: int, push: Callback | None = None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = hiredis.Reader()
        self._push = push
        self._waiting: deque[Callback | None] = deque()
        self._out: list[bytes] = []

    def fileno(self) -> int:
        return self._socket.fileno()

    def request(self, *words: bytes | str | int | float, then: Callback | None = None) -> None:
        """Adds a command to the next batch; ``then`` takes its answer."""
        self._out.append(hiredis.pack_command(words))
        self._waiting.append(then)

    def flush(self) -> None:
        """Sends the batch."""
        if self._out:
            data, self._out = b"".join(self._out), []
            self._socket.sendall(data)

    def receive(self) -> None:
        """Hands on the answers that have come.

        Raises:
            ConnectionError: the server has gone.
        """
        if not (data := self._socket.recv(1 << 18)):
            raise ConnectionError("Redis has closed the connection")
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            if self._push is not None:
                self._push(answer)
            elif (then := self._waiting.popleft()) is not None:
                then(answer)
            elif isinstance(answer, hiredis.ReplyError):
                raise ConnectionError(str(answer))

    def close(self) -> None:
        self._socket.close()
