"""An event costs the same however many attempts are live and however many trials there are: calls are counted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from driver import make_spec

from orchestrator.engine.inputs import EventReceived, Input, SamplerAnswered, SlotsCounted
from orchestrator.engine.state import Snapshot
from orchestrator.engine.study import StudyEngine
from orchestrator.sampling.questions import Answer
from orchestrator.sampling.sampler_replica import Replica
from orchestrator.spec import Spec
from tasks.contract import Body, Epoch, Event, Finished, Job, Paused, Started


def calls_of(action: Callable[[], object]) -> int:
    """Calls of functions, of Python's own too."""
    count = 0

    def profile(frame: Any, event: str, argument: Any) -> None:  # noqa: ARG001
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


class Search:
    """An engine and the runners of its jobs; every trial is answered with the parameters of the first one."""

    def __init__(self, spec: Spec) -> None:
        self.engine = StudyEngine(Snapshot(spec=spec, uid="uid", seed=1), 0.0)
        self._said: dict[str, int] = {}
        self._answer: Answer | None = None

    def apply(self, input: Input) -> None:
        self.engine.apply(input, 0.0)

    def said(self, token: str, body: Body) -> EventReceived:
        seq = self._said[token] = self._said.get(token, 0) + 1
        return EventReceived(Event(token=token, runner=f"r-{token}", seq=seq, body=body))

    def start(self, job: Job) -> EventReceived:
        return self.said(job.token, Started(host="h", pid=1, slot="s"))

    def sent(self) -> list[Job]:
        """Answers questions, and returns the jobs that are to be sent."""
        jobs: list[Job] = []
        while True:
            batch = self.engine.take()
            jobs += [send.job for send in batch.sends]
            if not batch.questions:
                return jobs
            for question in batch.questions:
                if self._answer is None:
                    replica = Replica(self.engine.spec, 1)
                    replica.load(self.engine.trials.sampler.copy())
                    self._answer = replica.answer(question)
                self.apply(SamplerAnswered(msgspec.structs.replace(self._answer, trial=question.trial)))


@pytest.mark.parametrize("rule", ["median", "asha"])
def test_an_epoch_costs_the_same_whatever_is_live(rule: str) -> None:
    def cost(live: int) -> int:
        search = Search(make_spec(trials=10_000, lookahead=min(live, 1000), pruner={"name": rule}))
        jobs: list[Job] = []
        while len(jobs) < live:
            news = search.sent()
            jobs += news
            for job in news:
                search.apply(search.start(job))
        search.sent()
        epochs = [search.said(job.token, Epoch(step=1, value=0.5)) for job in jobs[:20]]
        return calls_of(lambda: [search.apply(epoch) for epoch in epochs])

    few, many = cost(20), cost(500)
    assert few / 20 < 110
    assert many <= 1.02 * few


def test_a_start_costs_the_same_however_many_wait_for_the_sampler() -> None:
    def cost(waiting: int) -> int:
        search = Search(make_spec(trials=10_000, lookahead=waiting))
        job = search.sent()[0]
        search.apply(search.start(job))
        for other in search.sent():
            search.apply(search.start(other))
        search.engine.take()
        assert search.engine.trials.questions.awaits_kind("trial")
        finish = search.said(job.token, Finished(values=(0.5,)))
        return calls_of(lambda: search.apply(finish))

    assert cost(400) <= 1.1 * cost(20)


def test_with_promotion_an_event_costs_the_same_however_many_trials_there_are() -> None:
    pruner = {"name": "asha", "mode": "promotion", "min_resource": 1, "reduction_factor": 3, "restart": True}
    search = Search(make_spec(trials=1500, max_steps=9, pruner=pruner))
    search.apply(SlotsCounted(16))
    costs: list[tuple[int, int]] = []
    while jobs := search.sent():
        events = [event for job in jobs for event in life(search, job)]
        costs.append((len(events), calls_of(lambda events=events: [search.apply(event) for event in events])))  # type: ignore[misc]
    quarter = len(costs) // 4
    early, late = (
        sum(calls for _, calls in part) / sum(count for count, _ in part)
        for part in (costs[quarter : 2 * quarter], costs[2 * quarter : 3 * quarter])
    )
    assert late <= 1.05 * early


def life(search: Search, job: Job) -> Iterator[EventReceived]:
    """What the runner of a job says until its slice, or its trial, is over."""
    yield search.start(job)
    last = 9 if job.slice is None else job.slice.until_step
    value = (job.trial * 0.6180339887) % 1.0
    for step in range(1, last + 1):
        yield search.said(job.token, Epoch(step=step, value=value))
    yield search.said(job.token, Finished(values=(value,)) if job.slice is None else Paused(step=last))
