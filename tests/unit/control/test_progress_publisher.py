"""The notices of a large fleet: what changed, now and then all of it, and no more of it in Redis than is of use."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.control.ports import Round
from orchestrator.control.progress_publisher import FEW
from orchestrator.messaging.event_stream import NOTICE_BYTES_KEPT, NOTICES_KEPT, EventStream
from orchestrator.model.progress_events import OtherSource, Progress, ProgressChange, TakenUp, TrialEnded, decode
from orchestrator.spec.model import validate
from tasks import redis_keys
from tasks.app import connect
from tests.servers import Redis
from tests.simulated.simulation import Simulation

SEARCH = {
    "name": "search",
    "objective": "somewhere:objective",
    "trials": 90,
    "max_steps": 4,
    "lookahead": 40,
    "sampler": {"name": "random"},
    "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
    "pruner": {"name": "median", "n_startup_trials": 2},
}

_of_a_version_before = msgspec.msgpack.Decoder(Progress | TrialEnded | OtherSource | TakenUp)


class Watcher:
    """Follows the notices of a simulated search, and holds what it knows against the engine after each round."""

    def __init__(self, slots: int) -> None:
        self.kinds: list[type] = []
        self.compared = 0
        self.unreadable = 0
        self.progress: Progress | None = None
        self._read = 0
        self.world = Simulation(validate(SEARCH, "test"), slots=slots, observer=self.observe)

    def observe(self, round: Round) -> None:
        del round
        sent = self.world.redis.notices["search"]
        told, self._read = sent[self._read :], len(sent)
        for data in told:
            notice = decode(data)
            self.kinds.append(type(notice))
            if isinstance(notice, Progress):
                self.progress = notice
            elif isinstance(notice, ProgressChange):
                assert self.progress is not None
                self.progress = notice.applied_to(self.progress)
            try:
                _of_a_version_before.decode(data)
            except msgspec.ValidationError:
                self.unreadable += 1
        controller = self.world.controller
        if told and self.kinds[-1] in (Progress, ProgressChange) and controller and "search" in controller.studies:
            assert self.progress is not None
            assert msgspec.structs.replace(self.progress, at=None) == controller.studies["search"].progress()
            self.compared += 1

    def run(self, pause: float) -> None:
        """Lets the slots speak in turn, with seconds between two rounds of them, until the search has ended."""
        self.world.start()
        for _ in range(500):
            for slot in self.world.slots:
                self.world.turn(slot)
            self.world.pass_time(pause)
            while self.world.round():
                pass
            if self.progress is not None and self.progress.state == "finished":
                return
        raise AssertionError("the search does not end")


@given(slots=st.integers(1, 40), pause=st.sampled_from([0.001, 0.05, 0.3]))
@settings(max_examples=15)
def test_what_a_watcher_knows_is_what_the_engine_knows(slots: int, pause: float) -> None:
    watcher = Watcher(slots)
    watcher.run(pause)
    assert watcher.compared > 0
    changes = watcher.kinds.count(ProgressChange)
    assert watcher.unreadable == changes, "what is not new is read by a version before"
    if slots <= FEW:
        assert changes == 0
    assert watcher.kinds.count(TrialEnded) == SEARCH["trials"]


def test_of_many_slots_only_what_changed_is_told_and_now_and_then_all() -> None:
    watcher = Watcher(40)
    watcher.run(0.11)
    assert watcher.kinds.count(ProgressChange) > 2
    assert 2 < watcher.kinds.count(Progress) < len(watcher.kinds) / 2


@pytest.mark.parametrize(("limit", "usual", "few"), [("CHANGES_PER_SECOND", 1000, 20), ("TELLINGS_PER_SECOND", 200, 1)])
def test_what_changes_is_told_so_many_times_a_second(
    monkeypatch: pytest.MonkeyPatch, limit: str, usual: int, few: int
) -> None:
    told = []
    for most in (usual, few):
        monkeypatch.setattr(f"orchestrator.control.progress_publisher.{limit}", most)
        watcher = Watcher(40)
        watcher.run(0.11)
        told.append(watcher.kinds.count(ProgressChange) + watcher.kinds.count(Progress))
    assert told[1] < told[0] / 2


@pytest.fixture
def server(tmp_path: Any) -> Any:
    it = Redis(tmp_path)
    it.start()
    yield it
    it.close()


def test_the_notices_of_many_studies_are_one_round_trip_and_one_of_them_costs_the_others_nothing(
    server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(server.url)
    stream = EventStream(client)
    names = [f"s{number}" for number in range(100)]
    client.set(redis_keys.notices("s50"), "something else")
    notices = {name: [Progress(study=name, state="running", reason="")] * 2 for name in names}
    client.config_resetstat()
    stream.notify(notices)
    stats: Any = client.info("stats")
    assert stats["total_reads_processed"] < len(names) / 2
    for name in names:
        if name != "s50":
            assert client.xlen(redis_keys.notices(name)) == 2
            assert client.ttl(redis_keys.notices(name)) > 0
    assert len(caplog.messages) == 1
    assert redis_keys.notices("s50") in caplog.messages[0]
    client.close()


@pytest.mark.parametrize(("size", "most"), [(100, NOTICES_KEPT + 100), (20_000, 2 * NOTICE_BYTES_KEPT // 20_000)])
def test_the_notices_of_a_study_are_bounded_in_number_and_in_bytes(server: Redis, size: int, most: int) -> None:
    client = connect(server.url)
    stream = EventStream(client)
    notice = Progress(study="s", state="running", reason="x" * size)
    for _ in range(30):
        stream.notify({"s": [notice] * 100})
    entries: Any = client.xlen(redis_keys.notices("s"))
    taken: Any = client.memory_usage(redis_keys.notices("s"), samples=0)
    assert 50 <= entries <= most
    assert taken < 1.5 * NOTICE_BYTES_KEPT
    client.close()
