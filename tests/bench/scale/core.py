"""The cost of the pure core by what is live, and of a commit by the studies that it touches; no process beside this."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchestrator.engine.inputs import EventReceived, Input, SamplerAnswered, SlotsCounted
from orchestrator.engine.outputs import Batch, Send
from orchestrator.engine.state import Snapshot
from orchestrator.engine.study import StudyEngine
from orchestrator.sampling.questions import feed_of
from orchestrator.sampling.sampler_replica import Replica
from orchestrator.spec import Spec
from orchestrator.storage import database
from orchestrator.storage.lease import WriterLease
from orchestrator.storage.pipeline import Pipeline, Rows, Values
from orchestrator.storage.store import Store
from tasks.contract import Body, Epoch, Event, Finished, Job, Paused, Started
from tests.bench.control import Plane
from tests.bench.figures import number
from tests.bench.scale.loads import Line, Size
from tests.bench.scale.stand import spec_of, stand
from tests.bench.servers import Place

ROUND = 500
"""Events between two batches that are taken from the engine."""


class Runners:
    """What the runners of an engine say, in their order."""

    def __init__(self) -> None:
        self._spoken: dict[str, int] = {}

    def say(self, token: str, body: Body) -> EventReceived:
        seq = self._spoken[token] = self._spoken.get(token, 0) + 1
        return EventReceived(Event(token=token, runner=f"r-{token}", seq=seq, body=body))

    def start(self, job: Job) -> EventReceived:
        return self.say(job.token, Started(host="scale", pid=0, slot=f"slot-{job.trial}"))


class Sampled:
    """An engine whose questions are answered at once, in this process.

    Attributes:
        seconds: CPU that the engine took for what ``apply`` and ``take`` were called for; the sampler's is not in it.
    """

    def __init__(self, spec: Spec) -> None:
        self.engine = StudyEngine(Snapshot(spec=spec, uid=spec.name, seed=1), 0.0)
        self.seconds = 0.0
        self._replica: Replica | None = None

    def apply(self, inputs: Iterable[Input]) -> None:
        begun = time.process_time()
        for each in inputs:
            self.engine.apply(each, 0.0)
        self.seconds += time.process_time() - begun

    def take(self) -> list[Send]:
        """Returns the tasks to be sent, when no question is left."""
        sends: list[Send] = []
        while True:
            begun = time.process_time()
            batch = self.engine.take()
            self.seconds += time.process_time() - begun
            sends += batch.sends
            if self._replica is None:
                self._replica = Replica(self.engine.spec, 1)
                self._replica.load(self.engine.trials.sampler.copy())
            elif (feed := feed_of(batch.changes)) is not None:
                self._replica.apply(feed)
            if not batch.questions:
                return sends
            self.apply([SamplerAnswered(self._replica.answer(each)) for each in batch.questions])


def per_event(folder: Path, size: Size) -> Iterator[Line]:
    """CPU of an epoch in the engine, with few and many live attempts."""
    del folder
    lives = (5, 20) if size.quick else (20, 1_000, 3_000)
    costs = [1e6 * live_cost(live, size.quick) for live in lives]
    yield Line(
        "CPU per event in the engine with " + " / ".join(map(str, lives)) + " live attempts",
        "14 / 74 / 164 µs",
        "15 µs, whatever is live",
        " / ".join(map(number, costs)) + " µs",
        f"epochs, median rule, a batch taken every {ROUND}",
    )
    trials = 100 if size.quick else 10_000
    yield Line(
        f"CPU per event with promotion and {trials} trials",
        "2 400 µs",
        "15 µs",
        f"{number(1e6 * promotion_cost(trials))} µs",
        "starts, epochs and pauses; 64 slots",
    )


def live_cost(live: int, quick: bool) -> float:
    """Returns the seconds of CPU that one epoch takes with so many live attempts."""
    spec = spec_of("live", 1_000_000, epochs=10, lookahead=min(1000, live))
    study, runners = Sampled(spec), Runners()
    jobs: list[Job] = []
    while len(jobs) < live + 1:
        sends = study.take()
        jobs += (send.job for send in sends)
        study.apply(runners.start(send.job) for send in sends)
    example, rest = jobs[0], jobs[1 : live + 1]
    study.apply(runners.say(example.token, Epoch(step=step, value=0.5)) for step in range(1, 6))
    study.apply([runners.say(example.token, Finished(values=(0.5,)))])
    study.take()
    steps = max(2, (2_000 if quick else 30_000) // live)
    inputs = [runners.say(job.token, Epoch(step=s, value=1.0)) for s in range(1, steps + 1) for job in rest]
    study.seconds = 0.0
    for at in range(0, len(inputs), ROUND):
        study.apply(inputs[at : at + ROUND])
        study.take()
    return study.seconds / len(inputs)


def promotion_cost(trials: int) -> float:
    """Returns the seconds of CPU that one event takes on average in a study of so many trials that pause at rungs."""
    pruner = {"name": "asha", "mode": "promotion", "min_resource": 1, "reduction_factor": 3, "restart": True}
    spec = spec_of("promotion", trials, pruner=pruner, max_steps=9)
    study, runners = Sampled(spec), Runners()
    study.apply([SlotsCounted(64)])
    count = 0
    while sends := study.take():
        said = [each for send in sends for each in _train(runners, send.job)]
        study.apply(said)
        count += len(said)
    return study.seconds / count


def _train(runners: Runners, job: Job) -> Iterator[EventReceived]:
    yield runners.start(job)
    last = 9 if job.slice is None else job.slice.until_step
    value = (job.trial * 0.6180339887) % 1.0
    for step in range(1, last + 1):
        yield runners.say(job.token, Epoch(step=step, value=value))
    yield runners.say(job.token, Finished(values=(value,)) if job.slice is None else Paused(step=last))


def whole_loop(folder: Path, size: Size) -> Iterator[Line]:
    """CPU of an epoch in the whole loop, from a stream that holds many of them."""
    lives = (5, 20) if size.quick else (20, 999)
    costs = []
    for live in lives:
        with stand(folder / f"{live}") as it:
            plane = Plane(Place("scale", it.redis.url, lambda: it.database.url), live + 1)
            for events in (plane.keepers.start(), plane.keepers.example(1, 1.0)):
                plane.write(events)
                plane.consume(len(events))
            epochs = plane.keepers.epochs(range(1, max(2, (200 if size.quick else 20_000) // live) + 1), 2.0)
            plane.write(epochs)
            begun = time.process_time()
            plane.consume(len(epochs))
            costs.append(1e6 * (time.process_time() - begun) / len(epochs))
            plane.close()
    yield Line(
        "CPU per epoch in the whole loop with " + " / ".join(map(str, lives)) + " live attempts, a full stream",
        "not measured",
        "33 µs, which are 30 000 a second",
        " / ".join(map(number, costs)) + " µs",
        "read, decoded, folded, written, confirmed, acknowledged; the servers' CPU is not in it",
    )


def commit(folder: Path, size: Size) -> Iterator[Line]:
    """Statements and CPU of one commit that touches many studies."""
    with stand(folder) as it:
        lease = WriterLease(it.database, 60.0)
        lease.acquire()
        store = Store(it.database, lease)
        engines: dict[str, StudyEngine] = {}
        runners = Runners()
        for index in range(size.studies):
            snapshot = store.create(spec_of(f"commit-{index}", 1_000), time.time())
            engines[snapshot.spec.name] = StudyEngine(snapshot, time.time())
        batches = _take(engines)
        store.commit({name: batch.changes for name, batch in batches.items()})
        for name, engine in engines.items():
            replica = Replica(engine.spec, 1)
            replica.load(engine.trials.sampler.copy())
            for question in batches[name].questions:
                engine.apply(SamplerAnswered(replica.answer(question)), time.time())
        batches = _take(engines)
        store.commit({name: batch.changes for name, batch in batches.items()})
        jobs = {name: batch.sends[0].job for name, batch in batches.items()}
        statements: list[str] = []

        class Counted(Pipeline):
            def exec_driver_sql(self, statement: str, parameters: Values | None = None) -> Rows:
                statements.append(statement)
                return super().exec_driver_sql(statement, parameters)

        database.Pipeline = Counted  # type: ignore[misc]
        costs = []
        for step in range(6):
            for name, engine in engines.items():
                job = jobs[name]
                if step == 0:
                    engine.apply(runners.start(job), time.time())
                engine.apply(runners.say(job.token, Epoch(step=step + 1, value=0.5)), time.time())
            changes = {name: batch.changes for name, batch in _take(engines).items()}
            statements.clear()
            begun = time.process_time()
            store.commit(changes)
            costs.append(time.process_time() - begun)
        store.close()
        database.Pipeline = Pipeline  # type: ignore[misc]
        yield Line(
            f"a commit that touches {size.studies} studies",
            "301 statements, 45 ms of CPU",
            "a constant number of statements",
            f"{len(statements)} statements, {1e3 * sorted(costs[1:])[2]:.1f} ms of CPU",
            "an epoch of each",
        )


def _take(engines: dict[str, StudyEngine]) -> dict[str, Batch]:
    return {name: engine.take() for name, engine in engines.items()}
