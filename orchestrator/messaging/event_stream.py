"""The control plane's access to Redis: the event stream, confirmations, replies, progress notices."""

from __future__ import annotations

import contextlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import redis

from orchestrator.common.errors import ConsumerGroupMissing
from orchestrator.messaging.code_sender import put_code
from orchestrator.model.progress_events import Sent
from orchestrator.model.progress_events import encode as encode_notice
from orchestrator.model.suspension import describe
from tasks import redis_keys
from tasks.app import as_bytes, stream_entries
from tasks.code_bundle import CodeMessage
from tasks.codec import encode
from tasks.contract import Announcement, Confirmation, Reply
from tasks.server_errors import is_wrong_type, unavailable, wrong_type
from tasks.signing import UNSIGNED, Keyring, Purpose

log = logging.getLogger(__name__)

NOTICES_KEPT = 2_000
NOTICE_BYTES_KEPT = 2_000_000
"""Of a study's notices so many are kept, and no more bytes than this: of a large fleet, what a second brings."""

SECONDS_KEPT = 86_400

CLIENT_NAME = "control-plane:"
"""What the name of a control plane's connection begins with; the name of the process follows."""


_SET_ALL = """
for place, key in ipairs(KEYS) do
    redis.call('SET', key, ARGV[place + 1], 'EX', ARGV[1])
end
"""
"""Sets keys for so many seconds, in one command: a thousand of them, packed and answered one by one, cost the loop ten
times as much."""


class WrongKey(redis.ConnectionError):
    """The key of the event stream holds something else: as good as no server, until it is deleted."""

    def __init__(self) -> None:
        super().__init__(wrong_type(redis_keys.EVENTS, "stream"))


_NOT_SAID = Announcement()
"""Announcement that states nothing but the version."""


class EventStream:
    """The control plane's end of the stream, as one consumer of its one group.

    Entries that this group was given and has not acknowledged come first: after a start, after an error, and again
    every lease. The consumer's name never changes; who may consume is settled by the writer's lease in the database.

    Args:
        client: Redis; its socket timeout must exceed the longest wait.
        keyring: Signs what is said to keepers.
        announcement: What is told of the control plane that reads.

    Attributes:
        drained: Whether the last read has left nothing in the stream.
    """

    CONSUMER = "writer"

    def __init__(
        self, client: redis.Redis, keyring: Keyring = UNSIGNED, announcement: Announcement = _NOT_SAID
    ) -> None:
        self._client = client
        self._announcement = announcement
        self._set_all = client.register_script(_SET_ALL)
        self._keyring = keyring
        self._pending_from: bytes | None = b"0"
        self.drained = False
        # What was said of keys that hold something else, and of studies whose notices cannot be encoded.
        self._said: set[str] = set()
        self._notices: dict[str, _Kept] = {}

    def read_pending_again(self) -> None:
        """The next read begins with what was delivered and never acknowledged."""
        self._pending_from = b"0"

    def read(self, wait: float) -> list[Entry]:
        """Returns up to ``BATCH`` entries, waiting at most ``wait`` seconds for the first.

        Raises:
            ConsumerGroupMissing: the group or the stream is gone.
            WrongKey: the stream is none.
        """
        self.drained = False
        if self._pending_from is not None:
            entries = self._read(self._pending_from, None)
            if entries:
                self._pending_from = entries[-1][0]
                # An entry that was trimmed away while it was pending comes back without content.
                return [(entry, fields or {}) for entry, fields in entries]
            self._pending_from = None
        entries = self._read(b">", max(1, int(wait * 1000)))
        self.drained = len(entries) < BATCH
        return entries

    def end(self) -> bytes | None:
        """Returns the id of the newest entry, ``None`` where there is none."""
        newest = self._client.xrevrange(redis_keys.EVENTS, count=1)
        return as_bytes(newest[0][0]) if newest else None

    def _read(self, start: bytes, block: int | None) -> list[Entry]:
        try:
            found = self._client.xreadgroup(
                redis_keys.GROUP, self.CONSUMER, {redis_keys.EVENTS: start}, count=BATCH, block=block
            )
        except redis.ResponseError as error:
            if is_wrong_type(error):
                raise WrongKey from None
            if unavailable(error) or not str(error).startswith(("NOGROUP", "UNBLOCKED")):
                raise
            raise ConsumerGroupMissing(str(error)) from None
        return [*stream_entries(found)]

    def prepare(self) -> None:
        """Makes the group where it is missing, and says who reads it."""
        self.make_group()
        self._client.set(redis_keys.ANNOUNCEMENT, self._keyring.seal(Purpose.ANNOUNCEMENT, encode(self._announcement)))
        self._pending_from = b"0"

    def make_group(self) -> None:
        """Makes the group where it is missing; it begins at 0, so that nothing is skipped."""
        try:
            self._client.xgroup_create(redis_keys.EVENTS, redis_keys.GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if is_wrong_type(error):
                raise WrongKey from None
            if not str(error).startswith("BUSYGROUP"):
                raise

    def acknowledge(self, entries: Iterable[bytes]) -> None:
        """Says that these entries are committed, and drops them: they are in the database now."""
        ids = list(entries)
        if ids:
            pipe = self._client.pipeline(transaction=False)
            pipe.xack(redis_keys.EVENTS, redis_keys.GROUP, *ids)
            pipe.xdel(redis_keys.EVENTS, *ids)
            with self._passing_over(redis_keys.EVENTS, "stream"):
                pipe.execute()

    def dead_letter(self, data: bytes, reason: str) -> None:
        """Keeps an entry that is no event, with the reason."""
        words = reason[:500].encode("utf-8", "backslashreplace")
        with self._passing_over(redis_keys.DEAD_LETTERS, "stream"):
            self._client.xadd(
                redis_keys.DEAD_LETTERS, {"data": data[:65_536], "reason": words}, maxlen=redis_keys.DEAD_LETTERS_KEPT
            )

    def confirm(self, confirmations: Mapping[str, Confirmation]) -> None:
        """Publishes what is committed, and the verdicts."""
        if confirmations:
            sealed = [
                self._keyring.seal(Purpose.CONFIRMATION, encode(confirmation), token)
                for token, confirmation in confirmations.items()
            ]
            keys = list(map(redis_keys.confirmation, confirmations))
            self._set_all(keys=keys, args=[redis_keys.CONFIRMATION_SECONDS, *sealed])

    def reply(self, replies: Iterable[Reply]) -> None:
        """Answers keepers that wait for a suggestion."""
        self._push(
            [(redis_keys.replies(each.runner), self._keyring.seal(Purpose.REPLY, encode(each))) for each in replies]
        )

    def put_code(self, digest: str, message: CodeMessage) -> None:
        """Puts a code bundle where workers find it, for a while."""
        put_code(self._client, self._keyring, digest, message)

    def answer(self, command: str, answer: str) -> None:
        """Tells the process that issued a command how it went; the answer is in the database too."""
        self._push([(redis_keys.answer(command), answer)])

    def notify(self, notices: Mapping[str, Iterable[Sent]]) -> None:
        """Tells the views that watch, as far as it can be told: a notice is worth nothing that would cost a study."""
        pipe = self._client.pipeline(transaction=False)
        keys = []
        for study, told in notices.items():
            key, kept = redis_keys.notices(study), self._notices.setdefault(study, _Kept())
            for notice in told:
                try:
                    data = encode_notice(notice)
                except Exception as error:
                    self._say_once(study, f"study {study}: a notice is dropped: {describe(error)}")
                    continue
                pipe.xadd(key, {"n": data}, maxlen=kept.add(len(data)), approximate=True)
                keys.append(key)
            if key in keys[-1:]:
                pipe.expire(key, SECONDS_KEPT)
                keys.append(key)
        # One answer for each: a key that holds something else costs no other study its notices.
        for key, answer in zip(keys, pipe.execute(raise_on_error=False), strict=True):
            if isinstance(answer, Exception):
                with self._passing_over(key, "stream"):
                    raise answer

    def _push(self, items: list[tuple[str, bytes | str]]) -> None:
        """Appends to lists that the control plane alone writes: what another program put there makes room."""
        pipe = self._client.pipeline(transaction=False)
        for key, value in items:
            pipe.rpush(key, value)
            pipe.expire(key, SECONDS_KEPT)
        if not len(pipe):
            return
        try:
            pipe.execute()
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            for key, value in items:
                if self._client.type(key) != b"list":
                    self._client.delete(key)
                    self._client.rpush(key, value)
                    self._client.expire(key, SECONDS_KEPT)

    def forget(self, study: str, tokens: Iterable[str]) -> None:
        """Drops what is kept of a study that is deleted: the confirmations of its attempts, and its notices."""
        forget_study(self._client, study, tokens)

    @contextlib.contextmanager
    def _passing_over(self, key: str, kind: str) -> Iterator[None]:
        """Inside, a key that holds something else is passed over, and said once."""
        try:
            yield
        except redis.ResponseError as error:
            if not is_wrong_type(error):
                raise
            self._say_once(key, wrong_type(key, kind))

    def _say_once(self, about: str, text: str) -> None:
        if about not in self._said:
            self._said.add(about)
            log.error("%s", text, extra={"action": "passed_over"})

    def probe(self) -> None:
        """Returns if keepers could be heard: the server is there, and takes what is written to it."""
        self._client.set(redis_keys.PROBE, b"", px=1)
        try:
            self._client.xlen(redis_keys.EVENTS)
        except redis.ResponseError as error:
            if is_wrong_type(error):
                raise WrongKey from None
            raise


class _Kept:
    """The sizes of a study's newest notices, as far as they were written here."""

    def __init__(self) -> None:
        self._sizes: deque[int] = deque(maxlen=NOTICES_KEPT)
        self._bytes = 0

    def add(self, size: int) -> int:
        """Takes in a notice; returns how many are to be kept, this one included."""
        if len(self._sizes) == NOTICES_KEPT:
            self._bytes -= self._sizes[0]
        self._sizes.append(size)
        self._bytes += size
        if self._bytes <= NOTICE_BYTES_KEPT:
            return NOTICES_KEPT
        while self._bytes > NOTICE_BYTES_KEPT and len(self._sizes) > 1:
            self._bytes -= self._sizes.popleft()
        return len(self._sizes)


@dataclass(frozen=True)
class Backlog:
    """The entries that the control plane has not committed: their number, and the age of the oldest in seconds, by the
    server's clock; and the number of messages that were set aside."""

    entries: int
    seconds: float
    dead_letters: int


def backlog(client: redis.Redis) -> Backlog:
    """Looks at the stream from aside. What is committed is dropped from it, so that all it holds is still to be done.

    Raises:
        redis.RedisError: the server is away.
    """
    pipe = client.pipeline(transaction=False)
    pipe.time()
    pipe.xlen(redis_keys.EVENTS)
    pipe.xrange(redis_keys.EVENTS, count=1)
    pipe.xlen(redis_keys.DEAD_LETTERS)
    (seconds, microseconds), entries, first, dead = pipe.execute()
    age = 0.0
    if first:
        age = max(0.0, seconds + microseconds / 1e6 - int(first[0][0].partition(b"-")[0]) / 1e3)
    return Backlog(entries, age, dead)


def introduce(client: redis.Redis, process: str) -> None:
    """Names a control plane's connection, so that it can be told who stands by. Nothing depends on it."""
    with contextlib.suppress(redis.ResponseError):
        client.client_setname(CLIENT_NAME + process)


def forget_study(client: redis.Redis, study: str, tokens: Iterable[str]) -> None:
    """Deletes the keys of a study: the confirmations of its attempts, by their tokens, and its notices."""
    keys = [redis_keys.notices(study), *map(redis_keys.confirmation, tokens)]
    for begin in range(0, len(keys), BATCH):
        client.unlink(*keys[begin : begin + BATCH])


def ring(client: redis.Redis) -> None:
    """Wakes the control plane: there is a command for it in the database."""
    client.xadd(redis_keys.EVENTS, {"ring": redis_keys.DOORBELL})


def wake(client: redis.Redis) -> None:
    """Ends the loop's wait for the stream: a pruner of the user's own has answered. The loop looks by itself, later,
    where Redis is away."""
    with contextlib.suppress(redis.RedisError):
        client.xadd(redis_keys.EVENTS, {"ring": redis_keys.WAKE})


Entry = tuple[bytes, Mapping[bytes, bytes]]
"""Id and fields of one entry of the stream."""


BATCH = 500
"""The most entries that one read returns."""
