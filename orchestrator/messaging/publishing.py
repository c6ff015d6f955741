"""kombu's Redis transport as a process uses it that only publishes.

kombu makes a client of redis-py for each message, which costs more than the message: a dictionary of a hundred and
seventy entries is filled. Here a channel keeps its client.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.transport import redis as redis_transport

kombu: Any = redis_transport  # most of it has no types


class Channel(kombu.Channel):  # type: ignore[misc]
    """A channel that publishes with one client."""

    _kept: Any = None

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        if client is None and (self._kept is None or self._kept.connection_pool is not self.pool):
            with super().conn_or_acquire() as self._kept:
                pass
        yield client or self._kept


class Transport(kombu.Transport):  # type: ignore[misc]
    """kombu's transport for Redis with such channels."""

    Channel = Channel
