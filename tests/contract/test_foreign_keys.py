"""What others put where the control plane keeps its own: keys of another type in Redis, rows that are no JSON."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis
import sqlalchemy

from orchestrator.common.clock import Clock
from orchestrator.control.assembly import Options, make_controller
from orchestrator.control.ports import Ports
from orchestrator.messaging.dispatch import Dispatcher, queue_names
from orchestrator.messaging.event_stream import EventStream
from orchestrator.spec.model import validate
from orchestrator.storage.command_table import CommandTable
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.store import Store
from tasks import redis_keys
from tasks.app import connect
from tasks.codec import encode
from tasks.contract import Epoch, Event, Finished, Started, Suggest
from tasks.server_errors import wrong_type
from tests.servers import Redis
from tests.simulated.course import Files
from tests.simulated.direct_replicas import DirectReplicas
from tests.simulated.memory_files import MemoryFiles

SEARCH: dict[str, Any] = {
    "objective": "somewhere:objective",
    "trials": 2,
    "seed": 3,
    "sampler": {"name": "random"},
}
FLOAT = '{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 1.0, "log": false}}'


class World:
    """A control plane on a real Redis and a real database, for two studies with a queue each."""

    def __init__(self, client: redis.Redis, redis_url: str, url: str, closing: ExitStack) -> None:
        self.client = client
        self.database = Database(url)
        closing.callback(self.database.close)
        lease = WriterLease(self.database, 60.0)
        assert lease.acquire() is None
        self.store = Store(self.database, lease)
        closing.callback(self.store.close)
        for name in ("study", "other"):
            self.store.create(validate(SEARCH | {"name": name, "queue": f"queue-of-{name}"}, "test"), 1e9)
        self.orders = CommandTable(self.database)
        bins = MemoryFiles(Files())
        broker = Dispatcher(redis_url, client)
        closing.callback(broker.close)
        replicas = DirectReplicas(Clock())
        ports = Ports(self.store, EventStream(client), broker, bins, bins, replicas=replicas)
        self.plane = make_controller(ports, Options(6.0, 0.1))

    def say(self, study: str, *bodies: Any, first: int = 1) -> None:
        """Says this of the first attempt of a study, as its keeper would."""
        (token,) = [row.token for row in self.store.load(study).attempts if row.trial == 0]
        for seq, body in enumerate(bodies, first):
            event = Event(token=token, runner=f"runner-of-{study}", seq=seq, body=body)
            self.client.xadd(redis_keys.EVENTS, {redis_keys.EVENT_FIELD: encode(event)})

    def go_on(self, until: Callable[[], object], what: str) -> None:
        for _ in range(100):
            self.plane.run_once()
            if until():
                return
        raise AssertionError(what)

    def trial(self, study: str) -> Any:
        return self.store.load(study).trials[0]

    def train(self, study: str, value: float) -> None:
        """Lets the first trial of a study train to its end."""
        self.say(study, Started(host="h", pid=1, slot="s"), Suggest(name="x", distribution=FLOAT))
        self.go_on(lambda: "x" in self.trial(study).params, f"{study} is given a parameter")
        self.say(study, Epoch(step=0, value=value), Finished(values=(value,)), first=3)
        self.go_on(lambda: self.trial(study).state.name == "COMPLETE", f"{study} has trained")


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.close()


@pytest.fixture
def world(own_redis: str, sqlite: str) -> Iterator[World]:
    client = connect(own_redis)
    client.flushall()
    with ExitStack() as closing:
        closing.callback(client.close)
        yield World(client, own_redis, sqlite, closing)


def said(caplog: pytest.LogCaptureFixture, key: str) -> list[str]:
    return [each.getMessage() for each in caplog.records if key in each.getMessage()]


def break_key(client: redis.Redis, key: str) -> None:
    """Puts something there that is neither a stream nor a list."""
    client.delete(key)
    client.hset(key, "a", "b")


@pytest.mark.parametrize(
    "key",
    [
        redis_keys.notices("study"),
        redis_keys.DEAD_LETTERS,
        redis_keys.replies("runner-of-study"),
        redis_keys.answer("key"),
        redis_keys.ANNOUNCEMENT,
        redis_keys.PROBE,
        "confirmation",
    ],
)
def test_a_key_of_another_type_costs_nothing(world: World, key: str, caplog: pytest.LogCaptureFixture) -> None:
    if key == "confirmation":
        world.plane.start()
        key = redis_keys.confirmation(world.store.load("study").attempts[0].token)
        break_key(world.client, key)
    else:
        break_key(world.client, key)
        world.plane.start()
    world.client.xadd(redis_keys.EVENTS, {redis_keys.EVENT_FIELD: b"no event"})
    world.orders.issue("key", "me", "pause", "other", {})
    world.client.xadd(redis_keys.EVENTS, {"ring": redis_keys.DOORBELL})
    world.train("study", 0.5)
    world.train("other", 0.25)
    assert world.orders.answer("key") is not None
    assert world.client.xlen(redis_keys.EVENTS) == 0
    assert world.store.suspended() == {}
    if key in (redis_keys.notices("study"), redis_keys.DEAD_LETTERS):
        assert said(caplog, key) == [
            f"redis key {key} holds something that is no stream; 'redis-cli DEL {key}' helps, nothing is lost by it"
        ]
    elif key != redis_keys.PROBE and world.client.exists(key):
        assert world.client.type(key) != b"hash", "what belongs there has taken its place"


@pytest.mark.parametrize("step", range(4))
def test_a_queue_of_another_type_stops_the_studies_that_use_it_alone(
    world: World, step: int, caplog: pytest.LogCaptureFixture
) -> None:
    key = queue_names("queue-of-study")[step]
    break_key(world.client, key)
    world.plane.start()
    world.train("other", 0.25)
    # What waits nowhere is looked for once in a while.
    world.plane.recovery.reconcile()
    assert world.store.suspended() == {}
    assert len(said(caplog, wrong_type(key, "list"))) == 1
    world.client.delete(key)
    world.go_on(lambda: any(map(world.client.llen, queue_names("queue-of-study"))), "its tasks are sent")
    world.train("study", 0.5)


def test_a_stream_of_another_type_is_waited_for(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.plane.start()
    break_key(world.client, redis_keys.EVENTS)
    for _ in range(4):
        world.plane.run_once()
    assert len(said(caplog, f"'redis-cli DEL {redis_keys.EVENTS}' helps")) == 1
    world.client.delete(redis_keys.EVENTS)
    world.plane.run_once()
    world.train("study", 0.5)
    world.train("other", 0.25)


NOT_UTF_8 = "CAST(X'FFFE' AS TEXT)"
"""SQLite stores it as text all the same."""

ROWS = {
    "no JSON": ("pause", "{"),
    "not an object": ("pause", "[1, 2]"),
    "a number": ("submit", "7"),
    "too deep": ("enqueue", '{"params": ' + "[" * 100_000 + "]" * 100_000 + "}"),
    "bytes": ("retry", b"\xff\xfe"),
    "text that is no UTF-8": ("retry", NOT_UTF_8),
    "parameters of another type": ("enqueue", '{"params": [1]}'),
    "a spec of another type": ("submit", '{"format": 1, "name": ["x"]}'),
    "a trial of another type": ("retry", '{"trial": {"number": 0}}'),
    "no operation": ("\ufffd", "{}"),
}


@pytest.mark.parametrize("row", ROWS)
def test_a_command_that_cannot_be_read_is_answered_once(
    world: World, row: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    operation, payload = ROWS[row]
    value = payload if payload == NOT_UTF_8 else ":payload"
    with world.database.write() as connection:
        connection.execute(
            sqlalchemy.text(
                "INSERT INTO orchestrator_commands (key, issuer, operation, study, payload, created)"
                f" VALUES ('key', 'me', :operation, 'study', {value}, 0)"
            ),
            {"operation": operation} | ({} if payload == NOT_UTF_8 else {"payload": payload}),
        )
    world.plane.start()
    world.go_on(lambda: world.orders.answer("key"), "it is answered")
    assert '"error"' in str(world.orders.answer("key"))
    assert world.store.pending_commands() == []
    world.train("study", 0.5)
    world.train("other", 0.25)
    assert world.store.suspended() == {}
    assert len(caplog.records) <= 1
