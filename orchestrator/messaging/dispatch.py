"""The control plane's access to Celery: sends and revokes tasks, and lists those that wait in a queue."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any

import redis

from orchestrator.messaging.publishing import NAME, Command, Pattern, Transport, take_recorded
from tasks import flower_row
from tasks.app import SIGNATURE, STOP_SIGNAL, TRAIN, broker_url, create_app
from tasks.codec import job_to_payload, signable
from tasks.contract import Job
from tasks.server_errors import is_wrong_type, wrong_type
from tasks.signing import UNSIGNED, Keyring, Purpose

log = logging.getLogger(__name__)

_SEPARATOR = "\x06\x16"
_STEPS = (0, 3, 6, 9)
"""kombu keeps a list for each of these, and Redis has the lowest number first."""


class Dispatcher:
    """Sends and revokes training tasks.

    Args:
        redis_url: The broker.
        client: A Redis client, for looking into queues.
        keyring: Signs the jobs.
    """

    def __init__(self, redis_url: str, client: redis.Redis, keyring: Keyring = UNSIGNED) -> None:
        self._app = create_app(redis_url)
        # What stands before a plus in the scheme takes the place of the transport.
        url = broker_url(redis_url).replace("redis+", f"{NAME}+", 1)
        self._app.conf.update(broker_transport=Transport, broker_url=url)
        self._client = client
        self._keyring = keyring
        self._said: set[str] = set()
        # By queue and priority.
        self._patterns: dict[tuple[str, int], Pattern] = {}

    def send(self, job: Job, queue: str, *, priority: int) -> None:
        """Puts a job into its queue, its token as task id; see ``step_of`` for what goes before it.

        Should the broker not be available, sending again is harmless.
        """
        payload = job_to_payload(job)
        headers = {}
        if self._keyring:
            headers[SIGNATURE] = self._keyring.sign(Purpose.JOB, signable(payload)).hex()
        shown = flower_row.arguments(job, flower_row.values(job))
        kind = queue, step_of(priority)
        pattern = self._patterns.get(kind)
        if pattern is None:
            commands = self._made_by_celery(*kind, job.token, payload, shown, headers)
            self._patterns[kind] = Pattern(commands)
        else:
            commands = pattern.commands(job.token, payload, shown, headers, self._app.clock.forward())
        # The task, and Celery's event that it was sent, in one round trip.
        pipe: Any = self._client.pipeline(transaction=False)
        for command in commands:
            pipe.execute_command(*command)
        pipe.execute()

    def _made_by_celery(
        self, queue: str, step: int, token: str, payload: Any, shown: str, headers: dict[str, str]
    ) -> list[Command]:
        with self._app.producer_or_acquire() as producer:
            with producer.batch():
                self._app.send_task(
                    TRAIN,
                    (payload,),
                    task_id=token,
                    queue=queue,
                    priority=step,
                    retry=False,
                    headers=headers,
                    argsrepr=shown,
                    producer=producer,
                )
            return take_recorded(producer.channel)

    def revoke(self, token: str) -> None:
        """Rings the keeper of an attempt and keeps its task from starting if it has not."""
        self._app.control.revoke(token, terminate=True, signal=STOP_SIGNAL)

    def waiting(self, queues: Iterable[str]) -> set[str]:
        """Returns the tokens whose tasks wait in these queues."""
        found = set()
        for queue in queues:
            for name in queue_names(queue):
                for message in self._items(name):
                    try:
                        found.add(str(json.loads(message)["headers"]["id"]))
                    except (ValueError, KeyError, TypeError):
                        continue
        return found

    def lengths(self, queue: str) -> list[int]:
        """Returns how many tasks wait in a queue, by class of priority, the soonest first."""
        pipe = self._client.pipeline(transaction=False)
        for name in queue_names(queue):
            pipe.llen(name)
        found = pipe.execute(raise_on_error=False)
        for error in found:
            if isinstance(error, Exception) and not is_wrong_type(error):
                raise error
        return [0 if isinstance(length, Exception) else length for length in found]

    def _items(self, name: str) -> list[bytes | str]:
        try:
            return list(self._client.lrange(name, 0, -1))
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            if name not in self._said:
                self._said.add(name)
                log.error("%s", wrong_type(name, "list"), extra={"action": "passed_over"})
            return []

    def close(self) -> None:
        self._app.close()


def step_of(priority: int) -> int:
    """Returns to which of a queue's lists a priority belongs: 7 to 9 to the first, 0 to the last."""
    return max(step for step in _STEPS if step <= _STEPS[-1] - priority)


def class_of(step: int) -> int:
    """Returns the place of one of a queue's lists among them: 0 is taken from first."""
    return _STEPS.index(step)


def queue_names(queue: str) -> list[str]:
    """Returns the Redis lists that make up one queue: one for each step of priority."""
    return [queue if step == 0 else f"{queue}{_SEPARATOR}{step}" for step in _STEPS]


def queue_lengths(client: redis.Redis, queues: Iterable[str]) -> dict[str, int]:
    """Returns how many tasks wait in each of these queues.

    Raises:
        redis.RedisError: the server is away.
    """
    names = sorted(queues)
    pipe = client.pipeline(transaction=False)
    for queue in names:
        for name in queue_names(queue):
            pipe.llen(name)
    lengths = iter(pipe.execute())
    return {queue: sum(next(lengths) for _ in _STEPS) for queue in names}
