"""The keeper's voice: events to the stream in order, kept until they are confirmed, sent again until they are.

One thread owns the Redis connection, so that the training loop, whose report ends in the keeper's socket, never waits
for the network. Every round trip adds what is new and reads back what is committed.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import redis

from tasks import redis_keys
from tasks.codec import Malformed, decode_confirmation, encode
from tasks.contract import Body, Confirmation, Event, Heartbeat
from tasks.keeper.outbox import Outbox
from tasks.server_errors import Contact, Outage, Unavailable, unavailable
from tasks.signing import UNSIGNED, Keyring, Purpose

log = logging.getLogger(__name__)

RETRYABLE = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.ResponseError)
"""A server that is away, slow, loading, read-only or full: what was to be sent is kept and tried again."""

SEND_AT_ONCE = 500
"""Events in one round trip, so that a long outage ends in bounded requests."""

FULL_SECONDS = 0.01
"""How long a runner of which all has been sent that may be waits before it asks what has been committed; twice as long
each time that this was nothing, up to a heartbeat."""


class Publisher(threading.Thread):
    """Sends events, heartbeats and re-sends; tells ``on_confirmation`` what came back.

    Args:
        client: A Redis client of this thread's own, with finite socket timeouts.
        folder: Takes files with what does not fit into memory.
        heartbeat: Seconds between two signs of life.
        alive: Makes the heartbeat's body; called in this thread.
        on_confirmation: Called in this thread with every confirmation that was read.
        keyring: Signs what is sent, and verifies what is read.
    """

    def __init__(
        self,
        client: redis.Redis,
        folder: Path,
        *,
        heartbeat: float,
        alive: Callable[[], Heartbeat],
        on_confirmation: Callable[[str, Confirmation], None],
        keyring: Keyring = UNSIGNED,
    ) -> None:
        super().__init__(name="publisher", daemon=True)
        self._client = client
        self._folder = folder
        self._heartbeat = heartbeat
        self._alive = alive
        self._on_confirmation = on_confirmation
        self._keyring = keyring
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._outboxes: dict[str, Outbox] = {}
        self._ask = False
        self._current: tuple[str, str] = ("", "")
        self._away = False
        self._outage = Outage(log, "redis", "training goes on")
        self._stopping = False

    def begin(self, token: str, runner: str) -> None:
        """Opens the numbering of a new runner."""
        with self._lock:
            self._outboxes[runner] = Outbox(token, runner, self._folder, time.monotonic())
            self._current = (token, runner)

    def publish(self, runner: str, body: Body) -> int:
        """Queues an event of ``runner`` and returns its sequence number; drops what comes behind its last word.

        One that cannot be encoded raises, and takes no number.
        """
        with self._lock:
            outbox = self._outboxes.get(runner)
            if outbox is None or outbox.closed:
                return 0
            data = self._signed(Event(token=outbox.token, runner=runner, seq=outbox.last + 1, body=body))
            outbox.last += 1
            outbox.add(data)
            full = outbox.full
        if not full:
            self._wake.set()
        return outbox.last

    def await_answer(self, runner: str, timeout: float) -> None:
        """Waits until the first events of ``runner`` went out and what is committed of its attempt was passed on.

        Does not wait while the server is away.
        """
        if not self._away:
            self._outboxes[runner].carried.wait(timeout)

    def end(self, runner: str) -> None:
        """Says that no more events of ``runner`` will come; what is unconfirmed is still sent again until it is."""
        with self._lock:
            if runner in self._outboxes:
                self._outboxes[runner].closed = True
            if self._current[1] == runner:
                self._current = ("", "")

    def ask(self) -> None:
        """Reads the confirmations now: the doorbell rang."""
        self._ask = True
        self._wake.set()

    def unconfirmed(self) -> int:
        """Returns the number of events that are not known to be committed."""
        with self._lock:
            return sum(map(len, self._outboxes.values()))

    def in_memory(self) -> int:
        """Returns the number of these that are kept in memory."""
        with self._lock:
            return sum(outbox.in_memory for outbox in self._outboxes.values())

    def spilled(self) -> int:
        """Returns the bytes of these that are on disk."""
        with self._lock:
            return sum(outbox.spilled for outbox in self._outboxes.values())

    @property
    def away(self) -> bool:
        """Whether the server could not be reached the last time."""
        return self._away

    def close(self, timeout: float) -> None:
        """Stops, after giving what is unconfirmed ``timeout`` seconds to be confirmed."""
        deadline = time.monotonic() + timeout
        while self.unconfirmed() and (left := deadline - time.monotonic()) > 0:
            self.ask()
            self.join(min(left, 0.02))
        self._stopping = True
        self._wake.set()
        self.join(1.0)

    def run(self) -> None:
        beat_at = 0.0
        delay = 0.0
        pause = FULL_SECONDS
        while not self._stopping:
            patience = delay or max(0.0, beat_at - time.monotonic())
            if self._full():
                self._wake.wait(min(pause, patience))
                pause = min(2 * pause, self._heartbeat)
                self._ask = True
            else:
                self._wake.wait(patience)
                pause = FULL_SECONDS
            self._wake.clear()
            now = time.monotonic()
            beating = now >= beat_at
            try:
                more = self._round(now, beating)
            except RETRYABLE as error:
                self._outage.begin(unavailable(error) or Unavailable("redis", Contact.NOT_NOW, str(error)))
                delay = min(1.0, max(0.05, delay * 2))
                self._away = True
                self._forget_sent()
                continue
            self._outage.end()
            delay = 0.0
            self._away = False
            if beating:
                beat_at = now + self._heartbeat
            if more:
                self._wake.set()

    def _round(self, now: float, beating: bool) -> bool:
        """One round trip. Returns whether there is more to send."""
        self._ask, asked = False, self._ask
        with self._lock:
            batches = [
                (outbox, entries)
                for outbox in self._outboxes.values()
                if (entries := self._due(outbox, now, beating)) or asked or beating
            ]
            speaking = self._speaking()
        pipe = self._client.pipeline(transaction=False)
        for _, entries in batches:
            for _, data in entries:
                pipe.xadd(redis_keys.EVENTS, {redis_keys.EVENT_FIELD: data})
        if beating:
            body = self._alive()
            for token, runner in speaking:
                alive = self._signed(Event(token=token, runner=runner, seq=0, body=body))
                pipe.xadd(redis_keys.EVENTS, {redis_keys.EVENT_FIELD: alive})
        sent = len(pipe)
        for outbox, _ in batches:
            pipe.get(redis_keys.confirmation(outbox.token))
        if not len(pipe):
            return False
        answers = pipe.execute()[sent:]
        with self._lock:
            for outbox, entries in batches:
                if entries:
                    outbox.sent = max(outbox.sent, entries[-1][0])
        for (outbox, _), answer in zip(batches, answers, strict=True):
            if answer is not None:
                self._confirmed(outbox, answer, now)
        for outbox, entries in batches:
            if entries:
                outbox.carried.set()
        with self._lock:
            # Now that some are confirmed, others may follow them.
            return any(outbox.unsent(1) for outbox, _ in batches)

    def _signed(self, event: Event) -> bytes:
        return self._keyring.seal(Purpose.EVENT, encode(event))

    def _full(self) -> bool:
        with self._lock:
            return any(outbox.full for outbox in self._outboxes.values())

    def _speaking(self) -> list[tuple[str, str]]:
        """Returns whom a sign of life is for: the job at hand, and those whose last word waits for an upload."""
        waiting = [
            (outbox.token, outbox.runner)
            for outbox in self._outboxes.values()
            if not outbox.closed and outbox.runner != self._current[1]
        ]
        return [self._current, *waiting]

    def _confirmed(self, outbox: Outbox, answer: bytes, now: float) -> None:
        try:
            confirmation = decode_confirmation(self._keyring.open(Purpose.CONFIRMATION, answer, outbox.token))
        except Malformed as error:
            about = {"action": "bad_confirmation", "token": outbox.token}
            log.error("unreadable confirmation: %s", error, extra=about)
            return
        with self._lock:
            if confirmation.runner == outbox.runner:
                outbox.confirm(confirmation.seq, now)
            elif confirmation.runner or confirmation.verdict is not None:
                # Another start of this attempt was bound first, or none ever will be: nobody wants to hear this one.
                outbox.clear()
            if outbox.closed and not outbox:
                self._outboxes.pop(outbox.runner, None)
        with contextlib.suppress(OSError):
            self._on_confirmation(outbox.runner, confirmation)

    def _due(self, outbox: Outbox, now: float, beating: bool) -> list[tuple[int, bytes]]:
        """Returns what is to be sent of a runner, the oldest of it once more where nothing has been confirmed for long.

        Only that: with nobody there to read it, the stream would grow for ever.
        """
        entries = outbox.unsent(SEND_AT_ONCE)
        if not outbox:
            outbox.stalled_since = now
        elif beating and now - outbox.stalled_since > 2 * self._heartbeat:
            outbox.stalled_since = now
            if outbox.sent > outbox.confirmed:
                entries = outbox.probe() + entries
        return entries

    def _forget_sent(self) -> None:
        # A request that failed may have arrived or not; the receiver drops what it has already seen.
        with self._lock:
            for outbox in self._outboxes.values():
                outbox.forget_sent()
                outbox.carried.set()
