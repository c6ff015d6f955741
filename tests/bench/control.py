"""The control plane alone: events as keepers would send them, written to the stream beforehand."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from orchestrator.control.assembly import Options, make_controller
from orchestrator.control.file_deleter import FileDeleter
from orchestrator.control.metrics import ControlMetrics
from orchestrator.control.ports import Hooks, Ports, Round
from orchestrator.engine.inputs import EventReceived, SamplerAnswered
from orchestrator.engine.state import Snapshot
from orchestrator.engine.study import StudyEngine
from orchestrator.messaging.dispatch import Dispatcher
from orchestrator.messaging.event_stream import BATCH, EventStream
from orchestrator.sampling.sampler_replica import Replica
from orchestrator.spec import Spec
from orchestrator.storage.database import Database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.store import Store
from tasks import redis_keys
from tasks.app import connect
from tasks.codec import encode
from tasks.contract import Body, Epoch, Event, Finished, Started
from tests.bench.figures import Row, Section, rate, timing
from tests.bench.fleet import spec_of
from tests.bench.servers import Place, say

MEDIAN = {"name": "median", "n_startup_trials": 1}


@dataclass
class Keepers:
    """Says what keepers would say, for attempts whose tokens are known."""

    tokens: Sequence[str]
    spoken: dict[int, int] = field(default_factory=dict)

    def say(self, trial: int, body: Body) -> Event:
        self.spoken[trial] = self.spoken.get(trial, 0) + 1
        return Event(token=self.tokens[trial], runner=f"runner-{trial}", seq=self.spoken[trial], body=body)

    def start(self) -> list[Event]:
        """All of them start."""
        return [self.say(trial, Started(host="bench", pid=0, slot=f"{trial}")) for trial in range(len(self.tokens))]

    def example(self, steps: int, value: float) -> list[Event]:
        """The first trial reports the same value at each step, and finishes."""
        told = [self.say(0, Epoch(step=step, value=value)) for step in range(1, steps + 1)]
        return [*told, self.say(0, Finished(values=(value,)))]

    def epochs(self, steps: Iterable[int], value: float) -> list[Event]:
        """All but the first report in turn."""
        return [self.say(trial, Epoch(step=at, value=value)) for at in steps for trial in range(1, len(self.tokens))]


class Plane:
    """A controller on real servers, driven by hand."""

    def __init__(self, place: Place, trials: int) -> None:
        self.place = place
        self.observing: list[float] = []
        self._metrics = ControlMetrics(connect(place.redis_url))
        self._client = connect(place.redis_url)
        self._database: Database = place.database()
        lease = WriterLease(self._database, 60.0)
        lease.acquire()
        self._store = Store(self._database, lease)
        self._dispatcher = Dispatcher(place.redis_url, self._client)
        self.spec = _spec(trials)
        self._store.create(self.spec, time.time())
        ports = Ports(
            self._store,
            EventStream(self._client),
            self._dispatcher,
            FileDeleter("memory://checkpoints", "a checkpoint"),
            FileDeleter("memory://artifacts", "an artifact"),
        )
        options = Options(lease=60.0, heartbeat=2.0, only=self.spec.name)
        self.controller = make_controller(ports, options, Hooks(round=self._observe))
        self.controller.start()
        while self.controller.studies[self.spec.name].trials.questions.awaits_kind():
            self.controller.run_once()
        attempts = self._store.load(self.spec.name).attempts
        self.keepers = Keepers([row.token for row in sorted(attempts, key=lambda row: row.trial)])

    def write(self, events: Sequence[Event]) -> None:
        for at in range(0, len(events), 1000):
            pipe = self._client.pipeline(transaction=False)
            for event in events[at : at + 1000]:
                pipe.xadd(redis_keys.EVENTS, {redis_keys.EVENT_FIELD: encode(event)})
            pipe.execute()

    def consume(self, count: int) -> float:
        """Takes in so many events; returns the seconds it took."""
        begun = time.perf_counter()
        while count > 0:
            count -= self.controller.run_once().events
        return time.perf_counter() - begun

    def _observe(self, round: Round) -> None:
        begun = time.perf_counter()
        self._metrics.observe(round)
        self.observing.append(time.perf_counter() - begun)

    def close(self) -> None:
        self.controller.close()
        self._dispatcher.close()
        self._store.close()
        self._database.close()
        self._client.delete(redis_keys.EVENTS, *self._client.keys("trials*"))


def measure(place: Place, quick: bool) -> Section:
    """Returns prunes and epochs a second, with servers."""
    scale = 4 if quick else 1
    prunes, epochs = [], []
    alone, apart, observed = [], [], []
    for turn in range(1 if quick else 3):
        say(f"{place.name}: the control plane alone, {turn + 1}")
        prunes.append(_prunes(place, 400 // scale))
        alone += _one_by_one(place, 100 // scale, 0.0, observed)
        epochs.append(_epochs(place, 600 // scale))
        apart += _one_by_one(place, 100 // scale, 2.0, [])
    rows: list[Row] = [
        rate(f"prunes, read in batches of up to {BATCH} events", prunes, "/s", where=place.name),
        timing(
            "a round of one event that prunes",
            alone,
            where=place.name,
            note="read to acknowledged, watchers told",
        ),
        timing("of that, to count it for Prometheus", observed, where=place.name),
        rate(f"epochs recorded, in batches of {BATCH}", epochs, "/s", where=place.name),
        timing("a round of one epoch", apart, where=place.name),
    ]
    how = (
        "A Controller in this process, a real server, a real database, Celery's broadcast of each revoke; no worker "
        "answers. p99 of a rate is the slowest of the repetitions."
    )
    return Section("Throughput of the control plane", how, tuple(rows))


def measure_engine(quick: bool) -> Section:
    """Returns what the pure core does without any I/O."""
    say("the engine alone")
    rounds = [_engine(200 if quick else 1000) for _ in range(3)]
    note = f"20 trials, median rule, outputs taken every {BATCH} events"
    row = rate("events folded by the engine, no I/O", rounds, "/s", note=note)
    return Section("The pure core", "Events that are there already, applied in this process.", (row,))


def _prunes(place: Place, trials: int) -> tuple[int, float]:
    with _plane(place, trials) as plane:
        events = plane.keepers.epochs([1], 0.0)
        plane.write(events)
        return len(events), plane.consume(len(events))


def _epochs(place: Place, steps: int) -> tuple[int, float]:
    with _plane(place, 21) as plane:
        events = plane.keepers.epochs(range(1, steps + 1), 2.0)
        plane.write(events)
        return len(events), plane.consume(len(events))


def _one_by_one(place: Place, trials: int, value: float, observed: list[float]) -> list[float]:
    """Returns how long each round took; ``observed`` takes how much of it the metrics did."""
    with _plane(place, trials) as plane:
        lasted = []
        plane.observing = observed
        for event in plane.keepers.epochs([1], value):
            plane.write([event])
            lasted.append(plane.consume(1))
        return lasted


@contextmanager
def _plane(place: Place, trials: int) -> Iterator[Plane]:
    """Yields a control plane of so many running trials, the first of them complete."""
    plane = Plane(place, trials)
    try:
        for events in (plane.keepers.start(), plane.keepers.example(1, 1.0)):
            plane.write(events)
            plane.consume(len(events))
        yield plane
    finally:
        plane.close()


def _engine(steps: int) -> tuple[int, float]:
    spec = _spec(21)
    engine = StudyEngine(Snapshot(spec=spec, uid="bench", seed=1), 0.0)
    _answer_all(engine)
    keepers = Keepers([row.token for row in sorted(engine.attempts, key=lambda row: row.trial)])
    for event in [*keepers.start(), *keepers.example(steps, 1.0)]:
        engine.apply(EventReceived(event), 0.0)
    engine.take()
    events = keepers.epochs(range(1, steps + 1), 2.0)
    begun = time.perf_counter()
    for index, event in enumerate(events, 1):
        engine.apply(EventReceived(event), 0.0)
        if index % BATCH == 0:
            engine.take()
    return len(events), time.perf_counter() - begun


def _answer_all(engine: StudyEngine) -> None:
    engine.take()
    replica = Replica(engine.spec, 1)
    replica.load(engine.trials.sampler.copy())
    for question in engine.trials.questions.unanswered():
        engine.apply(SamplerAnswered(replica.answer(question)), 0.0)


def _spec(trials: int) -> Spec:
    return spec_of("short", trials, {"seconds": 0.0}, lookahead=trials, pruner=MEDIAN)
