"""Slots are shared by the order in which tasks are sent: a broker in memory, slots that take tasks from its lists."""

from __future__ import annotations

import heapq
import random
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.control.send_window import SendWindow
from orchestrator.engine.outputs import Send
from orchestrator.messaging.dispatch import class_of, step_of
from tasks.contract import Job

ROUND = 0.02


@dataclass
class Study:
    """A study that always has so many trials sampled ahead. ``seconds`` is how long its trials last on average."""

    weight: float = 1.0
    priority: int = 5
    lookahead: int = 1
    seconds: float = 5.0
    joins: float = 0.0
    leaves: float = 1e9


def task(study: str, number: int, priority: int = 5) -> Send:
    token = f"{study}/{number}"
    job = Job(
        study=study, uid="", trial=number, token=token, attempt=1, objective="m:f", directions=("minimize",), params={}
    )
    return Send(job, "queue", priority)


@dataclass
class Fleet:
    """Slots and a broker, with the window in front of them, in rounds as the control plane does them."""

    studies: Mapping[str, Study]
    slots: int
    window: SendWindow = field(default_factory=SendWindow)
    lists: list[deque[Send]] = field(default_factory=lambda: [deque() for _ in range(4)])
    began: list[tuple[float, str]] = field(default_factory=list)
    now: float = 0.0

    def run(self, seconds: float, seed: int = 0) -> None:
        draw = random.Random(seed)
        free = [(0.0, slot) for slot in range(self.slots)]
        asked: Counter[str] = Counter()
        waits: Counter[str] = Counter()
        while self.now < seconds:
            self.now += ROUND
            taken = 0
            while free[0][0] <= self.now and (send := self._take()) is not None:
                _, slot = heapq.heappop(free)
                self.began.append((self.now, send.job.study))
                waits[send.job.study] -= 1
                lasts = draw.uniform(0.5, 1.5) * self.studies[send.job.study].seconds
                heapq.heappush(free, (self.now + lasts, slot))
                taken += 1
            if taken:
                self.window.note_taken("queue", taken, self.now)
            for name, study in self.studies.items():
                while study.joins <= self.now < study.leaves and waits[name] < study.lookahead:
                    asked[name] += 1
                    waits[name] += 1
                    self.window.add(task(name, asked[name], study.priority), study.weight)
            idle = sum(since <= self.now for since, _ in free)
            lengths = [len(each) for each in self.lists]
            while (due := self.window.due("queue", lengths, self.window.size("queue", self.now) + idle)) is not None:
                self.window.sent(due, lengths)
                self.lists[class_of(step_of(due.priority))].append(due)

    def _take(self) -> Send | None:
        return next((each.popleft() for each in self.lists if each), None)

    def counts(self, since: float, until: float) -> Counter[str]:
        return Counter(name for at, name in self.began if since <= at < until)


def test_a_hundred_studies_on_two_hundred_slots_get_the_same_in_every_minute() -> None:
    fleet = Fleet({f"study-{number}": Study(lookahead=1 + number % 7) for number in range(100)}, 200)
    fleet.run(130)
    for since in range(5, 70, 5):
        counts = fleet.counts(since, since + 60)
        assert len(counts) == 100
        assert max(counts.values()) <= 1.2 * min(counts.values())


def test_the_length_of_a_studys_trials_does_not_change_how_many_it_begins() -> None:
    fleet = Fleet({f"study-{number}": Study(seconds=1.0 + number) for number in range(10)}, 20)
    fleet.run(200)
    counts = fleet.counts(20, 200)
    assert max(counts.values()) <= 1.2 * min(counts.values())


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.sampled_from([0.5, 1.0, 2.0, 3.0]), min_size=2, max_size=5),
    st.integers(1, 3),
    st.integers(2, 12),
    st.integers(0, 99),
)
def test_shares_are_as_the_weights(weights: list[float], lookahead: int, slots: int, seed: int) -> None:
    studies = {f"study-{place}": Study(weight, lookahead=lookahead) for place, weight in enumerate(weights)}
    fleet = Fleet(studies, slots)
    fleet.run(400, seed)
    counts = fleet.counts(20, 400)
    shares = [counts[name] / study.weight for name, study in studies.items()]
    assert max(shares) <= 1.25 * min(shares)


def test_one_that_joins_gets_its_share_and_one_that_leaves_gives_it_up() -> None:
    studies = {"a": Study(), "b": Study(leaves=100), "late": Study(weight=2.0, joins=50)}
    fleet = Fleet(studies, 8)
    fleet.run(200)
    for since, until, expected in (
        (10, 50, {"a": 1, "b": 1}),
        (55, 100, {"a": 1, "b": 1, "late": 2}),
        (110, 200, {"a": 1, "late": 2}),
    ):
        counts = fleet.counts(since, until)
        unit = counts.total() / sum(expected.values())
        assert counts.keys() == expected.keys()
        for name, share in expected.items():
            assert counts[name] == pytest.approx(share * unit, rel=0.15, abs=2)


def test_a_higher_priority_goes_first_whatever_the_weights() -> None:
    studies = {
        "low": Study(priority=1, weight=100, lookahead=10),
        "usual": Study(priority=4, weight=50, lookahead=10),
        "high": Study(priority=8, weight=0.01, lookahead=10, joins=20, leaves=60),
    }
    fleet = Fleet(studies, 8)
    fleet.run(100)
    assert set(fleet.counts(0.1, 19)) == {"usual"}
    during = fleet.counts(20.5, 59)
    assert during["high"] > 40
    # No more than what was with the broker already, should more slots come free at once than tasks wait.
    assert during["usual"] <= 2
    assert set(fleet.counts(70, 100)) == {"usual"}


def test_slots_are_no_worse_off_than_if_all_tasks_were_with_the_broker() -> None:
    shared = Fleet({f"study-{number}": Study(seconds=1.0) for number in range(50)}, 100)
    shared.run(60)
    at_once = Fleet(shared.studies, 100)
    at_once.window.note_commit(1e6)
    at_once.run(60)
    assert len(shared.began) >= 0.98 * len(at_once.began)


def test_a_task_that_waits_no_more_is_not_sent() -> None:
    window = SendWindow()
    for number in range(3):
        window.add(task("a", number), 1.0)
    window.drop("a/0")
    window.drop("unknown")
    assert (window.tokens(), window.queues(), window.studies("queue")) == ({"a/1", "a/2"}, ["queue"], {"a"})
    lengths = [0, 0, 0, 0]
    due = window.due("queue", lengths, 1)
    assert due is not None
    assert due.job.token == "a/1"
    window.sent(due, lengths)
    assert (lengths, window.due("queue", lengths, 1)) == ([0, 1, 0, 0], None)
    due = window.due("queue", None, 1)
    assert due is not None
    assert due.job.token == "a/2", "a study that has the queue for itself does not wait"
