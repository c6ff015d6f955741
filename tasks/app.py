"""The Celery application: settings that were measured, and the name of the one task.

Delivery is Celery's, recovery is ours. Messages are acknowledged early, because with late acknowledgement a broker
redelivers whatever trains longer than its visibility timeout, and runs a task twice after a broken connection. A task
that is lost between broker and worker is found by its missing ``started`` and sent again.
"""

from __future__ import annotations

import os
from typing import Any, Final
from urllib.parse import quote

import celery
import redis
from kombu.entity import Queue
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

TRAIN: Final = "train"
"""Name of the training task; its one argument is a ``contract.Job`` as plain data, its id the attempt's token."""

SIGNATURE: Final = "signature"
"""Header of the task that holds the job's signature, in hexadecimal digits, where jobs are signed."""

DRAIN: Final = "drain"
"""Command of Celery's remote control: a worker takes no more trials, and ends when those that run have."""

STOP_SIGNAL: Final = "SIGUSR2"
"""Signal that wakes a keeper. Billiard installs no handler of its own for it in a pool process."""

SOCKET_TIMEOUT: Final = 5.0
"""Seconds until a half-open connection is given up; without it a worker may hang for minutes."""

_FOREIGN = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_RESULT_BACKEND")


def create_app(redis_url: str, queues: tuple[str, ...] = ("trials",)) -> celery.Celery:
    """Returns a Celery application on the broker at ``redis_url``, consuming ``queues``."""
    for variable in _FOREIGN:
        # Celery would prefer these to its arguments; they are meant for another application.
        os.environ.pop(variable, None)
    make_queue: Any = Queue  # kombu has no types
    app = celery.Celery("trial-orchestrator", broker=broker_url(redis_url), set_as_current=False)
    app.conf.update(
        # Celery takes it from the URL; Flower, which counts tasks by a client of its own, from here.
        broker_use_ssl=tls_options(broker_url(redis_url)) if redis_url.startswith("rediss://") else False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_timeout": SOCKET_TIMEOUT,
            "socket_connect_timeout": SOCKET_TIMEOUT,
            "socket_keepalive": True,
            # A dead connection is found after twice this, and given up a timeout later.
            "health_check_interval": 3,
            "queue_order_strategy": "round_robin",
        },
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=False,
        task_send_sent_event=True,
        worker_send_task_events=True,
        worker_prefetch_multiplier=1,
        worker_consumer="tasks.worker.consumer:Consumer",
        worker_enable_remote_control=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        task_default_queue=queues[0],
        task_queues=[make_queue(name) for name in queues],
        enable_utc=True,
    )
    return app


def broker_url(redis_url: str) -> str:
    """Returns a Redis URL as Celery spells it.

    Unix sockets have another scheme, and another name for db. Celery verifies a TLS certificate only where it is told
    to.
    """
    if redis_url.startswith("rediss://") and "ssl_cert_reqs" not in tls_options(redis_url):
        return f"{redis_url}{'&' if '?' in redis_url else '?'}ssl_cert_reqs=required"
    if not redis_url.startswith("unix://"):
        return redis_url
    parse: Any = parse_url  # it has no types
    found = parse(redis_url)
    login = ":".join(quote(found.get(key) or "", safe="") for key in ("username", "password"))
    database = f"?virtual_host={found['db']}" if "db" in found else ""
    return f"redis+socket://{login + '@' if login != ':' else ''}{quote(found['path'])}{database}"


def tls_options(redis_url: str) -> dict[str, Any]:
    """Returns the TLS options of a URL as redis-py names them; empty without TLS."""
    parse: Any = parse_url  # it has no types
    return {name: value for name, value in parse(redis_url).items() if name.startswith("ssl_")}


def connect(redis_url: str) -> redis.Redis:
    """Returns a client that answers or fails within seconds and never retries by itself.

    A retried XADD would add its entry twice; the caller decides what is sent again.
    """
    # redis-py has no keep-alive option for unix sockets.
    options = {} if redis_url.startswith("unix://") else {"socket_keepalive": True}
    return redis.Redis.from_url(
        redis_url,
        socket_timeout=SOCKET_TIMEOUT,
        socket_connect_timeout=SOCKET_TIMEOUT,
        health_check_interval=10,
        retry=Retry(NoBackoff(), 0),
        **options,
    )


def stream_entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Returns the entries, as (id, fields), of the one stream that XREAD or XREADGROUP was asked for."""
    for _, entries in answer.items() if isinstance(answer, dict) else answer or []:
        # RESP3 answers with one list of entries for each stream inside another list.
        return list(entries[0] if entries and isinstance(entries[0], list) else entries)
    return []


def as_bytes(answer: object) -> bytes:
    """Returns an answer of a ``connect`` client, which never decodes, as bytes; its types cannot say so."""
    if not isinstance(answer, bytes):
        raise TypeError(f"expected bytes of Redis, got {type(answer).__name__}")
    return answer
