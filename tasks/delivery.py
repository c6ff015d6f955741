"""Taking tasks from their queue so that nothing that lies in it can end a worker.

kombu parses an item in the worker's event loop, where whatever it raises is the end of the worker; an item that is put
back then ends the next one. Here an item that is no training task is kept aside, and one that could not be taken up
is left to the control plane, which sends again what has not started.
"""

from __future__ import annotations

import contextlib
import json
import logging
from queue import Empty
from typing import Any

import redis
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as redis_transport

from tasks import keys, log_lines
from tasks.app import TRAIN
from tasks.codec import Malformed, job_from_payload

log = logging.getLogger("tasks.delivery")

DATA_KEPT = 65_536
REASON_KEPT = 500


kombu: Any = redis_transport  # some of it has types, most of it has not


class Channel(kombu.Channel):  # type: ignore[misc]
    """A channel that hands over training tasks and nothing else."""

    def _brpop_read(self, **options: Any) -> bool:
        # kombu's own, with what it does with an item taken out: the item is not to be had from outside.
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
            self._hand_over(queue, found[1])
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _hand_over(self, queue: str, item: bytes) -> None:
        try:
            message = json.loads(item)
            self._check(message)
        except Exception as error:  # whatever a parser may raise, and none of it may end the worker
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
        arguments, _, _ = self.Message(message, channel=self).decode()
        job = job_from_payload(*arguments)
        if job.token != headers["id"]:
            raise Malformed("the task's id is not its attempt's")
        log_lines.see(job)

    def _keep_aside(self, queue: str, item: bytes, reason: str) -> None:
        log.error("not a training task, kept aside: %s", reason, extra={"action": "dead_letter"})
        fields = {"data": item[:DATA_KEPT], "reason": f"queue {queue}: {reason}"[:REASON_KEPT]}
        with contextlib.suppress(redis.RedisError), self.conn_or_acquire() as client:
            client.xadd(keys.DEAD_LETTERS, fields, maxlen=keys.DEAD_LETTERS_KEPT)


class Transport(kombu.Transport):  # type: ignore[misc]
    """kombu's transport for Redis with such channels."""

    Channel = Channel


def use() -> None:
    """Makes every broker connection of this process one of these."""
    for scheme in ("redis", "rediss"):
        TRANSPORT_ALIASES[scheme] = f"{__name__}:{Transport.__name__}"
