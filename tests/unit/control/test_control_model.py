"""Deaths, losses and delays in any order, around the real control plane on servers in memory, break no rule."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.control.ports import Phase
from orchestrator.model.lifecycle import LIVE
from orchestrator.spec.model import validate
from tasks import redis_keys
from tasks.codec import decode_confirmation, encode
from tasks.contract import Epoch, Event, Failed, Released, Revoked
from tests.simulated.course import Course, Run, Talk
from tests.simulated.simulation import LEASE, Simulation

DIED = Failed(cause="died", error="TrainingProcessDied", message="signal 9")
COSTS_NOTHING = ("released", "obeyed", "promoted")
"""Ends of an attempt that do not count."""
MOST_ENTRIES = 5_000
ASHA: dict[str, Any] = {"name": "asha", "min_resource": 1, "reduction_factor": 2}
MEDIAN: dict[str, Any] = {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 1}
PRUNERS = {"none": {"name": "none"}, "median": MEDIAN, "asha": ASHA, "promotion": ASHA | {"mode": "promotion"}}
anything = st.integers(0, 2**16)
seconds = st.sampled_from([0.5, 3.0, 3 * LEASE])
GARBAGE = (b"", b"\xff\xfe", b"\xc1" * 9, b"null", encode(Released()))


class World(RuleBasedStateMachine):
    """Slots, servers and control planes, each of which may fail at any moment."""

    @initialize(
        trials=st.integers(1, 6),
        slots=st.integers(1, 3),
        pruner=st.sampled_from(sorted(PRUNERS)),
        ahead=st.booleans(),
    )
    def begin(self, trials: int, slots: int, pruner: str, ahead: bool) -> None:
        table: dict[str, Any] = {
            "name": "search",
            "objective": "somewhere:objective",
            "trials": trials,
            "max_steps": 4,
            "seed": 3,
            "sampler": {"name": "random"},
            "pruner": PRUNERS[pruner],
        }
        if ahead:
            table["space"] = {"x": {"type": "float", "low": 0.0, "high": 1.0}}
        self.counter = itertools.count()
        self.said: dict[float, tuple[Run, int]] = {}
        self.stored: dict[tuple[int, int], float] = {}
        self.ended: dict[int, str] = {}
        self.garbage: set[bytes] = set()
        self.commands = 0
        self.world = Simulation(validate(table, "test"), self.objective, slots)
        self.world.start()

    def objective(self, course: Course) -> Talk:
        """No value is said twice, so that every stored one tells where it came from."""
        x = yield from course.float("x")
        run = next(each for each in self.world.runs if each.talk.gi_running)
        for step in range(course.load() + 1, 5):
            value = x + next(self.counter) * 1e-9
            self.said[value] = (run, step)
            yield from course.report(step, value)
            yield from course.save(step)
        return x

    # -- what happens ---------------------------------------------------------------------------------------------

    @rule(pick=anything, count=st.integers(1, 5))
    def speak(self, pick: int, count: int) -> None:
        for _ in range(count):
            self.world.turn(self.world.slots[pick % len(self.world.slots)])

    @rule(count=st.integers(1, 3))
    def work(self, count: int) -> None:
        for _ in range(count):
            for slot in list(self.world.slots):
                self.world.turn(slot)
            self.world.round()

    @rule()
    def consume(self) -> None:
        self.world.round()

    @rule(length=seconds)
    def wait(self, length: float) -> None:
        end = self.world.now + length
        while self.world.now < end:
            self.world.round(wait=True)
            self.world.pass_time(0.5)

    @rule(length=seconds)
    def stand_still(self, length: float) -> None:
        """The control plane is frozen, or busy; the others go on."""
        self.world.pass_time(length)

    # -- what goes wrong ------------------------------------------------------------------------------------------

    @rule(step=st.sampled_from(list(Phase)), nth=st.integers(1, 3))
    def die_at(self, step: Phase, nth: int) -> None:
        """The control plane will die at the n-th such step from now."""
        goal = Counter(self.world.passed)[step] + nth
        self.world.kill_when(lambda passing: passing == step and self.world.passed.count(step) == goal)

    @rule()
    def take_over(self) -> None:
        """A second control plane believes the first one dead; the first one goes on, and finds out."""
        old = self.world.controller
        self.world.start()
        new, self.world.controller = self.world.controller, old
        self.world.round()
        self.world.controller = new

    @rule()
    def wipe(self) -> None:
        self.world.redis.wipe()

    @rule(server=st.sampled_from(["redis", "database", "room"]), length=seconds)
    def send_away(self, server: str, length: float) -> None:
        self.world.send_away(server, length)

    @rule(pick=anything)
    def lose_a_task(self, pick: int) -> None:
        waiting = self.world.redis.queues[self.world.spec.queue]
        if waiting:
            waiting.pop(pick % len(waiting))

    @rule(pick=anything)
    def lose_an_entry(self, pick: int) -> None:
        """As a failover does that loses what was acknowledged."""
        entries = list(self.world.redis.entries)
        if entries:
            del self.world.redis.entries[entries[pick % len(entries)]]

    @rule(pick=anything)
    def say_again(self, pick: int) -> None:
        """What was said once is delivered again: also by runners that are fenced, or gone."""
        events = [event for run in self.world.runs for event in run.said]
        if events and not self.world.redis.away and not self.world.redis.full:
            self.world.redis.publish(events[pick % len(events)])

    @rule(pick=anything)
    def kill_a_trainer(self, pick: int) -> None:
        if run := self.busy(pick):
            self.world.free(run, DIED)

    @rule(pick=anything)
    def kill_a_keeper(self, pick: int) -> None:
        if run := self.busy(pick):
            self.world.kill_keeper(run)

    @rule(pick=anything)
    def hand_back(self, pick: int) -> None:
        if run := self.busy(pick):
            self.world.free(run, Released())

    @rule(pick=anything, place=anything)
    def deliver_a_task_twice(self, pick: int, place: int) -> None:
        run, slot = self.busy(pick), self.world.slots[place % len(self.world.slots)]
        if run and slot.run is None:
            self.world.start_run(slot, run.job)

    @rule(pick=anything, running=st.booleans())
    def revoke(self, pick: int, running: bool) -> None:
        """A person does, in Flower."""
        tokens = sorted(self.world.ledger.attempts)
        if tokens and not self.world.redis.away and not self.world.redis.full:
            event = Event(token=tokens[pick % len(tokens)], runner="", seq=0, body=Revoked(running=running))
            self.world.redis.publish(event)

    @rule(data=st.sampled_from(GARBAGE))
    def litter(self, data: bytes) -> None:
        if not self.world.redis.away and not self.world.redis.full:
            self.garbage.add(data)
            self.world.redis.add({redis_keys.EVENT_FIELD: data})

    @precondition(lambda self: self.commands < 4)
    @rule(operation=st.sampled_from(["pause", "resume", "reconcile"]))
    def command(self, operation: str) -> None:
        self.commands += 1
        self.world.database.issue(f"key-{self.commands}", operation, "search")

    @precondition(lambda self: self.commands < 4)
    @rule(pick=anything)
    def retry(self, pick: int) -> None:
        """Also a trial that has not ended, or is not there."""
        self.commands += 1
        number = pick % (len(self.world.ledger.trials) + 1)
        self.world.database.issue(f"key-{self.commands}", "retry", "search", {"trial": number})

    # -- what holds -----------------------------------------------------------------------------------------------

    @invariant()
    def an_epoch_is_stored_once_and_by_the_runner_that_was_bound(self) -> None:
        ledger = self.world.ledger
        for trial in ledger.trials.values():
            for step, value in trial.steps.items():
                run, said_step = self.said[value]
                assert (run.job.trial, said_step) == (trial.number, step)
                assert ledger.attempts[run.job.token].runner == run.runner
                assert self.stored.setdefault((trial.number, step), value) == value
        assert len(self.stored) == sum(len(trial.steps) for trial in ledger.trials.values())

    @invariant()
    def what_has_ended_stays_as_it_is(self) -> None:
        for trial in self.world.ledger.trials.values():
            if trial.ended or trial.number in self.ended:
                text = repr((trial.state, trial.values, trial.params, trial.steps, trial.end))
                assert self.ended.setdefault(trial.number, text) == text

    @invariant()
    def what_is_confirmed_is_stored(self) -> None:
        ledger = self.world.ledger
        for run in self.world.runs:
            data = self.world.redis.confirmations.get(run.job.token)
            trial = ledger.trials[run.job.trial]
            if data is None or (confirmation := decode_confirmation(data)).runner != run.runner:
                continue
            for event in run.said[: confirmation.seq]:
                if isinstance(event.body, Epoch):
                    assert event.body.step in trial.steps or trial.ended

    @invariant()
    def the_budget_and_the_cap_hold(self) -> None:
        ledger = self.world.ledger
        assert len(ledger.trials) <= ledger.spec.trials + len(self.retries())
        for number in ledger.trials:
            charged = [row for row in ledger.attempts_of(number) if row.cause not in COSTS_NOTHING]
            assert len(charged) <= ledger.spec.retry.max_attempts

    @invariant()
    def the_stream_is_bounded(self) -> None:
        assert len(self.world.redis.entries) < MOST_ENTRIES

    def teardown(self) -> None:
        """From now on nothing goes wrong any more: the search comes to its end, and it is the right one."""
        if not hasattr(self, "world"):
            return
        self.world.kill_when(lambda _: False)
        self.world.bring_everything_back()
        self.world.database.issue("last", "resume", "search")
        # Without a bell the search might be over before the control plane looks for commands again.
        self.world.redis.add({b"ring": redis_keys.DOORBELL.encode()})
        self.world.run_to_end()
        assert not [each for each in self.world.database.commands if each.id not in self.world.database.answers]
        ledger = self.world.ledger
        self.an_epoch_is_stored_once_and_by_the_runner_that_was_bound()
        self.what_has_ended_stays_as_it_is()
        self.every_retry_is_what_it_was_asked_to_be()
        waiting = set() if ledger.state == "finished" else {"WAITING"}
        assert set(self.world.ledger.counts()) <= {"COMPLETE", "PRUNED", "FAIL"} | waiting
        if ledger.state == "finished":
            assert sum(ledger.counts().values()) == ledger.spec.trials + len(self.retries())
        assert not [row for row in ledger.attempts.values() if row.state in LIVE]
        assert not ledger.checkpoints
        assert {data for data, _ in self.world.redis.dead} <= self.garbage
        before = ledger.rows()
        self.world.start()
        self.world.round()
        assert self.world.ledger.rows() == before, "a control plane that starts afterwards changes something"

    def retries(self) -> dict[int, int]:
        """Returns of which trial each retry is one."""
        made = {each.number: each.user_attrs.get("retry_of") for each in self.world.ledger.trials.values()}
        return {number: json.loads(text) for number, text in made.items() if text is not None}

    def every_retry_is_what_it_was_asked_to_be(self) -> None:
        """Each command has made one trial or none, and that one has the old one's parameters."""
        answers = [json.loads(text) for text in self.world.database.answers.values()]
        assert sorted(each["trial"] for each in answers if "trial" in each) == sorted(self.retries())
        trials = self.world.ledger.trials
        for number, old in self.retries().items():
            assert trials[old].ended
            if trials[number].state != "WAITING" and trials[number].params:
                assert trials[number].params.items() >= trials[old].params.items()

    def busy(self, pick: int) -> Run | None:
        runs = [slot.run for slot in self.world.slots if slot.run]
        return runs[pick % len(runs)] if runs else None


TestWorld = World.TestCase
TestWorld.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
