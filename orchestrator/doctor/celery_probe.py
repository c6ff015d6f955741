"""Queries Celery's workers over remote control: their slots, their queues, their clocks."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from typing import Any

import kombu.exceptions
import redis
from celery.utils.time import utcoffset

from orchestrator.doctor.facts import Clock, Worker
from tasks.app import create_app

ANSWER_SECONDS = 1.0
"""Wait for the workers' replies. A main process replies within milliseconds, also while its slots train."""

HEARTBEAT_SECONDS = 0.5
"""Wait for the heartbeats that were requested."""

SUBSCRIBE_SECONDS = 0.05

_AWAY = (kombu.exceptions.OperationalError, redis.RedisError, OSError)


def query_workers(redis_url: str) -> tuple[tuple[Worker, ...], str]:
    """Returns the workers whose main process replies, and the broker's error; empty where there was none."""
    app = create_app(redis_url)
    try:
        answers = app.control.broadcast("active_queues", reply=True, timeout=ANSWER_SECONDS)
        queues = {name: _names(found) for answer in answers for name, found in answer.items()}
        counted = Counter(name for answer in answers for name in answer)
        stats: dict[str, Any] = {}
        if queues:
            answers = app.control.broadcast(
                "stats", destination=list(queues), reply=True, timeout=ANSWER_SECONDS, limit=counted.total()
            )
            stats = {name: found["pool"] for answer in answers for name, found in answer.items()}
        beats = _heartbeats(app, set(queues))
    except _AWAY as error:
        return (), str(error) or type(error).__name__
    finally:
        app.close()
    return (
        tuple(
            Worker(
                name,
                slots=int(stats[name]["max-concurrency"]) if name in stats else None,
                queues=queues[name],
                clock=beats[name][0] if name in beats else None,
                celery=beats[name][1] if name in beats else "",
                twice=counted[name] > 1,
                draining=bool(stats.get(name, {}).get("draining")),
                versions=tuple(sorted(stats.get(name, {}).get("versions", {}).items())),
                bundles=tuple(map(str, stats[name]["bundles"])) if "bundles" in stats.get(name, {}) else None,
            )
            for name in sorted(queues)
        ),
        "",
    )


def _names(found: Any) -> tuple[str, ...]:
    return tuple(sorted(str(each["name"]) for each in found)) if isinstance(found, list) else ()


def _heartbeats(app: Any, names: set[str]) -> dict[str, tuple[Clock, str]]:
    """Requests a heartbeat of every worker; returns clock and version of those that came, by worker name."""
    found: dict[str, tuple[Clock, str]] = {}

    def take(event: dict[str, Any]) -> None:
        # Its journey took at most the time since the request.
        clock = Clock(sent_at(event) - time.time(), time.monotonic() - asked)
        found[event["hostname"]] = clock, str(event.get("sw_ver", ""))

    asked = time.monotonic()
    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"worker-heartbeat": take})
        with receiver.consumer_context(wakeup=False) as (channel, _, _):
            # kombu subscribes when it first waits; what is sent before that is not heard.
            _drain(channel, SUBSCRIBE_SECONDS)
            asked = time.monotonic()
            app.control.broadcast("heartbeat")
            while names - found.keys() and (left := asked + HEARTBEAT_SECONDS - time.monotonic()) > 0:
                _drain(channel, left)
    return found


def sent_at(event: dict[str, Any]) -> float:
    """Returns when an event was sent, by its sender's clock, in seconds since the epoch.

    Celery's receiver has moved that by the hours between the zones of sender and receiver, as if it were local time.
    """
    here = utcoffset()
    return float(event["timestamp"] + 3_600 * (event.get("utcoffset", here) - here))


def _drain(connection: Any, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        connection.drain_events(timeout=seconds)
