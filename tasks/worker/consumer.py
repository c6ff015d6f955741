"""Celery's consumer, which waits for a Redis that is not available and says so once, whatever Redis answers meanwhile.

Celery begins its loop anew when a connection is lost, and ends at an error that Redis answers. Here an answer that
passes counts as a lost connection, and there is a new one only when Redis takes what is written to it, and each key of
Celery's holds what belongs there.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import celery.worker.consumer
import redis
from celery.worker.consumer import consumer as celery_consumer
from celery.worker.state import maybe_shutdown
from redis.client import Pipeline

from tasks.server_errors import Contact, Outage, is_wrong_type, unavailable, wrong_type

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 2.0
"""Seconds between two tries to reach Redis again; Celery's own pauses grow to 30."""


class NotNow(redis.ConnectionError):
    """Redis does not do it at the moment."""


class WrongType(NotNow):
    """A key of Celery's holds something else; which one, the next connection says."""


class PatientClient(redis.Redis):
    """A client to which an answer that passes is a lost connection."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        with _passing():
            return super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: Any = True, shard_hint: Any = None) -> Pipeline:
        return _PatientPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    def pubsub(self, **options: Any) -> redis.client.PubSub:
        return _PatientPubSub(self.connection_pool, **options)

    def check(self, index: str, unacked: str, lists: Iterable[str], sets: Iterable[str]) -> None:
        """Returns if the server takes what is written to it, and these keys hold what their names say.

        Args:
            index, unacked: A sorted set and a hash, which do not change.
            lists, sets: Keys of these types.

        Raises:
            NotNow: it does not, or a key holds something else.
        """
        probes: list[tuple[Callable[[], object], str, str]] = [
            (lambda: self.zrem(index, ""), index, "sorted set"),
            (lambda: self.hget(unacked, ""), unacked, "hash"),
            *((partial(self.llen, key), key, "list") for key in lists),
            *((partial(self.smembers, key), key, "set") for key in sets),
        ]
        for probe, key, kind in probes:
            wrong = False
            try:
                probe()
            except WrongType:
                wrong = True
            except redis.ResponseError:
                continue  # a right that is lacking is asked for where it is needed
            if wrong:
                # Out of the handler: what an error came of is taken for its reason.
                raise NotNow(wrong_type(key, kind))


class _PatientPipeline(Pipeline):
    def execute(self, raise_on_error: bool = True) -> list[Any]:
        with _passing():
            return super().execute(raise_on_error)


class _PatientPubSub(redis.client.PubSub):
    def parse_response(self, *arguments: Any, **options: Any) -> Any:
        with _passing():
            return super().parse_response(*arguments, **options)  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _passing() -> Iterator[None]:
    try:
        yield
    except redis.RedisError as error:
        if is_wrong_type(error):
            raise WrongType(str(error)) from error
        found = unavailable(error)
        passes = found is not None and found.contact is Contact.NOT_NOW
        # A server that is full still hands over tasks.
        if found is None or not passes or found.full or isinstance(error, redis.ConnectionError):
            raise
        raise NotNow(found.reason) from error


class Consumer(celery.worker.consumer.Consumer):  # type: ignore[misc]
    """A consumer for Celery's setting ``worker_consumer``."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._outage = Outage(log, "redis", "what is trained goes on")
        celery_consumer.logger.addFilter(_is_not_of_connections)

    def ensure_connected(self, connection: Any) -> Any:
        made = connection.ensure_connection(
            lambda error, _: self._lose(error),
            None,
            interval_start=FIRST_PAUSE,
            interval_step=FIRST_PAUSE,
            interval_max=LONGEST_PAUSE,
            callback=maybe_shutdown,
        )
        self._outage.end()
        self.first_connection_attempt = False
        return made

    def on_connection_error_before_connected(self, error: Exception) -> None:
        self._lose(error)

    def on_connection_error_after_connected(self, error: Exception) -> None:
        self._lose(error)
        super().on_connection_error_after_connected(error)

    def _lose(self, error: Exception) -> None:
        found = None if isinstance(error, WrongType) else unavailable(error)
        if found is not None:
            self._outage.begin(found)
        else:
            log.warning("the connection to redis was lost: %r", error, extra={"action": "connection_lost"})


def drop_traceback(record: logging.LogRecord) -> bool:
    """Leaves a line about an answer that passes without its traceback, whichever part of Celery writes it: that of an
    acknowledgement, say. The filter of a log's handlers; lets every line pass."""
    if record.exc_info and isinstance(record.exc_info[1], NotNow):
        record.exc_info = record.exc_text = None
    return True


def _is_not_of_connections(record: logging.LogRecord) -> bool:
    """Keeps back what Celery says of lost connections, at every try."""
    first = record.args[0] if isinstance(record.args, tuple) and record.args else None
    said = celery_consumer.CONNECTION_ERROR, celery_consumer.CONNECTION_RETRY
    return record.msg not in said and first not in said
