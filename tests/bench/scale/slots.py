"""Simulated slots: what a keeper and its trainer would say and hear, without the processes.

One process of them is started per queue: ``python -m tests.bench.scale.slots PORT DATABASE QUEUE SLOTS``. It takes
tasks from Celery's lists, publishes events, reads confirmations, and leaves a trial at Celery's revoke or at a verdict
that comes back with a report. A line on its standard input asks for what was measured since the last one; it is
answered with one line of JSON.
"""

from __future__ import annotations

import base64
import contextlib
import heapq
import itertools
import json
import os
import random
import selectors
import sys
import time
import uuid
from collections import Counter, deque
from typing import Any, Final

from orchestrator.messaging.dispatch import queue_names
from tasks import redis_keys
from tasks.codec import decode_confirmation, encode, job_from_payload
from tasks.contract import (
    PEAK_MEMORY,
    Body,
    Epoch,
    Event,
    Finished,
    Heartbeat,
    Imported,
    Job,
    Paused,
    Started,
    Stopped,
    Verdict,
)
from tests.bench.scale.wire import Connection

HEARTBEAT: Final = 2.0
WINDOW: Final = 64
"""Unconfirmed events of a slot that reports as fast as it can."""

FULL_SECONDS: Final = 0.01
"""Poll delay while the window is full; doubles up to one heartbeat."""

GOLDEN: Final = 0.6180339887498949


class Runner:
    """A start of an attempt: its events, and those that are not confirmed.

    Args:
        job: Its ``args`` say how it trains: ``epochs`` of ``seconds`` each (of trials below ``quick`` a hundredth).
        slot: Where it trains.
    """

    def __init__(self, job: Job, slot: int) -> None:
        self.job = job
        self.slot = slot
        self.token = job.token
        self.name = uuid.uuid4().hex
        self.key = redis_keys.confirmation(job.token)
        self.seq = 0
        self.confirmed = 0
        self.unconfirmed: deque[bytes] = deque()
        self.stalled_since = time.monotonic()
        self.reported: dict[int, float] = {}
        self.step = 0
        self.pause = FULL_SECONDS
        self.due = 0.0
        self.ended = False
        self.seconds = float(job.args["seconds"])
        if job.trial < job.args.get("quick", 0):
            self.seconds = min(self.seconds, 0.01)
        self.epochs = int(job.args["epochs"])

    @property
    def full(self) -> bool:
        return len(self.unconfirmed) >= WINDOW

    def event(self, body: Body) -> bytes:
        """Returns the next event, encoded; it is kept until it is confirmed."""
        self.seq += 1
        data = encode(Event(token=self.token, runner=self.name, seq=self.seq, body=body))
        self.unconfirmed.append(data)
        return data

    def confirm(self, seq: int) -> None:
        """Drops what is committed."""
        if seq > self.confirmed:
            for _ in range(min(seq - self.confirmed, len(self.unconfirmed))):
                self.unconfirmed.popleft()
            self.confirmed = seq
            self.stalled_since = time.monotonic()
            self.pause = FULL_SECONDS

    def value(self) -> float:
        """Returns the value of the present step: trials differ, and none overtakes another."""
        return (self.job.trial * GOLDEN) % 1.0 + self.step * 1e-6


class Fleet:
    """The slots of one queue.

    Args:
        port: Of Redis.
        database: Number of the Redis database.
        queue: Where tasks are taken from.
        slots: How many there are.
    """

    def __init__(self, port: int, database: int, queue: str, slots: int) -> None:
        self._queue = queue
        self._main = Connection(port)
        self._taker = Connection(port)
        self._bell = Connection(port, self._hear)
        for connection in (self._main, self._taker):
            connection.request("SELECT", database)
        self._bell.request("SUBSCRIBE", f"/{database}.celery.pidbox")
        self._bell.flush()
        self._names = [f"scale-{queue}-{index}" for index in range(slots)]
        now = time.monotonic()
        self._idle: deque[tuple[int, float | None]] = deque((index, None) for index in range(slots))
        self._running: dict[int, Runner] = {}
        # The last one of each attempt: a task that is given to the queue again may start a second one.
        self._of_attempt: dict[str, Runner] = {}
        self._leaving: dict[str, Runner] = {}
        self._taking = False
        self._tie = itertools.count()
        self._agenda: list[tuple[float, int, int, Runner | None]] = []
        for index in range(slots):
            self._plan(now + HEARTBEAT * index / slots, index)
        self._clear()

    def _clear(self) -> None:
        self.prunes: list[float] = []
        self.refills: list[float] = []
        self.counts: Counter[str] = Counter()
        self.starts: Counter[str] = Counter()

    def run(self) -> None:
        """Works until the standard input ends."""
        selector = selectors.DefaultSelector()
        for connection in (self._main, self._taker, self._bell):
            selector.register(connection, selectors.EVENT_READ, connection.receive)
        selector.register(sys.stdin, selectors.EVENT_READ, self._answer)
        while True:
            self._do_what_is_due(time.monotonic())
            self._take_tasks()
            self._main.flush()
            wait = max(0.0, self._agenda[0][0] - time.monotonic())
            for key, _ in selector.select(wait):
                key.data()

    def _answer(self) -> None:
        if not sys.stdin.readline():
            raise EOFError
        told = {
            "prunes": self.prunes,
            "refills": self.refills,
            "counts": self.counts,
            "starts": self.starts,
            "busy": len(self._running),
        }
        print(json.dumps(told), flush=True)
        self._clear()

    # -- time

    def _plan(self, at: float, slot: int, runner: Runner | None = None) -> None:
        """Plans the next report of a runner, in place of the one that was planned, or the slot's next heartbeat."""
        if runner is not None:
            runner.due = at
        heapq.heappush(self._agenda, (at, next(self._tie), slot, runner))

    def _do_what_is_due(self, now: float) -> None:
        while self._agenda[0][0] <= now:
            due, _, slot, runner = heapq.heappop(self._agenda)
            if runner is None:
                self._beat(slot, now)
                self._plan(max(due + HEARTBEAT, now + HEARTBEAT / 2), slot)
            elif runner.due == due and not runner.ended:
                self._train(slot, runner, due, now)

    def _train(self, slot: int, runner: Runner, due: float, now: float) -> None:
        if runner.seconds:
            self._report(runner, now)
            after = max(due, now - runner.seconds) + runner.seconds
        else:
            while not runner.full and not runner.ended:
                self._report(runner, now)
            after = now + runner.pause
            runner.pause = min(2 * runner.pause, HEARTBEAT)
        self._ask(runner)
        if not runner.ended:
            self._plan(after, slot, runner)

    def _report(self, runner: Runner, now: float) -> None:
        runner.step += 1
        runner.reported[runner.step] = now
        self._publish(runner.event(Epoch(step=runner.step, value=runner.value())))
        self.counts["epochs"] += 1
        if runner.step >= runner.epochs:
            self._end(runner, Finished(values=(runner.value(),), measured={PEAK_MEMORY: 1e9}), now)
        elif runner.job.slice is not None and runner.step >= runner.job.slice.until_step:
            self._end(runner, Paused(step=runner.step), now)

    # -- what is said and heard

    def _publish(self, data: bytes) -> None:
        self.counts["entries"] += 1
        self._main.request("XADD", redis_keys.EVENTS, "*", redis_keys.EVENT_FIELD, data)

    def _ask(self, runner: Runner) -> None:
        self._main.request("GET", runner.key, then=lambda answer: self._confirmed(runner, answer))

    def _beat(self, slot: int, now: float) -> None:
        runner = self._running.get(slot)
        body = Heartbeat(
            host="scale",
            slot=self._names[slot],
            busy=runner is not None,
            queues=(self._queue,),
            quiet=None if runner is None else now - runner.reported.get(runner.step, now),
            pace=None if runner is None else runner.seconds,
        )
        token, name = ("", "") if runner is None else (runner.token, runner.name)
        self._publish(encode(Event(token=token, runner=name, seq=0, body=body)))
        if runner is not None:
            self._send_again(runner, now)
        if slot == 0:
            for left in list(self._leaving.values()):
                self._send_again(left, now)

    def _send_again(self, runner: Runner, now: float) -> None:
        if runner.unconfirmed and now - runner.stalled_since > 2 * HEARTBEAT:
            runner.stalled_since = now
            self.counts["again"] += 1
            self._publish(runner.unconfirmed[0])
        self._ask(runner)

    def _confirmed(self, runner: Runner, answer: bytes | None) -> None:
        if answer is None:
            return
        confirmation = decode_confirmation(answer)
        if confirmation.runner == runner.name:
            runner.confirm(confirmation.seq)
        elif confirmation.runner or confirmation.verdict is not None:
            runner.unconfirmed.clear()
        if not runner.unconfirmed:
            self._leaving.pop(runner.name, None)
        if confirmation.verdict is not None and not runner.ended:
            self._obey(runner, confirmation.verdict)
        elif not runner.seconds and not runner.ended and not runner.full:
            self._plan(time.monotonic(), runner.slot, runner)

    def _obey(self, runner: Runner, verdict: Verdict) -> None:
        now = time.monotonic()
        latency = None
        if verdict.step is not None and verdict.step in runner.reported:
            latency = now - runner.reported[verdict.step]
            self.prunes.append(latency)
        self._end(runner, Stopped(latency=latency, measured={PEAK_MEMORY: 1e9}), now)

    def _end(self, runner: Runner, body: Body, now: float) -> None:
        self._publish(runner.event(body))
        runner.ended = True
        self._leaving[runner.name] = runner
        del self._running[runner.slot]
        if self._of_attempt.get(runner.token) is runner:
            del self._of_attempt[runner.token]
        self._idle.append((runner.slot, now))
        self.counts["ends"] += 1

    def _hear(self, message: Any) -> None:
        """A broadcast of Celery's: a revoke rings the keeper of the attempt, which reads its verdict."""
        if not isinstance(message, list) or message[0] != b"message":
            return
        body = json.loads(message[2])["body"]
        arguments = json.loads(base64.b64decode(body)).get("arguments") or {}
        if (runner := self._of_attempt.get(arguments.get("task_id"))) is not None:
            self._ask(runner)

    # -- tasks

    def _take_tasks(self) -> None:
        if self._idle and not self._taking:
            self._taking = True
            self._taker.request("BRPOP", *queue_names(self._queue), 1, then=self._took)
            self._taker.flush()

    def _took(self, answer: Any) -> None:
        self._taking = False
        if answer is None:
            return
        payload = json.loads(base64.b64decode(json.loads(answer[1])["body"]))[0][0]
        slot, since = self._idle.popleft()
        now = time.monotonic()
        runner = Runner(job_from_payload(payload), slot)
        self._running[slot] = runner
        self._of_attempt[runner.token] = runner
        if since is not None:
            self.refills.append(now - since)
        self.starts[runner.job.study] += 1
        gap = None if since is None else now - since
        self._publish(runner.event(Started(host="scale", pid=os.getpid(), slot=self._names[slot], gap=gap)))
        self._publish(runner.event(Imported(digest="0" * 64)))
        self._ask(runner)
        # A fleet that was started together does not stay in step for long.
        first = runner.seconds if since is not None else runner.seconds * random.random()
        self._plan(now + first, slot, runner)


def main() -> None:
    """Runs the slots that the arguments name."""
    port, database, queue, slots = sys.argv[1:]
    with contextlib.suppress(EOFError, KeyboardInterrupt, ConnectionError):
        Fleet(int(port), int(database), queue, int(slots)).run()


if __name__ == "__main__":
    main()
