"""What the control plane sends is what a worker's channel hands over, and nothing else is; on a real Redis."""

from __future__ import annotations

import base64
import contextlib
import json
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty
from typing import Any

import kombu
import pytest
import redis

from orchestrator.messaging.dispatch import Dispatcher, step_of
from orchestrator.messaging.event_stream import EventStream
from tasks import flower_row, redis_keys
from tasks.app import SIGNATURE, TRAIN, connect, create_app
from tasks.codec import encode, job_to_payload, signable
from tasks.contract import VERSION, Announcement, Job, Parameter
from tasks.server_errors import unavailable
from tasks.signing import SIGNING_KEY, UNSIGNED, Keyring, Purpose
from tasks.worker import kombu_transport
from tasks.worker.consumer import WrongType
from tests.servers import Redis

KEY, OTHER = Keyring(["0123456789abcdef" * 2]), Keyring(["fedcba9876543210" * 2])
QUEUE = "trials"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    # The path of a socket may be no longer than some hundred characters.
    with tempfile.TemporaryDirectory() as folder:
        made = Redis(tmp_path_factory.mktemp("redis"), "--unixsocket", f"{folder}/redis.sock")
        made.start()
        yield made
        made.close()


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


@pytest.fixture
def worker(server: Redis) -> Iterator[Worker]:
    client = connect(server.url)
    client.flushall()
    yield Worker(client, server.url)
    client.close()


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


@pytest.mark.parametrize("sender", [UNSIGNED, OTHER])
def test_a_job_without_a_valid_signature_is_kept_aside(worker: Worker, sender: Keyring) -> None:
    worker.send(sender, a_job())
    assert worker.work(KEY) == 0
    (reason,) = worker.dead()
    assert reason.startswith(f"queue {QUEUE}: Unsigned: ")


def test_the_signature_of_one_job_does_not_serve_another(worker: Worker) -> None:
    def change(message: dict[str, Any]) -> None:
        body = json.loads(base64.b64decode(message["body"]))
        body[0][0]["objective"] = "os:system"
        message["body"] = base64.b64encode(json.dumps(body).encode()).decode()

    worker.send(KEY, a_job())
    worker.change(change)
    assert worker.work(KEY) == 0
    assert "no key that is known here" in worker.dead()[0]


@pytest.mark.parametrize("signature", [1, "zz", {"a": 1}, "", None])
def test_a_signature_that_is_none(worker: Worker, signature: Any) -> None:
    worker.send(KEY, a_job())
    worker.change(lambda message: message["headers"].update(signature=signature))
    assert worker.work(KEY) == 0
    assert len(worker.dead()) == 1


class Canary:
    """Its pickle makes a file when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("content", ["application/x-python-serialize", "application/json", "application/data", None])
def test_a_pickle_is_never_read(worker: Worker, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "alive"
    pickled = pickle.dumps([[Canary(file)], {}, {}])

    def change(message: dict[str, Any]) -> None:
        message["content-type"] = content
        message["content-encoding"] = "binary"
        message["body"] = base64.b64encode(pickled).decode()

    worker.send(UNSIGNED, a_job())
    worker.change(change)
    # Not even where something else in the process has allowed it.
    kombu.enable_insecure_serializers(["pickle"])
    try:
        assert worker.work(UNSIGNED) == 0
    finally:
        kombu.disable_insecure_serializers(["json"])
    assert len(worker.dead()) == 1
    assert not file.exists()
    pickle.loads(pickled)
    assert file.exists(), "this canary cannot sing"


def embed(message: dict[str, Any], **more: Any) -> None:
    body = json.loads(base64.b64decode(message["body"]))
    body[2].update(more)
    message["body"] = base64.b64encode(json.dumps(body).encode()).decode()


@pytest.mark.parametrize(
    "change",
    [
        lambda message: embed(message, callbacks=[{"task": "train", "args": [], "kwargs": {}, "options": {}}]),
        lambda message: embed(message, chain=[{"task": "train"}]),
        lambda message: message["headers"].update(eta="2999-01-01T00:00:00"),
        lambda message: message["headers"].update(timelimit=[0.1, None]),
        lambda message: message["headers"].update(compression="application/x-gzip"),
    ],
)
def test_a_task_that_asks_for_more_than_to_train_is_kept_aside(
    worker: Worker, change: Callable[[dict[str, Any]], object]
) -> None:
    worker.send(KEY, a_job())
    worker.change(change)
    assert worker.work(KEY) == 0
    assert len(worker.dead()) == 1


# -- versions, and sides that do not fit --------------------------------------------------------------------------


def test_a_job_of_the_version_before_is_taken(worker: Worker) -> None:
    worker.send(UNSIGNED, a_job(version=VERSION - 1))
    assert worker.work(UNSIGNED) == 1


@pytest.mark.parametrize("version", [VERSION - 2, VERSION + 1, 10**400])
def test_a_job_of_another_version_that_was_not_announced_is_set_aside(worker: Worker, version: int) -> None:
    EventStream(worker.client).prepare()
    worker.send(UNSIGNED, a_job(version=version))
    assert worker.work(UNSIGNED) == 0
    assert len(worker.dead()) == 1
    assert worker.reasons == []


def announce(worker: Worker, keyring: Keyring, version: int = VERSION) -> None:
    sealed = keyring.seal(Purpose.ANNOUNCEMENT, encode(Announcement(version=version)))
    worker.client.set(redis_keys.ANNOUNCEMENT, sealed)


@pytest.mark.parametrize(
    ("sender", "job", "version", "keyring", "why"),
    [
        (UNSIGNED, a_job(version=VERSION + 1), VERSION + 1, UNSIGNED, "upgrade this worker"),
        (KEY, a_job(version=VERSION + 1), VERSION + 1, KEY, "upgrade this worker"),
        (KEY, a_job(), VERSION, UNSIGNED, SIGNING_KEY),
        (UNSIGNED, a_job(), VERSION, KEY, SIGNING_KEY),
        (OTHER, a_job(), VERSION, KEY, SIGNING_KEY),
    ],
)
def test_a_worker_that_is_behind_gives_the_job_back_and_retires(
    worker: Worker, sender: Keyring, job: Job, version: int, keyring: Keyring, why: str
) -> None:
    worker.send(sender, job)
    announce(worker, sender, version)
    assert worker.work(keyring) == 0
    assert worker.dead() == []
    (reason,) = worker.reasons
    assert why in reason
    worker.reasons.clear()
    # Another one takes it.
    assert worker.work(sender) == (version == VERSION)


def test_a_job_whose_control_plane_has_stopped_signing_is_sent_again(worker: Worker) -> None:
    worker.send(KEY, a_job())
    EventStream(worker.client).prepare()
    assert worker.work(UNSIGNED) == 0
    assert (len(worker.dead()), worker.reasons) == (1, [])


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
