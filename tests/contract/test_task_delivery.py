"""What the control plane sends is what a worker's channel hands over; on a real Redis."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import kombu
import pytest
import redis
from queue_worker import KEY, QUEUE, Worker, a_job

from orchestrator.messaging.dispatch import Dispatcher, step_of
from tasks import flower_row
from tasks.app import SIGNATURE, TRAIN, create_app
from tasks.codec import job_to_payload, signable
from tasks.contract import Parameter
from tasks.server_errors import unavailable
from tasks.signing import UNSIGNED, Keyring, Purpose
from tasks.worker import kombu_transport
from tasks.worker.consumer import WrongType


@pytest.mark.parametrize("sender", [UNSIGNED, KEY])
def test_what_is_sent_is_taken(worker: Worker, sender: Keyring) -> None:
    worker.send(sender, a_job())
    assert worker.work(sender) == 1
    assert worker.dead() == []


@pytest.fixture
def set_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets this process's time zone."""

    def change(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield change
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("keyring", "socket"), [(UNSIGNED, False), (KEY, True)])
def test_what_is_sent_is_what_celery_sends_in_one_round_trip(
    worker: Worker, keyring: Keyring, socket: bool, set_zone: Callable[[str], None]
) -> None:
    path: Any = worker.client.config_get("unixsocket")
    app = create_app(worker.url)
    dispatcher = Dispatcher(f"unix://{path['unixsocket']}" if socket else worker.url, worker.client, keyring)
    events = worker.client.pubsub()
    events.psubscribe("*celeryev*")
    params = {"x": Parameter(value=0.5, distribution="")}
    for number in range(7):
        # Summer time begins, and a task that Celery has made before is the pattern all the same.
        set_zone("CET-1" if number < 3 else "CEST-2")
        job = a_job(token=f"token-{number}", trial=number, params=params if number % 2 else {})
        payload = job_to_payload(job)
        headers = {SIGNATURE: keyring.sign(Purpose.JOB, signable(payload)).hex()} if keyring else {}
        shown = flower_row.arguments(job, flower_row.values(job))
        app.send_task(
            TRAIN,
            (payload,),
            task_id=job.token,
            queue=QUEUE,
            priority=step_of(5),
            retry=False,
            headers=headers,
            argsrepr=shown,
        )
        worker.client.config_resetstat()
        dispatcher.send(job, QUEUE, priority=5)
        stats: Any = worker.client.info("stats")
        # One is this very question; the first task declares the queue, and makes a connection.
        assert number == 0 or stats["total_reads_processed"] <= 3
        (name,) = worker.client.keys(f"{QUEUE}*")
        ours, theirs = (json.loads(data) for data in worker.client.lrange(name, 0, -1))
        worker.client.delete(name)
        tags = [message["properties"].pop("delivery_tag") for message in (ours, theirs)]
        assert len({*tags}) == 2
        for message in (ours, theirs):
            # Of the application that sends.
            assert message["properties"].pop("reply_to")
        assert ours == theirs
        first, second = (told(events) for _ in range(2))
        assert first["clock"] <= second["clock"] + 1
        for event in (first, second):
            del event["timestamp"], event["clock"]
        assert first == second
        assert (first["type"], first["uuid"]) == ("task-sent", job.token)
    events.close()
    dispatcher.close()
    app.close()


def told(events: Any) -> dict[str, Any]:
    """Waits for the next event of Celery's."""
    while (message := events.get_message(ignore_subscribe_messages=True, timeout=60.0)) is None:
        pass
    body: dict[str, Any] = json.loads(base64.b64decode(json.loads(message["data"])["body"]))
    return body


def test_a_message_makes_no_client_anew(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    dispatcher = Dispatcher(worker.url, worker.client)
    made: list[object] = []
    make = redis.Redis.__init__

    def noted(client: redis.Redis, *args: Any, **options: Any) -> None:
        made.append(client)
        make(client, *args, **options)

    monkeypatch.setattr(redis.Redis, "__init__", noted)
    counts = []
    for _ in range(3):
        dispatcher.send(a_job(), QUEUE, priority=5)
        dispatcher.revoke("token")
        counts.append(len(made))
    assert counts == [counts[0]] * 3
    dispatcher.close()


WRONG = {
    QUEUE: "list",
    f"{QUEUE}\x06\x163": "list",
    "unacked": "hash",
    "unacked_index": "sorted set",
    f"_kombu.binding.{QUEUE}": "set",
    "_kombu.binding.celery.pidbox": "set",
}


@pytest.mark.parametrize("key", WRONG)
def test_a_key_of_another_type_is_as_good_as_no_server_and_named(
    worker: Worker, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kombu_transport.Channel, "queues", (QUEUE,))
    worker.client.set(key, "something else")
    with kombu.Connection(worker.url, transport=kombu_transport.Transport) as connection:
        with pytest.raises(connection.connection_errors, match=f"holds something that is no {WRONG[key]}") as raised:
            connection.connect()
        found = unavailable(raised.value)
        assert found is not None
        assert key in found.reason.encode().decode("unicode_escape")
        worker.client.delete(key)
        connection.connect()


def test_a_queue_that_becomes_something_else_ends_the_connection_alone(worker: Worker) -> None:
    worker.client.set(QUEUE, "something else")
    with pytest.raises(WrongType) as raised:
        worker.work(UNSIGNED)
    assert isinstance(raised.value, redis.ConnectionError)
    worker.client.delete(QUEUE)
    worker.send(UNSIGNED, a_job())
    assert worker.work(UNSIGNED) == 1


def test_a_task_that_comes_to_a_closed_gate_is_still_the_first_of_its_queue(worker: Worker) -> None:
    for trial in range(2):
        worker.send(UNSIGNED, a_job(token=f"token-{trial}", trial=trial))
    (name,) = worker.client.keys(f"{QUEUE}*")
    before = worker.client.lrange(name, 0, -1)
    worker.gate.open = False
    assert worker.ask() == 0
    assert worker.client.lrange(name, 0, -1) == before
    assert worker.client.exists("unacked") == 0
    worker.gate.open = True
    assert worker.work(UNSIGNED) == 2
    assert [message["headers"]["id"] for message in worker.taken] == ["token-0", "token-1"]
