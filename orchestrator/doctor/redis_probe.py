"""Facts of the Redis server: settings, state, event stream, dead letters. Changes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import redis

from orchestrator.common.formatting import one_line
from orchestrator.doctor.facts import Clock, Consumer, DeadLetter, Redis, Stream, WrongKey
from orchestrator.messaging.event_stream import CLIENT_NAME, EventStream
from orchestrator.model.progress_events import Progress, decode
from tasks import redis_keys
from tasks.codec import Malformed, decode_announcement
from tasks.contract import Announcement
from tasks.server_errors import is_wrong_type, wrong_type
from tasks.signing import Keyring, Purpose, Unsigned

LETTERS = 5
"""So many of the newest dead letters are shown."""

NOTICES = 20
"""So many of a study's newest notices are read."""

LETTER_WIDTH = 80
"""Characters of each."""


def read_server(client: redis.Redis, where: str) -> Redis:
    """Returns what the server is and how it stands; with its ``error`` where it does not answer."""
    hidden: list[str] = []

    def ask(command: str, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except redis.ResponseError:
            # Forbidden to this user, or disabled, as hosted servers do with CONFIG.
            hidden.append(command)
            return {}

    try:
        client.ping()  # connects, which is not to be measured
        clock, seconds = _clock(client)
        info: dict[str, Any] = ask("INFO", client.info)
        settings: dict[str, Any] = ask(
            "CONFIG GET", lambda: client.config_get("maxmemory-policy", "appendonly", "save")
        )
        connections = ask("CLIENT LIST", client.client_list)
    except redis.RedisError as error:
        return Redis(where, error=str(error))
    return Redis(
        where,
        version=_version(info),
        seconds=seconds,
        policy=info.get("maxmemory_policy", settings.get("maxmemory-policy")),
        maxmemory=info.get("maxmemory"),
        used=info.get("used_memory"),
        aof=bool(info["aof_enabled"]) if "aof_enabled" in info else _yes(settings.get("appendonly")),
        snapshots=bool(settings["save"]) if "save" in settings else None,
        failing=_failing(info),
        replica_of=f"{info.get('master_host')}:{info.get('master_port')}" if info.get("role") == "slave" else "",
        clock=clock,
        hidden=tuple(hidden),
        control_planes=_control_planes(connections) if connections else None,
    )


class WrongKeys:
    """Collects the keys that hold another type than this program keeps there."""

    def __init__(self) -> None:
        self.found: list[WrongKey] = []

    @contextmanager
    def passing_over(self, key: str, kind: str) -> Iterator[None]:
        """Inside, a command on a ``key`` that holds no ``kind`` ends the block instead of the whole look."""
        try:
            yield
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            self.found.append(WrongKey(key, wrong_type(key, kind)))


def describe_stream(client: redis.Redis) -> Any:
    """Returns what the server says of the stream; ``None`` where there is none."""
    try:
        return client.xinfo_stream(redis_keys.EVENTS)
    except redis.ResponseError as error:
        if not str(error).startswith("no such key"):
            raise
        return None


def read_stream(client: redis.Redis) -> Stream:
    """Returns what is in the stream, and who reads it."""
    found = describe_stream(client)
    if found is None:
        return Stream(group=False)
    groups: Any = client.xinfo_groups(redis_keys.EVENTS)
    first = found["first-entry"]
    oldest = None if first is None else max(0.0, _now(client) - _stamp(first[0]))
    if redis_keys.GROUP.encode() not in [group["name"] for group in groups]:
        return Stream(group=False, length=found["length"], oldest=oldest)
    consumers: Any = client.xinfo_consumers(redis_keys.EVENTS, redis_keys.GROUP)
    return Stream(
        length=found["length"],
        oldest=oldest,
        consumers=tuple(
            Consumer(name := each["name"].decode(errors="replace"), each["pending"], ours=name == EventStream.CONSUMER)
            for each in consumers
        ),
    )


def read_dead_letters(client: redis.Redis) -> tuple[int, tuple[DeadLetter, ...]]:
    """Returns how many there are, and the newest of them, the newest first."""
    found: Any = client.xrevrange(redis_keys.DEAD_LETTERS, count=LETTERS)
    now = _now(client)
    letters = tuple(
        DeadLetter(
            max(0.0, now - _stamp(entry)),
            one_line(fields.get(b"reason", b"").decode(errors="replace")),
            repr(fields.get(b"data", b"")[:LETTER_WIDTH])[2:-1],
        )
        for entry, fields in found
    )
    count: Any = client.xlen(redis_keys.DEAD_LETTERS)
    return count, letters


def read_announcement(client: redis.Redis, keyring: Keyring) -> Announcement | None:
    """Returns what the control plane announces of itself; ``None`` where that is not there, or cannot be read here."""
    try:
        sealed: Any = client.get(redis_keys.ANNOUNCEMENT)
        return None if sealed is None else decode_announcement(keyring.open(Purpose.ANNOUNCEMENT, sealed))
    except (redis.ResponseError, Unsigned, Malformed):
        return None


def read_writers_clock(client: redis.Redis, studies: Iterable[str], here: Clock) -> Clock | None:
    """Returns the clock of the control plane, by what it last told those who watch a study.

    Args:
        client: Redis.
        studies: The studies that it may have told something about.
        here: The server's clock, which has stamped that.
    """
    told: dict[float, float] = {}
    for study in studies:
        try:
            found: Any = client.xrevrange(redis_keys.notices(study), count=NOTICES)
            for entry, fields in found:
                notice = decode(fields[b"n"])
                if isinstance(notice, Progress) and notice.at is not None:
                    told[_stamp(entry)] = notice.at
        except (redis.ResponseError, KeyError, msgspec.DecodeError):
            continue  # written by another program
    if not told:
        return None
    newest = max(told)
    return Clock(told[newest] - newest + here.offset, here.within)


def without_confirmation(client: redis.Redis, tokens: Collection[str]) -> frozenset[str]:
    """Returns those of these attempts that have no confirmation in Redis."""
    pipe = client.pipeline(transaction=False)
    for token in tokens:
        pipe.exists(redis_keys.confirmation(token))
    there = pipe.execute() if tokens else []
    return frozenset(token for token, found in zip(tokens, there, strict=True) if not found)


def _clock(client: redis.Redis) -> tuple[Clock, float]:
    """Returns the server's clock, and what one round trip takes."""
    before = time.time()
    theirs = _now(client)
    after = time.time()
    return Clock(theirs - (before + after) / 2, (after - before) / 2), after - before


def _now(client: redis.Redis) -> float:
    seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1e6


def _stamp(entry: bytes) -> float:
    """Returns when an entry was added, in seconds since the epoch, by the server's clock."""
    return int(entry.partition(b"-")[0]) / 1000


def _version(info: dict[str, Any]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}" if "redis_version" in info else ""


def _failing(info: dict[str, Any]) -> str:
    if info.get("aof_enabled") and info.get("aof_last_write_status", "ok") != "ok":
        return "its append-only file"
    return "its snapshots" if info.get("rdb_last_bgsave_status", "ok") != "ok" else ""


def _yes(setting: str | None) -> bool | None:
    return None if setting is None else setting == "yes"


def _control_planes(connections: Any) -> tuple[str, ...]:
    names = {str(each.get("name", "")) for each in connections}
    return tuple(sorted(name.removeprefix(CLIENT_NAME) for name in names if name.startswith(CLIENT_NAME)))
