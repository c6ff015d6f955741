"""What a look for trouble finds in a Redis, and what it mends there. On a server of its own, for it is mistreated."""

from __future__ import annotations

import contextlib
import math
import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from orchestrator.common.settings import Settings
from orchestrator.doctor.checks import findings
from orchestrator.doctor.checks.redis import REDIS_CLI
from orchestrator.doctor.facts import Consumer, Setup, Sign
from orchestrator.doctor.finding import ClearQueue, Code, Finding, MakeGroup, Ring, Severity, TakeOver
from orchestrator.doctor.gather import as_announced, gather
from orchestrator.doctor.heartbeat_listener import Listener
from orchestrator.doctor.queue_probe import read_queue
from orchestrator.doctor.redis_probe import (
    read_dead_letters,
    read_server,
    read_stream,
    without_confirmation,
)
from orchestrator.doctor.repair import apply_repairs
from orchestrator.doctor.table_facts import TableFacts, Writer
from orchestrator.messaging.dispatch import Dispatcher
from orchestrator.messaging.event_stream import EventStream, introduce
from tasks import redis_keys
from tasks.app import connect
from tasks.codec import encode
from tasks.contract import VERSION, Announcement, Confirmation, Event, Heartbeat, Job
from tasks.signing import Keyring, Purpose
from tests.installed import program
from tests.servers import Redis as Server

ALIVE = Event(token="t", runner="r", seq=0, body=Heartbeat(host="h", slot="w@h/0", queues=("trials",)))
WAIT = 30.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("redis"))
    made.start()
    yield made
    made.close()


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    with contextlib.closing(connect(server.url)) as made:
        made.flushall()
        yield made


def mend(server: Server, *mends: MakeGroup | TakeOver | ClearQueue | Ring) -> list[str]:
    findings = [Finding(Code.STREAM, Severity.WARNING, "", "", repair=each) for each in mends]
    return list(apply_repairs(Settings(redis_url=server.url), findings))


def job(token: str) -> Job:
    return Job(study="s", uid="u", trial=0, token=token, attempt=1, objective="m:f", directions=("minimize",))


# -- the server


def test_a_server_that_is_well(client: redis.Redis) -> None:
    found = read_server(client, "where")
    assert found.version.startswith(("Redis ", "Valkey "))
    assert (found.error, found.hidden, found.failing, found.replica_of) == ("", (), "", "")
    assert (found.policy, found.aof, found.snapshots, found.maxmemory) == ("noeviction", True, False, 0)
    assert found.clock is not None
    assert abs(found.clock.offset) < 1.0, "it is this very host"
    assert found.used
    assert found.seconds > 0


@pytest.mark.parametrize("user", ["", "default"])
def test_a_command_that_is_pasted_reaches_a_server_with_a_password(
    server: Server, client: redis.Redis, user: str
) -> None:
    """Of a URL with a password alone, redis-cli makes a user without a name."""
    program("redis-cli")
    client.config_set("requirepass", "secret")
    try:
        url = server.url.replace("://", f"://{user}:secret@")
        done = subprocess.run(
            ["bash", "-c", f"{REDIS_CLI} PING"],
            env=os.environ | {"ORCHESTRATOR_REDIS_URL": url},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == "PONG\n", done.stderr
    finally:
        client.config_set("requirepass", "")


def test_settings_are_read(client: redis.Redis) -> None:
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("save", "900 1")
    client.config_set("maxmemory", "123mb")
    try:
        found = read_server(client, "where")
        assert (found.policy, found.snapshots, found.maxmemory) == ("allkeys-lru", True, 123 * 2**20)
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("save", "")
        client.config_set("maxmemory", "0")


@pytest.mark.parametrize(
    ("forbidden", "hidden", "policy"),
    [
        (["-config"], ("CONFIG GET",), "noeviction"),
        (["-info"], ("INFO",), "noeviction"),
        (["-info", "-config", "-client|list"], ("INFO", "CONFIG GET", "CLIENT LIST"), None),
    ],
    ids=["config", "info", "everything"],
)
def test_what_this_user_may_not_ask_is_said(
    server: Server, client: redis.Redis, forbidden: list[str], hidden: tuple[str, ...], policy: str | None
) -> None:
    client.execute_command("ACL", "SETUSER", "some", "reset", "on", ">pass", "~*", "&*", "+@all", *forbidden)
    with contextlib.closing(connect(server.url.replace("redis://", "redis://some:pass@"))) as theirs:
        found = read_server(theirs, "where")
    assert (found.error, found.hidden, found.policy) == ("", hidden, policy)
    assert (found.control_planes is None) is ("CLIENT LIST" in hidden)


def test_a_server_that_is_not_there() -> None:
    found = read_server(connect("redis://127.0.0.1:1/0"), "where")
    assert found.where == "where"
    assert found.error
    assert not found.looked_at


def test_a_replica(tmp_path: Path, server: Server) -> None:
    other = Server(tmp_path, "--replicaof", "127.0.0.1", str(server.port))
    other.start()
    try:
        assert read_server(connect(other.url), "where").replica_of == f"127.0.0.1:{server.port}"
    finally:
        other.close()


def test_a_server_that_cannot_write_to_its_disk(client: redis.Redis, server: Server) -> None:
    in_the_way = server.folder / "dump.rdb"
    in_the_way.mkdir()
    client.bgsave()
    deadline = time.monotonic() + WAIT
    while read_server(client, "where").failing != "its snapshots":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    in_the_way.rmdir()
    client.save()
    assert not read_server(client, "where").failing


def test_control_planes_are_known_by_their_connections(server: Server, client: redis.Redis) -> None:
    with contextlib.closing(connect(server.url)) as one, contextlib.closing(connect(server.url)) as two:
        introduce(one, "host:1:2")
        introduce(two, "host:3:4")
        assert read_server(client, "where").control_planes == ("host:1:2", "host:3:4")


# -- the stream


def test_the_stream(client: redis.Redis) -> None:
    assert not read_stream(client).group
    EventStream(client).prepare()
    empty = read_stream(client)
    assert (empty.group, empty.length, empty.oldest) == (True, 0, None)
    minutes_ago = int((time.time() - 120) * 1000)

    def is_from_then(oldest: float | None, begun: float) -> bool:
        """Whether it is the age of that entry at some moment since ``begun``; Redis reckons in whole milliseconds."""
        return oldest is not None and begun - 0.002 <= minutes_ago / 1000 + oldest <= time.time() + 0.002

    client.xadd(redis_keys.EVENTS, {"e": b"1"}, id=f"{minutes_ago}-0")
    client.xadd(redis_keys.EVENTS, {"e": b"2"})
    EventStream(client).read_pending_again()
    client.xreadgroup(redis_keys.GROUP, "redis-cli", {redis_keys.EVENTS: ">"}, count=1)
    begun = time.time()
    found = read_stream(client)
    assert is_from_then(found.oldest, begun)
    assert (found.length, found.pending, found.consumers) == (2, 1, (Consumer("redis-cli", 1, ours=False),))
    client.xgroup_destroy(redis_keys.EVENTS, redis_keys.GROUP)
    begun = time.time()
    gone = read_stream(client)
    assert is_from_then(gone.oldest, begun)
    assert (gone.group, gone.length) == (False, 2)


def test_dead_letters(client: redis.Redis) -> None:
    assert read_dead_letters(client) == (0, ())
    for number in range(9):
        EventStream(client).dead_letter(b"\xff\x00" + str(number).encode() * 100, f"reason {number}\n\x1b[2J")
    count, newest = read_dead_letters(client)
    assert (count, len(newest)) == (9, 5)
    assert newest[0].reason == "reason 8 �[2J"
    assert newest[0].data.startswith("\\xff\\x008888")
    assert 0 <= newest[0].age < 60


def test_missing_confirmations(client: redis.Redis) -> None:
    EventStream(client).confirm({"a": Confirmation(runner="r", seq=1)})
    assert without_confirmation(client, ["a", "b"]) == {"b"}
    assert without_confirmation(client, []) == frozenset()


def test_signs_of_life_are_heard_beside_the_group_that_deletes_them(server: Server, client: redis.Redis) -> None:
    client.xadd(redis_keys.EVENTS, {redis_keys.EVENT_FIELD: encode(ALIVE)})
    events = EventStream(client)
    events.prepare()
    listener = Listener(connect(server.url))
    slots = [f"w@h/{number}" for number in range(20)]
    expected = {Sign(slot, "h", "cpu", ("trials",), "t", "r", VERSION) for slot in slots}
    with contextlib.closing(connect(server.url)) as keeper, ThreadPoolExecutor(1) as beside:
        listened = beside.submit(listener.listen, WAIT, lambda: listener.signs == expected)
        # As keepers do, again and again: what comes while the listener is kept from waiting for it may be missed.
        while not listened.done():
            for slot in slots:
                body = Heartbeat(host="h", slot=slot, queues=("trials",))
                keeper.xadd(
                    redis_keys.EVENTS, {redis_keys.EVENT_FIELD: encode(Event(token="t", runner="r", seq=0, body=body))}
                )
                events.acknowledge(entry for entry, _ in events.read(1.0))
    assert client.xlen(redis_keys.EVENTS) == 0
    assert listened.result() < WAIT, "it ends when it has heard enough"


def test_a_stream_that_does_not_exist_yet_is_listened_to(server: Server, client: redis.Redis) -> None:
    listener = Listener(connect(server.url))
    client.xadd(redis_keys.EVENTS, {redis_keys.EVENT_FIELD: encode(ALIVE)})
    listener.listen(WAIT, lambda: bool(listener.signs))
    assert len(listener.signs) == 1


def test_what_is_signed_is_heard_with_the_key_and_without_it_the_lack_is_told(
    server: Server, client: redis.Redis
) -> None:
    keyring = Keyring(["0123456789abcdef" * 2])
    heard, deaf = Listener(connect(server.url), keyring), Listener(connect(server.url))
    client.xadd(redis_keys.EVENTS, {redis_keys.EVENT_FIELD: keyring.seal(Purpose.EVENT, encode(ALIVE))})
    heard.listen(WAIT, lambda: bool(heard.signs))
    deaf.listen(WAIT, lambda: bool(deaf.unsigned))
    assert (len(heard.signs), heard.error, len(deaf.signs)) == (1, "", 0)
    assert "there is no key here: set ORCHESTRATOR_SIGNING_KEY" in deaf.unsigned


# -- the queues


def test_a_queue_is_looked_into_and_cleared(server: Server, client: redis.Redis) -> None:
    dispatcher = Dispatcher(server.url, client)
    dispatcher.send(job("first"), "trials", priority=9)
    for token in ("a", "b", "c"):
        dispatcher.send(job(token), "trials", priority=5)
    dispatcher.close()
    client.rpush("trials", b"{")
    found = read_queue(client, "trials")
    assert found.waiting == (2, 3, 0, 0)
    assert sorted(item.token for item in found.items) == ["", "a", "b", "c", "first"]
    assert {item.version for item in found.items if item.token} == {VERSION}

    assert mend(server, ClearQueue("trials"), ClearQueue("trials", frozenset({"a", "first", "unknown"}))) == [
        "took 1 item out of queue trials (no task), kept in orchestrator:dead",
        "took 2 items out of queue trials (a task without an attempt), kept in orchestrator:dead",
    ]
    assert sorted(item.token for item in read_queue(client, "trials").items) == ["b", "c"]
    count, newest = read_dead_letters(client)
    assert count == 3
    assert newest[2].data == "{"
    assert newest[2].reason == "queue trials: no task, taken out by doctor"


def test_a_long_queue_is_read_in_pieces(client: redis.Redis) -> None:
    client.rpush("trials", *(str(number) for number in range(450)))
    assert read_queue(client, "trials").waiting == (450, 0, 0, 0)


# -- what is mended


def test_the_group_is_made_and_nothing_is_skipped(server: Server, client: redis.Redis) -> None:
    client.xadd(redis_keys.EVENTS, {redis_keys.EVENT_FIELD: b"early"})
    assert mend(server, MakeGroup(), MakeGroup()) == [
        "made the group 'control' of orchestrator:events, which begins with the oldest entry"
    ]
    assert len(EventStream(client).read(0.1)) == 1


def test_what_another_consumer_was_given_comes_to_the_control_plane(server: Server, client: redis.Redis) -> None:
    events = EventStream(client)
    events.prepare()
    for number in range(1_203):
        client.xadd(redis_keys.EVENTS, {redis_keys.EVENT_FIELD: str(number)})
    client.xreadgroup(redis_keys.GROUP, "another", {redis_keys.EVENTS: ">"}, count=1_200)
    (line,) = mend(server, TakeOver("another"))
    assert line == "gave 1200 events of consumer another to the control plane, and dropped the consumer"
    assert read_stream(client).consumers == (Consumer("writer", 1_200),)
    got: list[bytes] = []
    while entries := events.read(0.01):
        got += [fields[redis_keys.EVENT_FIELD] for _, fields in entries]
    assert got == [str(number).encode() for number in range(1_203)]


def test_the_bell_is_rung(server: Server, client: redis.Redis) -> None:
    assert mend(server, Ring()) == ["rang the control plane"]
    ((_, fields),) = client.xrange(redis_keys.EVENTS)
    assert fields == {b"ring": redis_keys.DOORBELL.encode()}


def test_what_cannot_be_mended_is_said_and_the_rest_goes_on() -> None:
    findings = [Finding(Code.STREAM, Severity.WARNING, "", "", repair=each) for each in (MakeGroup(), Ring())]
    lines = list(apply_repairs(Settings(redis_url="redis://:secret@127.0.0.1:1/0"), findings))
    assert [line.partition(": ")[0] for line in lines] == [
        "could not make the group 'control'",
        "could not ring the control plane",
    ]
    assert "secret" not in "".join(lines)


@pytest.mark.parametrize(
    ("announced", "keys", "lease"),
    [
        (Announcement(term=7, heartbeat=20.0, lease=60.0), (), 60.0),
        (Announcement(term=7, heartbeat=20.0, lease=60.0), ("0123456789abcdef" * 2,), 6.0),
        (Announcement(term=6, heartbeat=20.0, lease=60.0), (), 6.0),
        (Announcement(term=7, heartbeat=math.nan, lease=math.nan), (), 6.0),
        (Announcement(term=7, heartbeat=60.0, lease=20.0), (), 6.0),
        (Announcement(), (), 6.0),
        (None, (), 6.0),
    ],
)
def test_the_control_plane_says_how_long_its_leases_last(
    client: redis.Redis, announced: Announcement | None, keys: tuple[str, ...], lease: float
) -> None:
    if announced is None:
        client.rpush(redis_keys.ANNOUNCEMENT, "text of another program")
    else:
        EventStream(client, Keyring(keys), announced).prepare()
    found = as_announced(Setup(), client, TableFacts(writer=Writer("host:1:2", 7, 50.0)), Keyring())
    assert (found.lease, found.heartbeat, found.renewal) == ((60.0, 20.0, 20.0) if lease == 60.0 else (6.0, 2.0, 2.0))


def test_a_key_of_another_type_is_named_with_what_helps(server: Server, client: redis.Redis, tmp_path: Path) -> None:
    for key in (redis_keys.EVENTS, redis_keys.DEAD_LETTERS, "trials"):
        client.set(key, "text of another program")
    found = gather(Settings(redis_url=server.url, data_dir=tmp_path, heartbeat=0.2, lease=0.6))
    said = [each for each in findings(found) if each.code is Code.REDIS_KEY]
    assert [each.text for each in said] == [
        "redis key orchestrator:events holds something that is no stream",
        "redis key orchestrator:dead holds something that is no stream",
        "redis key trials holds something that is no list",
    ]
    assert said[0].remedy == "'redis-cli DEL orchestrator:events' helps, nothing is lost by it"
    codes = {each.code for each in findings(found)}
    assert not codes & {Code.REDIS_UNREACHABLE, Code.STREAM, Code.GROUP_MISSING}
    client.delete(redis_keys.EVENTS, redis_keys.DEAD_LETTERS, "trials")
    assert gather(Settings(redis_url=server.url, data_dir=tmp_path, heartbeat=0.2, lease=0.6)).redis.wrong_keys == ()
