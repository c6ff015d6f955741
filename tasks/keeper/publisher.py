"""Publishes a keeper's events to the stream, in order, and sends them again until they are confirmed.

A thread makes the round trips to Redis, so that the training loop, whose report ends in the keeper's socket, never
waits for the network; the start of a runner alone is published by the thread that waits for it. Every round trip adds
new events and reads the confirmations.
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
"""Errors of a server that is away, slow, loading, read-only or full: the events are kept and sent again."""

SEND_AT_ONCE = 500
"""Most events in one round trip, so that requests stay bounded after a long outage."""

FULL_SECONDS = 0.01
"""Poll delay while the send window of a runner is full; doubles up to one heartbeat."""


class Publisher(threading.Thread):
    """Sends events and heartbeats, sends unconfirmed events again, and passes confirmations to ``on_confirmation``.

    Args:
        client: A Redis client of the publisher's own, with finite socket timeouts.
        folder: Folder for events that do not fit into memory.
        heartbeat: Seconds between two heartbeats.
        alive: Makes the heartbeat's body; called in this thread.
        on_confirmation: Called with every confirmation that was read, in the thread that read it.
        keyring: Signs events, and verifies confirmations.
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
        self._rounds = threading.Lock()
        self._wake = threading.Event()
        self._outboxes: dict[str, Outbox] = {}
        self._ask = False
        self._current: tuple[str, str] = ("", "")
        self._away = False
        self._outage = Outage(log, "redis", "training goes on")
        self._stopping = False

    def begin(self, token: str, runner: str) -> None:
        """Begins to number the events of a new runner."""
        with self._lock:
            self._outboxes[runner] = Outbox(token, runner, self._folder, time.monotonic())
            self._current = (token, runner)

    def publish(self, runner: str, body: Body) -> int:
        """Queues an event of ``runner`` and returns its sequence number; drops events behind its outcome.

        An event that cannot be encoded raises, and takes no number.
        """
        number, full = self._add(runner, body)
        if not full:
            self._wake.set()
        return number

    def publish_now(self, runner: str, body: Body) -> None:
        """Publishes an event from the calling thread, which so waits for one round trip and for no other thread; not
        while Redis is away."""
        self._add(runner, body)
        if self._away or not self.is_alive():
            self._wake.set()
            return
        with self._rounds, contextlib.suppress(*RETRYABLE):
            # Where it fails, the thread meets the same error.
            if not self._round(time.monotonic(), beating=False):
                return
        self._wake.set()

    def _add(self, runner: str, body: Body) -> tuple[int, bool]:
        """Queues an event; returns its number, and whether those before it have used up the send window."""
        with self._lock:
            outbox = self._outboxes.get(runner)
            if outbox is None or outbox.closed:
                return 0, True
            data = self._signed(Event(token=outbox.token, runner=runner, seq=outbox.last + 1, body=body))
            outbox.last += 1
            outbox.add(data)
            return outbox.last, outbox.full

    def await_answer(self, runner: str, timeout: float) -> None:
        """Waits until the first events of ``runner`` are sent and confirmations were read; not while Redis is away."""
        if not self._away:
            self._outboxes[runner].answered.wait(timeout)

    def end(self, runner: str) -> None:
        """Ends the events of ``runner``; unconfirmed ones are still sent again."""
        with self._lock:
            if runner in self._outboxes:
                self._outboxes[runner].closed = True
            if self._current[1] == runner:
                self._current = ("", "")

    def ask(self) -> None:
        """Reads the confirmations now."""
        self._ask = True
        self._wake.set()

    def unconfirmed(self) -> int:
        """Returns the number of unconfirmed events."""
        with self._lock:
            return sum(map(len, self._outboxes.values()))

    def in_memory(self) -> int:
        """Returns the number of unconfirmed events in memory."""
        with self._lock:
            return sum(outbox.in_memory for outbox in self._outboxes.values())

    def spilled(self) -> int:
        """Returns the bytes of unconfirmed events on disk."""
        with self._lock:
            return sum(outbox.spilled for outbox in self._outboxes.values())

    @property
    def away(self) -> bool:
        """Whether the last round trip failed."""
        return self._away

    def close(self, timeout: float) -> None:
        """Stops; waits at most ``timeout`` seconds for confirmations."""
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
                with self._rounds:
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
        """Makes one round trip; returns whether there is more to send."""
        self._ask, asked = False, self._ask
        with self._lock:
            batches = [
                (outbox, entries)
                for outbox in self._outboxes.values()
                if (entries := self._due(outbox, now, beating)) or asked or beating
            ]
            runners = self._alive_runners()
        pipe = self._client.pipeline(transaction=False)
        for _, entries in batches:
            for _, data in entries:
                pipe.xadd(redis_keys.EVENTS, {redis_keys.EVENT_FIELD: data})
        if beating:
            body = self._alive()
            for token, runner in runners:
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
                outbox.answered.set()
        with self._lock:
            # Confirmations make room in the send window.
            return any(outbox.unsent(1) for outbox, _ in batches)

    def _signed(self, event: Event) -> bytes:
        return self._keyring.seal(Purpose.EVENT, encode(event))

    def _full(self) -> bool:
        with self._lock:
            return any(outbox.full for outbox in self._outboxes.values())

    def _alive_runners(self) -> list[tuple[str, str]]:
        """Returns (token, runner) of each heartbeat: the current job, and those whose outcome waits for an upload."""
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
                # Another runner was bound first, or none ever will be: the events of this one are not wanted.
                outbox.clear()
            if outbox.closed and not outbox:
                self._outboxes.pop(outbox.runner, None)
        with contextlib.suppress(OSError):
            self._on_confirmation(outbox.runner, confirmation)

    def _due(self, outbox: Outbox, now: float, beating: bool) -> list[tuple[int, bytes]]:
        """Returns the events of a runner to send now, and again its oldest one where none was confirmed for long.

        Only the oldest: while no control plane reads the stream, it must not grow.
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
        # A request that failed may have arrived; the receiver drops duplicates.
        with self._lock:
            for outbox in self._outboxes.values():
                outbox.forget_sent()
                outbox.answered.set()
