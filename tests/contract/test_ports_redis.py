"""What the control plane relies on, of Redis and Celery as of what stands for them in simulations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import kombu
import pytest

from orchestrator.common.clock import Clock
from orchestrator.common.errors import ConsumerGroupMissing
from orchestrator.control.ports import Broker, Stream
from orchestrator.messaging.dispatch import Dispatcher
from orchestrator.messaging.event_stream import BATCH, EventStream
from tasks import redis_keys
from tasks.app import as_bytes, connect, create_app
from tasks.codec import decode_confirmation, decode_reply, job_from_payload
from tasks.contract import Confirmation, Job, Reply, Verdict
from tests.servers import Redis
from tests.simulated.memory import MemoryBroker, MemoryRedis, MemoryStream


@dataclass
class Bus:
    """A server with both of its ends."""

    stream: Callable[[], Stream]
    broker: Callable[[], Broker]
    add: Callable[[dict[bytes, bytes]], bytes]
    wipe: Callable[[], None]
    length: Callable[[], int]
    confirmation: Callable[[str], Confirmation | None]
    take_reply: Callable[[str], Reply | None]
    take_job: Callable[[str], Job | None]
    answers: Callable[[str], list[str]]
    dead: Callable[[], list[tuple[bytes, str]]]


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = Redis(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server.url
    server.close()


def memory_bus() -> Bus:
    server = MemoryRedis()
    clock = Clock(sleep=lambda _: None)

    def dead() -> list[tuple[bytes, str]]:
        return list(server.dead)

    return Bus(
        stream=lambda: MemoryStream(server, clock),
        broker=lambda: MemoryBroker(server),
        add=server.add,
        wipe=server.wipe,
        length=lambda: len(server.entries),
        confirmation=server.confirmation,
        take_reply=server.take_reply,
        take_job=server.take_job,
        answers=lambda key: server.answers[key],
        dead=dead,
    )


def real_bus(url: str, closing: ExitStack) -> Bus:
    client = connect(url)
    closing.callback(client.close)
    client.flushall()
    app = create_app(url)
    closing.callback(app.close)

    def confirmation(token: str) -> Confirmation | None:
        data = client.get(redis_keys.confirmation(token))
        return None if data is None else decode_confirmation(data)

    def take_reply(runner: str) -> Reply | None:
        data = client.lpop(redis_keys.replies(runner))
        return None if data is None else decode_reply(data)

    def take_job(queue: str) -> Job | None:
        # As a worker takes it: by kombu, lowest number of priority first.
        with app.connection_for_read() as connection, connection.channel() as channel:
            message = kombu.Queue(queue, channel=channel).get(no_ack=True)
            return None if message is None else job_from_payload(message.decode()[0][0])

    def broker() -> Broker:
        made = Dispatcher(url, client)
        closing.callback(made.close)
        return made

    return Bus(
        stream=lambda: EventStream(client),
        broker=broker,
        add=lambda fields: client.xadd(redis_keys.EVENTS, fields),
        wipe=client.flushall,
        length=lambda: client.xlen(redis_keys.EVENTS),
        confirmation=confirmation,
        take_reply=take_reply,
        take_job=take_job,
        answers=lambda key: [text.decode() for text in client.lrange(redis_keys.answer(key), 0, -1)],
        dead=lambda: [
            (fields[b"data"], fields[b"reason"].decode()) for _, fields in client.xrange(redis_keys.DEAD_LETTERS)
        ],
    )


@pytest.fixture(params=["memory", "redis"])
def bus(request: pytest.FixtureRequest) -> Iterator[Bus]:
    if request.param == "memory":
        yield memory_bus()
        return
    with ExitStack() as closing:
        yield real_bus(request.getfixturevalue("own_redis"), closing)


def number(count: int) -> dict[bytes, bytes]:
    return {b"e": str(count).encode()}


def read_all(stream: Stream) -> list[int]:
    return [int(fields[b"e"]) for _, fields in stream.read(0.001)]


def a_job(token: str) -> Job:
    return Job(
        study="study",
        uid="uid",
        trial=0,
        attempt=1,
        token=token,
        objective="somewhere:objective",
        directions=("minimize",),
    )


def test_entries_come_in_order_and_once(bus: Bus) -> None:
    stream = bus.stream()
    for count in range(3):
        bus.add(number(count))
    stream.prepare()  # what was there before is not skipped
    assert read_all(stream) == [0, 1, 2]
    assert read_all(stream) == []
    bus.add(number(3))
    assert read_all(stream) == [3]


def test_what_is_not_acknowledged_comes_again_and_before_what_is_new(bus: Bus) -> None:
    stream = bus.stream()
    stream.prepare()
    for count in range(4):
        bus.add(number(count))
    entries = stream.read(0.001)
    stream.acknowledge([entries[1][0]])
    bus.add(number(4))
    stream.read_pending_again()
    assert read_all(stream) == [0, 2, 3]
    assert read_all(stream) == [4]
    assert bus.length() == 4


def test_the_next_consumer_takes_over_what_the_last_one_left(bus: Bus) -> None:
    first = bus.stream()
    first.prepare()
    bus.add(number(0))
    assert read_all(first) == [0]
    second = bus.stream()
    second.prepare()
    assert read_all(second) == [0]


def test_acknowledged_entries_are_gone(bus: Bus) -> None:
    stream = bus.stream()
    stream.prepare()
    bus.add(number(0))
    stream.acknowledge([id for id, _ in stream.read(0.001)])
    stream.acknowledge([])
    stream.read_pending_again()
    assert read_all(stream) == []
    assert bus.length() == 0


def test_a_read_is_bounded(bus: Bus) -> None:
    stream = bus.stream()
    stream.prepare()
    for count in range(BATCH + 3):
        bus.add(number(count))
    assert read_all(stream) == list(range(BATCH))
    assert read_all(stream) == [BATCH, BATCH + 1, BATCH + 2]
    stream.read_pending_again()
    assert read_all(stream) == list(range(BATCH))
    assert read_all(stream) == [BATCH, BATCH + 1, BATCH + 2]


def test_without_a_group_it_says_so_and_a_new_one_begins_with_what_is_there(bus: Bus) -> None:
    stream = bus.stream()
    with pytest.raises(ConsumerGroupMissing):
        while True:
            stream.read(0.001)
    stream.prepare()
    bus.add(number(0))
    assert read_all(stream) == [0]
    bus.wipe()
    with pytest.raises(ConsumerGroupMissing):
        while True:
            stream.read(0.001)
    bus.add(number(1))
    stream.prepare()
    assert read_all(stream) == [1]
    bus.broker().waiting(["trials"])


def test_whether_there_is_more_to_read_and_where_it_ends(bus: Bus) -> None:
    stream = bus.stream()
    stream.prepare()
    assert stream.end() is None
    assert not stream.drained
    ids = [bus.add({b"e": b"x"}) for _ in range(BATCH + 1)]
    assert stream.end() == ids[-1]
    # What is pending says nothing of what is new, and neither does a batch that is full.
    for expected, drained in ((BATCH, False), (1, True), (0, True)):
        assert len(stream.read(0.001)) == expected
        assert stream.drained == drained
    stream.read_pending_again()
    assert len(stream.read(0.001)) == BATCH
    assert not stream.drained
    assert stream.end() == ids[-1]


def test_an_entry_that_is_gone_while_it_is_pending_is_acknowledged_all_the_same(bus: Bus) -> None:
    stream = bus.stream()
    stream.prepare()
    bus.add(number(0))
    ids = [id for id, _ in stream.read(0.001)]
    other = bus.stream()
    other.prepare()
    other.read(0.001)
    stream.acknowledge(ids)
    other.acknowledge(ids)
    stream.read_pending_again()
    assert read_all(stream) == []


def test_confirmations_replies_answers_and_dead_letters_arrive(bus: Bus) -> None:
    stream = bus.stream()
    stream.confirm({})
    stream.confirm({"t": Confirmation(runner="r", seq=1), "u": Confirmation(runner="", seq=0)})
    stream.confirm({"t": Confirmation(runner="r", seq=2, verdict=Verdict(cause="pruned", step=3))})
    assert bus.confirmation("t") == Confirmation(runner="r", seq=2, verdict=Verdict(cause="pruned", step=3))
    assert bus.confirmation("unknown") is None
    replies = [Reply(runner="r", seq=seq, name="x", value=0.5) for seq in (1, 2)]
    stream.reply(replies)
    assert [bus.take_reply("r"), bus.take_reply("r"), bus.take_reply("r")] == [*replies, None]
    stream.answer("key", "done")
    assert bus.answers("key") == ["done"]
    stream.dead_letter(b"\xff\x00", "why")
    assert bus.dead() == [(b"\xff\x00", "why")]
    stream.notify({"study": []})
    stream.probe()


def test_confirmations_are_one_command_however_many_they_are(own_redis: str) -> None:
    client = connect(own_redis)
    stream = EventStream(client)
    tokens = [f"t{number}" for number in range(1000)]
    for seq in (1, 2):
        # The second time the server has been started anew, and knows no script.
        client.script_flush()
        client.config_resetstat()
        stream.confirm({token: Confirmation(runner="r", seq=seq) for token in tokens})
        stats: Any = client.info("commandstats")
        assert stats["cmdstat_evalsha"]["calls"] == 2, "one to find that it is not known"
        for token in tokens:
            data = client.get(redis_keys.confirmation(token))
            assert decode_confirmation(as_bytes(data)).seq == seq
        left: Any = client.ttl(redis_keys.confirmation(tokens[-1]))
        assert 0 < left <= redis_keys.CONFIRMATION_SECONDS
    client.close()


def test_tasks_wait_until_they_are_taken_and_the_urgent_ones_go_first(bus: Bus) -> None:
    broker = bus.broker()
    assert broker.waiting(["trials", "other"]) == set()
    for token in ("a", "b"):
        broker.send(a_job(token), "trials", priority=5)
    for token in ("c", "d"):
        broker.send(a_job(token), "trials", priority=9)
    broker.send(a_job("e"), "other", priority=5)
    assert broker.waiting(["trials"]) == set("abcd")
    assert broker.waiting(["trials", "other"]) == set("abcde")
    taken = [bus.take_job("trials") for _ in range(5)]
    assert [job and job.token for job in taken] == ["c", "d", "a", "b", None]
    assert broker.waiting(["trials", "other"]) == {"e"}
    bus.wipe()
    assert broker.waiting(["trials", "other"]) == set()


def test_priorities_are_of_four_classes(bus: Bus) -> None:
    broker = bus.broker()
    for priority in (0, 4, 1, 7, 6, 9, 3, 5, 8, 2):
        broker.send(a_job(str(priority)), "trials", priority=priority)
    taken = [bus.take_job("trials") for _ in range(10)]
    assert [job and job.token for job in taken] == list("7984651320")


def test_the_length_of_a_queue_is_told_by_class_of_priority(bus: Bus) -> None:
    broker = bus.broker()
    assert broker.lengths("trials") == [0, 0, 0, 0]
    for priority in (0, 4, 1, 7, 6, 9, 3, 5, 8, 2):
        broker.send(a_job(str(priority)), "trials", priority=priority)
    broker.send(a_job("other"), "other", priority=5)
    assert broker.lengths("trials") == [3, 3, 3, 1]
    bus.take_job("trials")
    assert broker.lengths("trials") == [2, 3, 3, 1]


def test_a_task_that_is_sent_twice_is_there_twice(bus: Bus) -> None:
    broker = bus.broker()
    broker.send(a_job("a"), "trials", priority=5)
    broker.send(a_job("a"), "trials", priority=5)
    assert broker.waiting(["trials"]) == {"a"}
    assert [bus.take_job("trials"), bus.take_job("trials"), bus.take_job("trials")] == [a_job("a"), a_job("a"), None]


def test_a_task_that_no_worker_runs_can_be_revoked(bus: Bus) -> None:
    bus.broker().revoke("unknown")
