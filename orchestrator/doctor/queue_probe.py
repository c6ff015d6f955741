"""Reads the Celery queues item by item, and removes items that do not belong there."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import redis

from orchestrator.doctor.facts import Item, Queue
from orchestrator.doctor.redis_probe import WrongKeys
from orchestrator.messaging.dispatch import queue_names
from orchestrator.messaging.event_stream import EventStream
from tasks.app import SIGNATURE, TRAIN
from tasks.codec import job_from_payload, signable
from tasks.contract import VERSION
from tasks.signing import UNSIGNED, Keyring, Purpose

CHUNK = 200
"""Items in one answer of Redis."""


def read_queue(client: redis.Redis, queue: str, keyring: Keyring = UNSIGNED, wrong: WrongKeys | None = None) -> Queue:
    """Returns how much waits in a queue, and what it is; ``wrong`` takes its keys that are no lists."""
    wrong = wrong or WrongKeys()
    waiting: list[int] = []
    items: list[Item] = []
    for name in queue_names(queue):
        before = len(items)
        with wrong.passing_over(name, "list"):
            items += [read_item(data, keyring) for data in _all(client, name)]
        waiting.append(len(items) - before)
    return Queue(queue, tuple(waiting), tuple(items))


def clear(
    client: redis.Redis, queue: str, unwanted: Callable[[Item], bool], reason: str, keyring: Keyring = UNSIGNED
) -> int:
    """Takes items out of a queue, keeps them with the dead letters, and returns how many there were."""
    events = EventStream(client)
    taken = 0
    for name in queue_names(queue):
        for data in [data for data in _all(client, name) if unwanted(read_item(data, keyring))]:
            # In this order: what is kept twice, because a worker comes upon it meanwhile, is not lost.
            events.dead_letter(data, f"queue {queue}: {reason}")
            taken += int(client.lrem(name, 1, data))  # type: ignore[arg-type]
    return taken


def read_item(data: bytes, keyring: Keyring = UNSIGNED) -> Item:
    """Returns whose task an item is, or why it is none. It is read as a worker does."""
    try:
        message = json.loads(data)
        headers = message["headers"]
        if headers["task"] != TRAIN or not isinstance(headers["id"], str):
            return Item(wrong=f"not a training task: {headers['task']!r:.100}")
        if message["content-type"] != "application/json":
            return Item(wrong=f"content of type {message['content-type']!r:.100}")
        payload = _payload(message)
        if keyring:
            keyring.verify(Purpose.JOB, signable(payload), bytes.fromhex(headers.get(SIGNATURE) or ""))
        version = payload.get("version") if isinstance(payload, dict) else None
        if isinstance(version, int) and version > VERSION:
            # What a later version means is not for us to say.
            return Item(headers["id"], version)
        job = job_from_payload(payload)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Item(wrong=f"{type(error).__name__}: {error}"[:200])
    if job.token != headers["id"]:
        return Item(wrong="the task's id is not its attempt's")
    return Item(job.token, job.version)


def _payload(message: dict[str, Any]) -> Any:
    body = message["body"]
    if message["properties"].get("body_encoding") == "base64":
        body = base64.b64decode(body)
    (payload,), _, _ = json.loads(body)
    return payload


def _all(client: redis.Redis, name: str) -> Iterator[bytes]:
    start = 0
    while True:
        found: Any = client.lrange(name, start, start + CHUNK - 1)
        yield from found
        if len(found) < CHUNK:
            return
        start += CHUNK
