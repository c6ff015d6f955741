"""Training tasks as Celery sends them, without asking Celery each time.

Most of what Celery and kombu do for a task comes out the same for the next one, which differs in its id, its argument,
what Flower shows of that, its signature and a random tag. So Celery makes one task of a kind, which goes out as it is
and is the pattern of those that follow.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as redis_transport

kombu: Any = redis_transport  # most of it has no types
dumps: Any = kombu.dumps

Command = tuple[str, str, str]
"""A command of Redis: its name, a key or channel, and a message."""


class Recorded:
    """A batch of kombu's whose commands are handed on in place of being executed."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.commands: list[Command] = []

    def publish(self, message: Any, **options: Any) -> None:
        self.channel.basic_publish(message, _publish_batch=self, **options)

    def add(self, name: str, *arguments: str) -> None:
        self.commands.append((name, *arguments))  # type: ignore[arg-type]

    def flush(self) -> None:
        self.channel.recorded += self.commands

    def discard(self) -> None:
        self.commands.clear()

    def close(self) -> None:
        """Nothing is held."""


class Channel(kombu.Channel):  # type: ignore[misc]
    """A channel that publishes with one client, where kombu makes one for each message: that fills a dictionary of a
    hundred and seventy entries.

    Attributes:
        recorded: The commands of batches.
    """

    _kept: Any = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.recorded: list[Command] = []

    def create_publish_batch(self, max_size: int) -> Recorded:
        del max_size
        return Recorded(self)

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        if client is None and (self._kept is None or self._kept.connection_pool is not self.pool):
            with super().conn_or_acquire() as self._kept:
                pass
        yield client or self._kept


class Transport(kombu.Transport):  # type: ignore[misc]
    """kombu's transport for Redis with such channels."""

    Channel = Channel


NAME = "publishing"
"""This transport in a URL that names its transport, as those of unix sockets do."""

TRANSPORT_ALIASES[NAME] = f"{__name__}:{Transport.__name__}"


def take_recorded(channel: Channel) -> list[Command]:
    """Returns the commands of the batches since the last call."""
    commands, channel.recorded = channel.recorded, []
    return commands


@dataclass
class Pattern:
    """A task of one queue and priority, and Celery's event that it was sent.

    Args:
        sent: The commands by which Celery has sent it.
    """

    sent: list[Command]

    def __post_init__(self) -> None:
        (_, self._list, task), (_, self._topic, event) = self.sent
        self._task, self._event = json.loads(task), json.loads(event)
        self._embedded = _body(self._task)[2]
        self._told = _body(self._event)

    def commands(self, token: str, payload: Any, shown: str, headers: dict[str, str], clock: int) -> list[Command]:
        """Returns what sends another task.

        Args:
            token: Its id.
            payload: Its argument.
            shown: What Flower shows of that.
            headers: More headers, the same ones for each task of a pattern.
            clock: Celery's logical time.
        """
        # Not above: it brings dateutil, and six with its import hook, into every program that runs a search.
        from celery.utils.time import utcoffset

        task = {
            **self._task,
            "body": _encoded([[payload], {}, self._embedded]),
            "headers": self._task["headers"] | {"id": token, "root_id": token, "argsrepr": shown} | headers,
            "properties": self._task["properties"]
            | {"correlation_id": token, "argsrepr": shown, "delivery_tag": str(uuid.uuid4())},
        }
        now = {"clock": clock, "timestamp": time.time(), "utcoffset": utcoffset()}
        told = {"uuid": token, "root_id": token, "args": shown, **now}
        event = {
            **self._event,
            "body": _encoded(self._told | told),
            "properties": self._event["properties"] | {"delivery_tag": str(uuid.uuid4())},
        }
        return [("lpush", self._list, dumps(task)), ("publish", self._topic, dumps(event))]


def _body(message: Any) -> Any:
    return json.loads(base64.b64decode(message["body"]))


def _encoded(body: Any) -> str:
    return base64.b64encode(dumps(body).encode()).decode()
