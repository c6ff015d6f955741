"""The herald: what monitors are told of a trial, how often, and what becomes of it while the broker is away."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from celery.events.state import State
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json

from tasks.contract import Epoch, Failed, Finished, Job, Outcome, Parameter, Paused, Released, Stopped
from tasks.keeper.monitor_events import MOST_KEPT, MonitorEvents

PATIENCE = 20.0
LR = Parameter(value=0.0123456, distribution=distribution_to_json(FloatDistribution(0, 1)))
KIND = Parameter(value=1.0, distribution=distribution_to_json(CategoricalDistribution(["plain", "fancy"])))


def job(token: str = "token", trial: int = 3) -> Job:
    return Job(
        study="digits",
        uid="u",
        trial=trial,
        token=token,
        attempt=1,
        objective="m:f",
        directions=("maximize",),
        params={"lr": LR},
        max_steps=27,
    )


class Monitor:
    """Takes events, as Flower does: into Celery's own state. It can be away, and it can hold a message back."""

    def __init__(self) -> None:
        self.told: queue.Queue[tuple[str, str, dict[str, Any]]] = queue.Queue()
        self.away = False
        self.hold = threading.Event()
        self.hold.set()
        self.asked = threading.Semaphore(0)
        self.state = State()
        self._clock = 0

    def __call__(self, type: str, token: str, fields: Mapping[str, Any]) -> None:
        self.asked.release()
        assert self.hold.wait(PATIENCE)
        if self.away:
            raise ConnectionError("away")
        self.says(type, token, **fields)
        self.told.put((type, token, dict(fields)))

    def says(self, type: str, token: str, **fields: Any) -> None:
        """Celery itself, or the herald, says something."""
        self._clock += 1
        event = {"type": type, "uuid": token, "hostname": "one@host", "clock": self._clock, **fields}
        self.state.event(event | {"timestamp": float(self._clock), "local_received": float(self._clock)})

    def row(self, token: str = "token") -> tuple[str, str, str]:
        task = self.state.tasks[token]
        return task.state, task.args, task.result

    def next(self) -> tuple[str, str, dict[str, Any]]:
        return self.told.get(timeout=PATIENCE)


@pytest.fixture
def monitor() -> Monitor:
    return Monitor()


@pytest.fixture
def herald(monitor: Monitor) -> Iterator[MonitorEvents]:
    it = MonitorEvents(monitor, pause=0.001)
    it.start()
    yield it
    monitor.hold.set()
    it.close(PATIENCE)
    assert not it.is_alive()


def test_a_row_tells_the_trial_its_parameters_and_the_newest_epoch(monitor: Monitor, herald: MonitorEvents) -> None:
    monitor.says("task-started", "token")
    herald.begin(job())
    herald.epoch(Epoch(step=1, value=0.12345678))
    monitor.next()
    assert monitor.row() == ("STARTED", "digits trial 3: lr=0.01235", "epoch 1 of 27: 0.1235")
    herald.parameter("kind", KIND)
    monitor.next()
    assert monitor.row() == ("STARTED", "digits trial 3: lr=0.01235, kind=fancy", "epoch 1 of 27: 0.1235")


def test_what_comes_while_one_is_on_its_way_is_told_as_one(monitor: Monitor, herald: MonitorEvents) -> None:
    herald.begin(job())
    monitor.hold.clear()
    herald.epoch(Epoch(step=1, value=0.1))
    assert monitor.asked.acquire(timeout=PATIENCE)
    for step in range(2, 1_000):
        herald.epoch(Epoch(step=step, value=step / 1_000))
    monitor.hold.set()
    assert [monitor.next()[2]["result"] for _ in range(2)] == ["epoch 1 of 27: 0.1", "epoch 999 of 27: 0.999"]
    assert monitor.told.empty()


@pytest.mark.parametrize(
    ("outcome", "cause", "state", "result"),
    [
        (Stopped(), "pruned", "REVOKED", "pruned, epoch 5 of 27: 0.5"),
        (Stopped(), "revoked", "REVOKED", "stopped by a person, epoch 5 of 27: 0.5"),
        (Stopped(), "stopped", "REVOKED", "stopped with its study, epoch 5 of 27: 0.5"),
        (Stopped(), "", "REVOKED", "given up: another worker has the trial, epoch 5 of 27: 0.5"),
        (Finished(pruned=True), "", "REVOKED", "pruned by the objective, epoch 5 of 27: 0.5"),
        # It was done before the verdict reached it, which stands all the same.
        (Finished(values=(0.7,)), "pruned", "REVOKED", "pruned, epoch 5 of 27: 0.5"),
        (Failed(cause="exception", error="E", message="m"), "pruned", "REVOKED", "pruned, epoch 5 of 27: 0.5"),
        (Released(), "", "REVOKED", "handed back, to be attempted again, epoch 5 of 27: 0.5"),
    ],
)
@pytest.mark.parametrize("announced", [True, False])
def test_what_was_ended_is_revoked(
    monitor: Monitor, herald: MonitorEvents, outcome: Outcome, cause: str, state: str, result: str, announced: bool
) -> None:
    monitor.says("task-started", "token")
    herald.begin(job())
    herald.epoch(Epoch(step=5, value=0.5))
    if announced:
        monitor.says("task-revoked", "token", terminated=True, signum=12, expired=False)
    assert herald.end(outcome, cause, revoked=announced).revoked
    while (told := monitor.next())[2]["result"] != result:
        pass
    assert monitor.row() == (state, "digits trial 3: lr=0.01235", result)
    assert told[2]["runtime"] > 0
    # Celery's own count of the revoked ones is right.
    assert (told[0] == "task-revoked") is not announced


@pytest.mark.parametrize(
    ("outcome", "celery", "state", "result"),
    [
        (Finished(values=(0.98765, 12.0)), {"type": "task-succeeded", "runtime": 1.0}, "SUCCESS", "0.9877, 12"),
        (Paused(step=9), {"type": "task-succeeded", "runtime": 1.0}, "SUCCESS", "on rung at epoch 9"),
        (
            Failed(cause="exception", error="ValueError", message="no\nway"),
            {"type": "task-failed", "exception": "ValueError: no"},
            "FAILURE",
            "ValueError: no way",
        ),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_how_a_task_came_to_its_end_celery_tells_itself(
    monitor: Monitor,
    herald: MonitorEvents,
    outcome: Outcome,
    celery: dict[str, Any],
    state: str,
    result: str,
    first: bool,
) -> None:
    monitor.says("task-started", "token")
    herald.begin(job())
    herald.parameter("kind", KIND)
    ending = herald.end(outcome, "", revoked=False)
    assert (ending.revoked, ending.text) == (False, result)
    said = celery | ({"result": ending.text} if state == "SUCCESS" else {})
    if first:
        monitor.says(token="token", **said)
    monitor.next()
    if not first:
        monitor.says(token="token", **said)
    # Also the parameters of a trial that was over before anything else was told of it.
    while monitor.row()[2] != result:
        monitor.next()
    assert monitor.row() == (state, "digits trial 3: lr=0.01235, kind=fancy", result)


def test_an_ending_is_told_again_until_it_could_be(monitor: Monitor, herald: MonitorEvents) -> None:
    monitor.away = True
    for trial in range(3):
        herald.begin(job(f"token-{trial}", trial))
        herald.epoch(Epoch(step=1, value=0.1))
        herald.end(Stopped(), "pruned", revoked=False)
    for _ in range(5):
        assert monitor.asked.acquire(timeout=PATIENCE)
    monitor.away = False
    assert [monitor.next()[1] for _ in range(3)] == ["token-0", "token-1", "token-2"]


def test_the_keeper_does_not_wait_for_a_broker_that_is_away(monitor: Monitor, herald: MonitorEvents) -> None:
    monitor.hold.clear()
    for trial in range(2 * MOST_KEPT):
        herald.begin(job(f"token-{trial}", trial))
        herald.epoch(Epoch(step=1, value=0.1))
        herald.end(Stopped(), "pruned", revoked=False)
    monitor.hold.set()
    tokens = [monitor.next()[1] for _ in range(MOST_KEPT)]
    assert tokens[0] == "token-0"
    herald.close(PATIENCE)
    assert monitor.told.qsize() <= 1, "what is kept is bounded"


def test_what_is_untold_at_the_end_is_told_then(monitor: Monitor) -> None:
    herald = MonitorEvents(monitor, pause=PATIENCE)
    herald.start()
    herald.begin(job())
    herald.epoch(Epoch(step=1, value=0.1))
    monitor.next()
    herald.end(Released(), "", revoked=False)
    herald.close(PATIENCE)
    assert not herald.is_alive()
    assert monitor.row()[0] == "REVOKED"


def test_a_task_that_came_twice_leaves_the_row_to_the_slot_that_runs_it(monitor: Monitor) -> None:
    """Two slots have the same task; the second one finds out that it is not its own."""
    first, second = MonitorEvents(monitor, pause=0.01), MonitorEvents(monitor, pause=0.01)
    for each in (first, second):
        each.start()
        each.begin(job())
    first.epoch(Epoch(step=1, value=0.5))
    monitor.next()
    row = monitor.row()
    second.forget()
    for each in (second, first):
        each.close(PATIENCE)
    assert monitor.told.empty()
    assert monitor.row() == row
