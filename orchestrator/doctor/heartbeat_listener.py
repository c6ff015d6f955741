"""Reads the keepers' heartbeats from the event stream, beside the control plane's consumer group."""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec
import redis

from orchestrator.doctor.facts import Sign
from orchestrator.doctor.redis_probe import describe_stream
from tasks import redis_keys
from tasks.app import stream_entries
from tasks.codec import Malformed, decode_event
from tasks.contract import VERSION, Heartbeat
from tasks.server_errors import is_wrong_type, wrong_type
from tasks.signing import UNSIGNED, Keyring, Purpose, Unsigned

WAIT_MILLISECONDS = 100
MOST = 500
"""Entries of one answer."""


class Listener:
    """Follows the stream by itself and beside its group, from where it stands when it is made.

    Redis serves all who wait for an entry before the group's consumer can delete it. An entry that comes while this one
    does not wait, and is deleted before it does so again, is missed; the next heartbeat is another chance.

    Args:
        client: Redis.
        keyring: Verifies what is heard.

    Attributes:
        signs: What was heard so far.
        at: When the last heartbeat of each slot was heard, by ``time.monotonic``.
        error: Why nothing could be heard, or not all of it; empty where all could.
        unsigned: How what was heard is not signed by a known key; empty where it is.
    """

    def __init__(self, client: redis.Redis, keyring: Keyring = UNSIGNED) -> None:
        self._client = client
        self._keyring = keyring
        self._since = self._newest()
        self.signs: set[Sign] = set()
        self.at: dict[str, float] = {}
        self.error = ""
        self.unsigned = ""

    def listen(self, seconds: float, satisfied: Callable[[], bool]) -> float:
        """Listens until so many seconds have gone by, what was heard is enough, or nothing can be heard.

        Returns how long it has listened.
        """
        begun = time.monotonic()
        while time.monotonic() < begun + seconds and not satisfied():
            try:
                found = self._client.xread({redis_keys.EVENTS: self._since}, count=MOST, block=WAIT_MILLISECONDS)
            except redis.RedisError as error:
                self.error = wrong_type(redis_keys.EVENTS, "stream") if is_wrong_type(error) else str(error)
                break
            for entry, fields in stream_entries(found):
                self._since = entry
                self._take(fields.get(redis_keys.EVENT_FIELD))
        return time.monotonic() - begun

    def _newest(self) -> bytes:
        try:
            found = describe_stream(self._client)
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            # The first read meets the same key and keeps the error.
            found = None
        return b"0-0" if found is None else bytes(found["last-generated-id"])

    def _take(self, data: bytes | None) -> None:
        if data is None:
            return
        try:
            sign = read_sign(self._keyring.open(Purpose.EVENT, data))
        except Unsigned as error:
            # By no control plane either.
            self.unsigned = str(error)
            return
        if sign is not None:
            self.signs.add(sign)
            self.at[sign.slot] = time.monotonic()


def read_sign(data: bytes) -> Sign | None:
    """Returns what an event tells of a slot that lives; ``None`` where it is no sign of life."""
    try:
        event = decode_event(data)
    except Malformed:
        return _of_another_version(data)
    if not isinstance(event.body, Heartbeat):
        return None
    body = event.body
    return Sign(body.slot, body.host, body.device, body.queues, event.token, event.runner, event.version, body.trouble)


def _of_another_version(data: bytes) -> Sign | None:
    """Returns a heartbeat of another version, with no more than its slot's name, by which its worker is found."""
    try:
        found = msgspec.msgpack.decode(data)
        version, body = found["version"], found["body"]
        slot = str(body.get("slot", ""))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, AttributeError):
        return None
    return Sign(slot=slot, version=version) if isinstance(version, int) and version != VERSION else None
