"""Whatever is raised in a keeper, an outcome is published, its signs of life end, and the slot takes the next job."""

from __future__ import annotations

import errno
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fleet import Pause

from orchestrator.local.embedded_redis import EmbeddedServer
from tasks import redis_keys
from tasks.app import connect
from tasks.codec import decode_event
from tasks.contract import TERMINAL, Event, Failed, Finished, Job, Released, Started
from tasks.keeper import keeper
from tasks.keeper.keeper import Keeper
from tasks.keeper.slot import Slot, SlotTable
from tasks.objective_allowlist import Allowlist
from tasks.objective_path import OBJECTIVE_PATH

OBJECTIVE = """
def objective(trial):
    trial.report(0.5, 1)
    (trial.artifact_dir / "file").write_text("kept")
    return 1.0
"""
PATIENCE = 240.0
PARTS = ("_publisher", "_replies", "_store", "_artifacts", "_monitors", "_trainers", "_memory")
"""What a keeper calls."""

NOT_OF_A_JOB = ("_publisher.begin", "_publisher.close", "_monitors.close", "_store.close", "_artifacts.close")
"""Where the first one fails, the keeper ends, and its worker says so."""

OWN = ("_train", "_publish_started", "_follow", "_handle", "_wait", "_settle")
"""Its own steps."""

FUNCTIONS = ("make_trial_log",)
"""What its module calls."""


class Planted(Exception):
    """Raised where nothing should be."""


class Cluster:
    """A keeper in this process, on a server of its own."""

    def __init__(self, folder: Path) -> None:
        (folder / "failing.py").write_text(OBJECTIVE)
        lock = os.open(folder, os.O_RDONLY)
        self.server = EmbeddedServer(folder / "redis", lock)
        self.server.wait_ready()
        os.close(lock)
        self.client = connect(self.server.url)
        self.slots = SlotTable(1)
        environment = os.environ | {OBJECTIVE_PATH: str(folder)}
        slot = Slot(
            index=0,
            name="w/0",
            mark=uuid.uuid4().hex,
            device="cpu",
            environment=environment,
            data=folder / "data",
            checkpoints=str(folder / "data" / "checkpoints"),
            artifacts=str(folder / "data" / "artifacts"),
            allowlist=Allowlist.of(environment),
        )
        self.keeper = Keeper(
            slot,
            lambda: connect(self.server.url),
            lambda *_: None,
            # None is due while something is planted: that thread would meet the error instead of the job.
            heartbeat=3_600.0,
            slots=self.slots,
        )
        self.keeper.start()

    def run(self) -> list[Event]:
        """Runs a job; returns what was published of it, in order."""
        token = str(uuid.uuid4())
        job = Job(
            study="s", uid="u", trial=0, token=token, attempt=1, objective="failing:objective", directions=("maximize",)
        )
        self.keeper.run(job)
        assert self.slots.busy() == 0
        assert self.slots.runner(0) is None
        publisher: Any = self.keeper._publisher
        assert publisher._alive_runners() == [("", "")], "a sign of life would be sent for a job that is over"
        deadline, pause = time.monotonic() + PATIENCE, Pause()
        while publisher._outboxes and any(outbox.unsent(1) for outbox in publisher._outboxes.values()):
            assert time.monotonic() < deadline, "what was said is not sent"
            publisher._wake.set()
            pause()
        entries: Any = self.client.xrange(redis_keys.EVENTS)
        events = [decode_event(fields[redis_keys.EVENT_FIELD]) for _, fields in entries]
        self.client.delete(redis_keys.EVENTS)
        return [event for event in events if event.token == token]

    def parts(self) -> list[str]:
        """Returns what a keeper calls, as ``part.method``."""
        return [
            f"{part}.{name}"
            for part in PARTS
            for name in dir(getattr(self.keeper, part))
            if not name.startswith("_") and name not in dir(threading.Thread) and f"{part}.{name}" not in NOT_OF_A_JOB
            if callable(getattr(type(getattr(self.keeper, part)), name, None))
        ]

    def close(self) -> None:
        self.keeper.close()
        self.client.close()
        self.server.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with pytest.MonkeyPatch.context() as patch:
        # Another test may have had this process adopt orphans; the server would be taken for one that a trial left.
        patch.setattr("tasks.keeper.process_cleanup.adopts_orphans", lambda: False)
        made = Cluster(tmp_path_factory.mktemp("keeper"))
        yield made
        made.close()


def planted(target: Any, name: str, error: BaseException, called: list[str]) -> Callable[..., Any]:
    """Returns what raises when it is first called, and then does what it should."""
    real = getattr(target, name)

    def call(*arguments: Any, **options: Any) -> Any:
        if not called:
            called.append(name)
            raise error
        return real(*arguments, **options)

    return call


def check(events: list[Event], expected: type) -> None:
    numbered = [event for event in events if event.seq]
    assert [event.seq for event in numbered] == list(range(1, len(numbered) + 1)), "a gap would never be closed"
    assert isinstance(numbered[0].body, Started)
    ends = [event.body for event in numbered if isinstance(event.body, TERMINAL)]
    assert len(ends) >= 1, numbered
    assert isinstance(ends[0], expected), ends


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(Planted("here"), id="bug"),
        pytest.param(OSError(errno.ENOSPC, "No space left on device"), id="disk", marks=pytest.mark.long),
    ],
)
def test_an_outcome_is_published(cluster: Cluster, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    expected = Finished | (Released if isinstance(error, OSError) else Failed)
    reached = []
    for place in [*cluster.parts(), *OWN, *FUNCTIONS]:
        part, _, name = place.rpartition(".")
        target = keeper if place in FUNCTIONS else getattr(cluster.keeper, part) if part else cluster.keeper
        called: list[str] = []
        with monkeypatch.context() as patch:
            patch.setattr(target, name, planted(target, name, error, called))
            events = cluster.run()
        if called:
            reached.append(place)
            check(events, expected)
        cluster.slots.trouble = ""
    assert len(reached) > 20, reached
    assert set(FUNCTIONS) <= set(reached)
    check(cluster.run(), Finished)
