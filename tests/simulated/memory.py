"""Redis in memory: the stream with its one group, the keys beside it, and Celery's queues. One thing at a time."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import redis

from orchestrator.common.clock import Clock
from orchestrator.common.errors import ConsumerGroupMissing
from orchestrator.messaging.dispatch import step_of
from orchestrator.messaging.event_stream import BATCH, Entry
from orchestrator.model.progress_events import Sent
from orchestrator.model.progress_events import encode as encode_notice
from tasks import redis_keys
from tasks.code_bundle import CodeMessage
from tasks.codec import decode_confirmation, encode
from tasks.contract import Confirmation, Event, Job, Reply
from tasks.signing import UNSIGNED, Keyring, Purpose


@dataclass
class MemoryRedis:
    """A server's content. ``away``: no client reaches it; ``full``: it takes nothing new; ``keyring``: the workers'."""

    entries: dict[bytes, Mapping[bytes, bytes]] = field(default_factory=dict)
    group: bool = False
    delivered: bytes = b""
    pending: list[bytes] = field(default_factory=list)
    confirmations: dict[str, bytes] = field(default_factory=dict)
    replies: dict[str, list[Reply]] = field(default_factory=lambda: defaultdict(list))
    answers: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    notices: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    dead: list[tuple[bytes, str]] = field(default_factory=list)
    queues: dict[str, list[Job]] = field(default_factory=lambda: defaultdict(list))
    code: dict[str, CodeMessage] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    revoked: list[str] = field(default_factory=list)
    away: bool = False
    full: bool = False
    count: int = 0
    keyring: Keyring = UNSIGNED

    def check(self, *, write: bool = True) -> None:
        """Raises what a client would."""
        if self.away:
            raise redis.ConnectionError("it is away")
        if self.full and write:
            raise redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'")

    def wipe(self) -> None:
        """As FLUSHALL. Revokes are with the workers, and stay."""
        fresh = MemoryRedis(revoked=self.revoked, away=self.away, full=self.full, keyring=self.keyring)
        self.__dict__.update(fresh.__dict__)

    # -- the side of the workers --------------------------------------------------------------------------------

    def add(self, fields: Mapping[bytes, bytes]) -> bytes:
        """Appends an entry to the stream; returns its id."""
        self.check()
        self.count += 1
        id = f"{self.count:08d}-0".encode()
        self.entries[id] = dict(fields)
        return id

    def publish(self, event: Event) -> None:
        self.add({redis_keys.EVENT_FIELD: self.keyring.seal(Purpose.EVENT, encode(event))})

    def confirmation(self, token: str) -> Confirmation | None:
        self.check(write=False)
        data = self.confirmations.get(token)
        return None if data is None else decode_confirmation(data)

    def take_reply(self, runner: str) -> Reply | None:
        self.check(write=False)
        return self.replies[runner].pop(0) if self.replies[runner] else None

    def take_job(self, queue: str) -> Job | None:
        self.check(write=False)
        return self.queues[queue].pop(0) if self.queues[queue] else None


class MemoryStream:
    """The control plane's end of the stream; ``clock`` passes where there is nothing to read."""

    def __init__(self, server: MemoryRedis, clock: Clock) -> None:
        self._server = server
        self._clock = clock
        self._pending_from: bytes | None = b""
        self.drained = False

    def prepare(self) -> None:
        self._server.check()
        if not self._server.group:
            self._server.group, self._server.delivered, self._server.pending = True, b"", []
        self._pending_from = b""

    def read(self, wait: float) -> list[Entry]:
        server = self._server
        self.drained = False
        server.check(write=False)
        if not server.group:
            raise ConsumerGroupMissing("NOGROUP")
        if self._pending_from is not None:
            known = [id for id in server.pending if id > self._pending_from][:BATCH]
            if known:
                self._pending_from = known[-1]
                return [(id, server.entries.get(id, {})) for id in known]
            self._pending_from = None
        new = [id for id in server.entries if id > server.delivered][:BATCH]
        if new:
            server.delivered = new[-1]
            server.pending = sorted({*server.pending, *new})
        else:
            self._clock.sleep(wait)
        self.drained = len(new) < BATCH
        return [(id, server.entries[id]) for id in new]

    def read_pending_again(self) -> None:
        self._pending_from = b""

    def end(self) -> bytes | None:
        self._server.check(write=False)
        return next(reversed(self._server.entries), None)

    def acknowledge(self, entries: Iterable[bytes]) -> None:
        self._server.check(write=False)
        for id in entries:
            self._server.entries.pop(id, None)
            if id in self._server.pending:
                self._server.pending.remove(id)

    def dead_letter(self, data: bytes, reason: str) -> None:
        self._server.check()
        self._server.dead.append((data, reason))

    def confirm(self, confirmations: Mapping[str, Confirmation]) -> None:
        self._server.check()
        for token, confirmation in confirmations.items():
            self._server.confirmations[token] = encode(confirmation)

    def reply(self, replies: Iterable[Reply]) -> None:
        self._server.check()
        for reply in replies:
            self._server.replies[reply.runner].append(reply)

    def put_code(self, digest: str, message: CodeMessage) -> None:
        self._server.check()
        self._server.code[digest] = message

    def answer(self, command: str, answer: str) -> None:
        self._server.check()
        self._server.answers[command].append(answer)

    def notify(self, notices: Mapping[str, Iterable[Sent]]) -> None:
        self._server.check()
        for study, told in notices.items():
            for notice in told:
                with contextlib.suppress(Exception):
                    self._server.notices[study].append(encode_notice(notice))

    def forget(self, study: str, tokens: Iterable[str]) -> None:
        self._server.check()
        self._server.notices.pop(study, None)
        for token in tokens:
            self._server.confirmations.pop(token, None)

    def probe(self) -> None:
        self._server.check()


class MemoryBroker:
    """Queues in the order of priority."""

    def __init__(self, server: MemoryRedis) -> None:
        self._server = server

    def send(self, job: Job, queue: str, *, priority: int) -> None:
        self._server.check()
        waiting = self._server.queues[queue]
        step = self._server.steps[job.token] = step_of(priority)
        ahead = sum(self._server.steps[each.token] <= step for each in waiting)
        waiting.insert(ahead, job)

    def revoke(self, token: str) -> None:
        self._server.check()
        self._server.revoked.append(token)

    def waiting(self, queues: Iterable[str]) -> set[str]:
        self._server.check(write=False)
        return {job.token for queue in queues for job in self._server.queues[queue]}

    def lengths(self, queue: str) -> list[int]:
        self._server.check(write=False)
        steps = [self._server.steps[job.token] for job in self._server.queues[queue]]
        return [steps.count(step) for step in (0, 3, 6, 9)]
