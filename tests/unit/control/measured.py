"""The metrics of a simulated search, by a control plane whose Redis is away, and what samples they have."""

from __future__ import annotations

from typing import Any

import redis
from prometheus_client import CollectorRegistry

from orchestrator.control.metrics import ControlMetrics
from orchestrator.model.progress_events import Progress
from orchestrator.spec.model import validate
from tasks.contract import Released
from tests.simulated.course import Course, Talk
from tests.simulated.simulation import Simulation

SEARCH: dict[str, Any] = {
    "name": "search",
    "objective": "somewhere:objective",
    "direction": "maximize",
    "trials": 9,
    "max_steps": 4,
    "seed": 3,
    "sampler": {"name": "random"},
    "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
    "pruner": {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 1},
}


def objective(course: Course) -> Talk:
    x = yield from course.float("x")
    for step in range(course.load() + 1, 5):
        yield from course.report(step, x + step)
        yield from course.save(step)
    return x


class Away:
    """A Redis that no client reaches."""

    def pipeline(self, **_: object) -> Away:
        return self

    def __getattr__(self, name: str) -> Any:
        def refuse(*_: object, **__: object) -> None:
            if name == "execute":
                raise redis.ConnectionError("it is away")

        return refuse


def metrics() -> ControlMetrics:
    return ControlMetrics(Away())  # type: ignore[arg-type]


def samples(registry: CollectorRegistry) -> dict[tuple[str, ...], float]:
    """Returns the value of each sample, by its name and the values of its labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in registry.collect()
        for sample in family.samples
    }


def searched(shown: ControlMetrics, **changes: Any) -> Simulation:
    """A whole search that ``shown`` has watched, with a worker that dies, is shut down, and repeats itself."""
    it = Simulation(validate(SEARCH | changes, "test"), objective, slots=2, observer=shown.observe)
    with shown.leading():
        it.start()
        for turn in range(12):
            for slot in it.slots:
                it.turn(slot)
            it.round()
            busy = [slot.run for slot in it.slots if slot.run is not None]
            if turn == 3:
                it.kill_keeper(busy[0])
            if turn == 6:
                it.free(busy[0], Released())
            if turn == 7:
                it.redis.publish(it.runs[0].said[0])
        it.run_to_end()
        for key, value in samples(shown.registry).items():
            assert key[0] != "orchestrator_leader" or value == 1
    return it


def standing_of(name: str, **changes: Any) -> Progress:
    given: dict[str, Any] = {
        "study": name,
        "state": "running",
        "reason": "",
        "budget": 9,
        "epochs": 30,
        "max_steps": None,
        **dict.fromkeys(("complete", "pruned", "failed", "running", "waiting", "epochs_saved"), 1),
        "best": None,
        "slots": (),
    }
    return Progress(**given | changes)
