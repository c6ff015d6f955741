"""A worker's end of a queue on a real Redis, for tests of what is sent to it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty
from typing import Any

import kombu
import pytest
import redis

from orchestrator.messaging.dispatch import Dispatcher
from tasks import redis_keys
from tasks.contract import Job
from tasks.signing import UNSIGNED, Keyring
from tasks.worker import kombu_transport

KEY, OTHER = Keyring(["0123456789abcdef" * 2]), Keyring(["fedcba9876543210" * 2])
QUEUE = "trials"


@dataclass
class Gate(kombu_transport.AlwaysOpen):
    """Takes down why the worker retired."""

    reasons: list[str] = field(default_factory=list)
    open: bool = True

    def is_open(self) -> bool:
        return self.open

    def retire(self, why: str) -> None:
        self.reasons.append(why)


@dataclass
class Worker:
    """A worker's end of the queue; what it was handed, and why it retired."""

    client: redis.Redis
    url: str
    taken: list[Any] = field(default_factory=list)
    gate: Gate = field(default_factory=Gate)

    @property
    def reasons(self) -> list[str]:
        return self.gate.reasons

    def send(self, keyring: Keyring, job: Job) -> None:
        dispatcher = Dispatcher(self.url, self.client, keyring)
        dispatcher.send(job, QUEUE, priority=5)
        dispatcher.close()

    def change(self, change: Callable[[dict[str, Any]], object]) -> None:
        """Alters the task that waits."""
        (name,) = self.client.keys(f"{QUEUE}*")
        message = json.loads(self.client.rpop(name))
        change(message)
        self.client.lpush(name, json.dumps(message))

    def dead(self) -> list[str]:
        return [fields[b"reason"].decode() for _, fields in self.client.xrange(redis_keys.DEAD_LETTERS)]

    def work(self, keyring: Keyring) -> int:
        """Takes all that waits, or what comes before it retires; returns how many tasks were handed over."""
        return self.ask(keyring, once=False)

    def ask(self, keyring: Keyring = UNSIGNED, *, once: bool = True) -> int:
        """Takes what comes first, or all; returns how many tasks were handed over so far."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kombu_transport.Channel, "keyring", keyring)
            patch.setattr(kombu_transport.Channel, "gate", self.gate)
            with kombu.Connection(self.url, transport=kombu_transport.Transport) as connection:
                channel = connection.channel()
                connection.transport._callbacks[QUEUE] = self.taken.append
                channel._active_queues = [QUEUE]
                channel._queue_cycle.update([QUEUE])
                channel.client.connection = channel.client.connection_pool.get_connection()
                with contextlib.suppress(Empty):
                    while not self.reasons:
                        channel._brpop_start(timeout=0.01)
                        channel._brpop_read()
                        if once:
                            break
        return len(self.taken)


def a_job(**changes: Any) -> Job:
    fields: dict[str, Any] = {
        "study": "study",
        "uid": "uid",
        "trial": 0,
        "attempt": 1,
        "token": "token",
        "objective": "somewhere:objective",
        "directions": ("minimize",),
        "args": {"a": [1.5, "\ud83d\ude00", None, 10**400, float("inf")], "b": {"z": 1, "a": 2}},
    }
    return Job(**fields | changes)
