"""kombu's Redis transport, in which no item of a queue can end a worker, and only valid training tasks are run.

kombu parses an item in the worker's event loop, where any error ends the worker; an item that is put back then ends the
next one. Here an item that is no training task is kept as a dead letter, and one that could not be taken up is left to
the control plane, which sends again what has not started.

A task of a later protocol version, or with a signature that this worker cannot verify, may be valid and this worker
outdated. The announcement of the control plane decides: then the task goes back to its queue, and the worker retires.
"""

from __future__ import annotations

import contextlib
import json
import logging
from queue import Empty
from typing import Any, Protocol

import redis
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as redis_transport

from tasks import log_lines, redis_keys
from tasks.app import SIGNATURE, TRAIN
from tasks.codec import Malformed, OtherVersion, job_from_payload, signable
from tasks.signing import UNSIGNED, Keyring, Purpose, Unsigned
from tasks.worker.consumer import PatientClient
from tasks.worker.startup_checks import version_mismatch

log = logging.getLogger(__name__)

PIDBOX = "celery.pidbox"
"""The exchange of Celery's remote control."""
DATA_KEPT = 65_536
REASON_KEPT = 500
_CONTENT = ("application/json", "utf-8")
_ODD = ("compression", "eta", "expires")
"""Headers that a training task is never sent with."""


kombu: Any = redis_transport  # most of it has no types


NEXT_SECONDS = 0.05
"""Longest wait at the broker for the next task of a slot that is about to come free: it may not come free after all."""


class Gate(Protocol):
    """Says whether a task may be taken from the queue."""

    def is_open(self) -> bool:
        """Whether one may be taken now."""

    @property
    def is_for_the_next(self) -> bool:
        """Whether no slot is free, and a task that is taken now is the next one of a slot that is about to be."""

    def retire(self, why: str) -> None:
        """Has the worker take no more: it does not understand the control plane."""


class AlwaysOpen:
    """The gate of a connection that has no pool behind it."""

    is_for_the_next = False

    def is_open(self) -> bool:
        return True

    def retire(self, why: str) -> None:
        """Does nothing."""


class Channel(kombu.Channel):  # type: ignore[misc]
    """A channel that hands over training tasks and nothing else."""

    keyring: Keyring = UNSIGNED
    queues: tuple[str, ...] = ()
    gate: Gate = AlwaysOpen()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._poll_client: tuple[Any, int] = (None, 0)
        super().__init__(*arguments, **options)
        try:
            # Before Celery begins its loop: one that could not go on would begin again at once.
            lists = [self._q_for_pri(queue, step) for queue in self.queues for step in self.priority_steps]
            prefixes = (self.keyprefix_queue, self.keyprefix_binding_permanent)
            sets = [prefix % exchange for prefix in prefixes for exchange in (*self.queues, PIDBOX)]
            self.client.check(self.unacked_index_key, self.unacked_key, lists, sets)
        except Exception:
            self._disconnect_pools()
            raise

    def _get_client(self) -> type[PatientClient]:
        super()._get_client()
        return PatientClient

    @property
    def is_asking(self) -> bool:
        """Whether a task may arrive that has been asked for."""
        return bool(self._in_poll)

    def _brpop_start(self, timeout: float | None = None) -> None:
        connection = self.client.connection
        if self._poll_client[0] is not connection:
            connection.send_command("CLIENT", "ID")
            self._poll_client = (connection, connection.read_response())
        super()._brpop_start(NEXT_SECONDS if self.gate.is_for_the_next else timeout)

    def close(self) -> None:
        """Closes; kombu waits for the answer to what was asked last, which is up to a second."""
        if self._in_poll:
            # Where the user of Redis may not do this, it is waited for.
            with contextlib.suppress(redis.RedisError), self.conn_or_acquire() as client:
                client.client_unblock(self._poll_client[1])
        super().close()

    def _brpop_read(self, **options: Any) -> bool:
        # A copy of kombu's method, but for the last step: there is no other way to the item as it is.
        try:
            try:
                found = self.client.parse_response(self.client.connection, "BRPOP", **options)
            except self.connection_errors:
                self.client.connection.disconnect()
                raise
            if not found:
                raise Empty
            queue = found[0].decode().rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            self._hand_over(found[0], queue, found[1])
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _hand_over(self, place: bytes, queue: str, item: bytes) -> None:
        if not self.gate.is_open():
            # It has closed since the task was asked for.
            self._put_back(place, item)
            return
        try:
            message = json.loads(item)
            self._check(message)
        except Exception as error:  # whatever a parser may raise, and none of it may end the worker
            if isinstance(error, OtherVersion | Unsigned) and (why := self._misfit()):
                self.gate.retire(why)
                self._put_back(place, item)
            else:
                self._keep_aside(queue, item, f"{type(error).__name__}: {error}")
            return
        try:
            self.connection._deliver(message, queue)
        except redis.exceptions.OutOfMemoryError:
            about = {"action": "redis_full", "token": message["headers"]["id"]}
            log.error("redis is full (maxmemory): a task could not be taken up; it is sent again", extra=about)

    def _check(self, message: Any) -> None:
        headers = message["headers"]
        if headers["task"] != TRAIN or not isinstance(headers["id"], str):
            raise Malformed(f"not a training task: {headers['task']!r:.100}")
        if (content := (message["content-type"], message["content-encoding"])) != _CONTENT:
            raise Malformed(f"its content is {content!r:.100}, not {_CONTENT}")
        arguments, options, embedded = self.Message(message, channel=self).decode()
        limits = headers.get("timelimit") or ()
        if options or any(embedded.values()) or any(map(headers.get, _ODD)) or any(limits):
            raise Malformed("it asks for more than to train")
        (payload,) = arguments
        self._check_signature(payload, headers.get(SIGNATURE))
        job = job_from_payload(payload)
        if job.token != headers["id"]:
            raise Malformed("the task's id is not its attempt's")
        log_lines.remember(job)

    def _check_signature(self, payload: Any, signature: Any) -> None:
        if self.keyring:
            self.keyring.verify(Purpose.JOB, signable(payload), bytes.fromhex(signature or ""))
        elif signature:
            raise Unsigned("signed, and there is no key here")

    def _misfit(self) -> str:
        """Returns why this worker cannot serve the control plane; empty where it can, or that is unknown."""
        with contextlib.suppress(redis.RedisError), self.conn_or_acquire() as client:
            return version_mismatch(client.get(redis_keys.ANNOUNCEMENT), self.keyring)
        return ""

    def _put_back(self, place: bytes, item: bytes) -> None:
        # At the end from which it came. Should this fail: the control plane sends again what has not started.
        with contextlib.suppress(redis.RedisError), self.conn_or_acquire() as client:
            client.rpush(place, item)

    def _keep_aside(self, queue: str, item: bytes, reason: str) -> None:
        log.error("not a training task, kept aside: %s", reason, extra={"action": "dead_letter"})
        fields = {"data": item[:DATA_KEPT], "reason": f"queue {queue}: {reason}"[:REASON_KEPT]}
        with contextlib.suppress(redis.RedisError), self.conn_or_acquire() as client:
            client.xadd(redis_keys.DEAD_LETTERS, fields, maxlen=redis_keys.DEAD_LETTERS_KEPT)


class Transport(kombu.Transport):  # type: ignore[misc]
    """kombu's transport for Redis with such channels."""

    Channel = Channel


def install(keyring: Keyring, queues: tuple[str, ...], gate: Gate) -> None:
    """Makes this the transport of every broker connection of this process.

    Args:
        keyring: Verifies tasks.
        queues: Queues of this process.
        gate: Says whether a task may be taken; retires when this worker turns out not to understand the control plane.
    """
    Channel.keyring = keyring
    Channel.queues = queues
    Channel.gate = gate
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"
