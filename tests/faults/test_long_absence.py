"""A control plane that is away for an hour: what is said meanwhile is kept in bounds, and recorded when it is back.

The keepers' voices, Redis and the database are real. What an hour at a thousand events a second comes to is said as
fast as it can be; in an ordinary run, a part of it. ``TEST_ABSENCE_EVENTS=3600000`` says all of it.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import sqlalchemy

from orchestrator.control.assembly import Options, make_controller
from orchestrator.control.file_deleter import FileDeleter
from orchestrator.control.ports import Ports
from orchestrator.messaging.event_stream import EventStream
from orchestrator.spec.model import validate
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.store import Store
from tasks import redis_keys
from tasks.contract import Confirmation, Epoch, Finished, Heartbeat, Job, Started
from tasks.keeper.outbox import IN_MEMORY, SENT_AHEAD
from tasks.keeper.publisher import Publisher
from tests.servers import PostgreSQL, Redis
from tests.simulated.memory import MemoryBroker, MemoryRedis

EVENTS = int(os.environ.get("TEST_ABSENCE_EVENTS", "60000"))
RUNNERS = 4
STEPS = EVENTS // RUNNERS
HEARTBEAT = 0.5
LEASE = 60.0
PATIENCE = 60.0 + EVENTS / 1_000

pytestmark = pytest.mark.timeout(60 + 3 * PATIENCE)


class Voice:
    """What a keeper has to speak with, for one job."""

    def __init__(self, server: Redis, folder: Path, job: Job) -> None:
        self.token = job.token
        self.runner = f"runner-{job.trial}"
        self.confirmed = 0
        self._publisher = Publisher(
            server.client(),
            folder,
            heartbeat=HEARTBEAT,
            alive=lambda: Heartbeat(host="host", slot=self.runner, busy=True),
            on_confirmation=self._hear,
        )
        self._publisher.begin(self.token, self.runner)
        self._publisher.start()
        self._publisher.publish(self.runner, Started(host="elsewhere", pid=1, slot=self.runner))

    def speak(self) -> None:
        """Says the rest of the trial, in one go."""
        for step in range(STEPS):
            self._publisher.publish(self.runner, Epoch(step=step, value=float(step)))
        self._publisher.publish(self.runner, Finished(values=(1.0,)))
        self._publisher.end(self.runner)

    @property
    def in_memory(self) -> int:
        return self._publisher.in_memory()

    @property
    def unconfirmed(self) -> int:
        return self._publisher.unconfirmed()

    def close(self) -> None:
        self._publisher.close(0.0)

    def _hear(self, runner: str, confirmation: Confirmation) -> None:
        if runner == confirmation.runner:
            self.confirmed = max(self.confirmed, confirmation.seq)


class ControlPlane:
    """The real loop on the real servers; this test alone receives the tasks."""

    def __init__(self, redis: Redis, database: Database, folder: Path, broker: MemoryRedis) -> None:
        self._open = ExitStack()
        client = self._open.enter_context(closing(redis.client()))
        lease = WriterLease(database, LEASE)
        assert lease.acquire() is None
        self.store = Store(database, lease)
        self._open.callback(self.store.close)
        ports = Ports(
            self.store,
            EventStream(client),
            MemoryBroker(broker),
            FileDeleter(str(folder / "checkpoints"), "a checkpoint"),
            FileDeleter(str(folder / "artifacts"), "an artifact"),
        )
        self._controller = make_controller(ports, Options(LEASE, HEARTBEAT))
        self._open.callback(self._controller.close)
        self._lease = lease

    def start(self) -> None:
        self._controller.start()

    def run_until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, "it does not get there"
            self._controller.run_once()

    def close(self) -> None:
        self._lease.release()
        self._open.close()


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    server = Redis(tmp_path / "redis")
    server.start()
    yield server
    server.close()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    server = PostgreSQL(tmp_path / "postgresql")
    server.start()
    made = Database(server.url)
    made.prepare()
    yield made
    made.close()
    server.close()


def test_an_hour_of_events_is_kept_in_bounds_and_recorded_once(
    redis: Redis, database: Database, tmp_path: Path
) -> None:
    spec = validate(
        {
            "name": "absent",
            "objective": "somewhere:objective",
            "trials": RUNNERS,
            "parallel": RUNNERS,
            "pruner": {"name": "none"},
            "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
        },
        "test",
    )
    broker = MemoryRedis()
    first = ControlPlane(redis, database, tmp_path, broker)
    first.store.create(spec, time.time())
    first.start()
    voices: list[Voice] = []
    for _ in range(RUNNERS):
        # The start of one is what has the next one asked for.
        first.run_until(lambda: broker.queues[spec.queue])
        voices.append(Voice(redis, tmp_path / "scratch", broker.queues[spec.queue].pop()))
    begun = time.monotonic()
    speaking = [threading.Thread(target=voice.speak) for voice in voices]
    try:
        first.run_until(lambda: all(voice.confirmed for voice in voices))
        first.close()
        for thread in speaking:
            thread.start()
        for thread in speaking:
            thread.join()
        with closing(redis.client()) as client:
            waiting = int(client.xlen(redis_keys.EVENTS))  # type: ignore[arg-type]
        assert all(voice.in_memory <= IN_MEMORY for voice in voices)
        assert sum(voice.unconfirmed for voice in voices) == RUNNERS * (STEPS + 1)
        beats = (time.monotonic() - begun) / HEARTBEAT
        # Beside that, signs of life, and the oldest event once more every other time.
        assert waiting <= RUNNERS * (SENT_AHEAD + 2 * beats + 2)

        second = ControlPlane(redis, database, tmp_path, broker)
        second.start()
        second.run_until(lambda: not any(voice.unconfirmed for voice in voices))
        second.close()
    finally:
        for voice in voices:
            voice.close()

    assert [voice.confirmed for voice in voices] == [STEPS + 2] * RUNNERS, "they have heard it"
    engine = sqlalchemy.create_engine(database.url)
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT COUNT(*), COUNT(DISTINCT (trial_id, step)), SUM(intermediate_value) FROM trial_intermediate_values"
        ).one()
        states = connection.exec_driver_sql("SELECT state, COUNT(*) FROM trials GROUP BY state").all()
    engine.dispose()
    assert tuple(rows) == (RUNNERS * STEPS, RUNNERS * STEPS, RUNNERS * STEPS * (STEPS - 1) / 2)
    assert [tuple(row) for row in states] == [("COMPLETE", RUNNERS)]
