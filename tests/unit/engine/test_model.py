"""Any interleaving of what a stream, a fleet and a control plane can do to each other keeps the rules."""

from __future__ import annotations

import itertools
from typing import Any

from driver import Course, Run, Talk, World, make_spec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from orchestrator.engine import inputs
from orchestrator.engine.inputs import Input
from orchestrator.model.lifecycle import LIVE, AttemptState
from tasks.contract import Body, Epoch, Event, Failed, Released, Revoked

DIED = Failed(cause="died", error="TrainingProcessDied", message="signal 9")
BOUND = (AttemptState.RUNNING, AttemptState.STOPPING)
FREE = ("released", "obeyed", "promoted", "not started")
"""Ends of an attempt that cost a trial nothing."""
ROUNDS = 400
ASHA: dict[str, Any] = {"name": "asha", "min_resource": 1, "reduction_factor": 2}
MEDIAN: dict[str, Any] = {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 1}
RULES: dict[str, dict[str, Any]] = {
    "none": {"pruner": {"name": "none"}},
    "median": {"pruner": MEDIAN},
    "asha": {"pruner": ASHA},
    "audited": {"pruner": MEDIAN, "audit": 0.5},
    "promotion": {"pruner": ASHA | {"mode": "promotion"}},
    "sync": {"pruner": ASHA | {"mode": "sync"}},
    "index": {"pruner": {"name": "index"}},
    "index, stopping": {"pruner": {"name": "index", "mode": "stopping"}},
    "restart": {"pruner": ASHA | {"mode": "promotion", "restart": True}},
}
LIMITS: list[dict[str, Any]] = [{}, {"target": 0.3}, {"patience": 2}, {"max_total_steps": 6}, {"timeout": 60}]
anything = st.integers(0, 2**16)


class Fleet(RuleBasedStateMachine):
    """Slots speak into a stream that loses, delays and repeats; the control plane folds, commits and crashes."""

    @initialize(
        trials=st.integers(1, 7),
        slots=st.integers(1, 3),
        parallel=st.sampled_from([None, 1, 2]),
        space=st.booleans(),
        lookahead=st.integers(1, 2),
        pruner=st.sampled_from(sorted(RULES)),
        shadow=st.booleans(),
        save=st.sampled_from(["after", "before", "twice"]),
        limits=st.sampled_from(LIMITS),
    )
    def begin(
        self,
        trials: int,
        slots: int,
        space: bool,
        pruner: str,
        shadow: bool,
        save: str,
        limits: dict[str, Any],
        **changes: Any,
    ) -> None:
        rules = RULES[pruner]
        self.save = "never" if rules["pruner"].get("restart") else save
        if shadow:
            changes["shadow"] = ASHA
        if not space:
            changes["space"] = None
        spec = make_spec(trials=trials, **rules, **limits, **changes)
        self.said: dict[float, tuple[Run, int]] = {}
        self.counter = itertools.count()
        self.world = World(spec, self.objective, slots)
        self.world.hold = True
        self.stream: list[Event] = []
        self.uncommitted: list[Event] = []
        self.acknowledged: dict[str, int] = {}

    def objective(self, course: Course) -> Talk:
        """No value is said twice, so that every stored one tells where it came from."""
        x = yield from course.float("x")
        run = next(each for each in self.world.runs if each.talk.gi_running)
        for step in range(course.load() + 1, 5):
            value = x + next(self.counter) * 1e-9
            self.said[value] = (run, step)
            if self.save in ("before", "twice"):
                yield from course.save(step)
            yield from course.report(step, value)
            if self.save in ("after", "twice"):
                yield from course.save(step)
        return x

    # -- the fleet ------------------------------------------------------------------------------------------------

    @rule(pick=anything, arrives=st.booleans())
    def speak(self, pick: int, arrives: bool) -> None:
        """A slot says the next thing; it reaches the stream or it does not."""
        event = self.world.say(self.world.slots[pick % len(self.world.slots)])
        if event and arrives:
            self.stream.append(event)

    @rule(pick=anything, count=st.integers(1, 6))
    def speak_on(self, pick: int, count: int) -> None:
        for _ in range(count):
            self.speak(pick, True)

    @rule(pick=anything)
    def resend(self, pick: int) -> None:
        """A keeper says again what it was not confirmed."""
        if self.world.runs:
            self.stream += self.unconfirmed(self.world.runs[pick % len(self.world.runs)])

    @rule(pick=anything, body=st.sampled_from([DIED, Released()]))
    def break_off(self, pick: int, body: Body) -> None:
        run = self.busy(pick)
        if run:
            self.world.vacate(run)
            self.stream.append(run.event(body))

    @rule(pick=anything, still_there=st.booleans())
    def go_silent(self, pick: int, still_there: bool) -> None:
        rows = self.world.engine.attempts.in_state(*BOUND)
        if rows:
            row = rows[pick % len(rows)]
            for run in self.world.runs:
                if run.runner == row.runner and not still_there:
                    self.world.vacate(run)
            self.world.feed(inputs.AttemptLost(row.token, "no sign of life"))

    @rule(pick=anything, place=anything)
    def deliver_a_task_twice(self, pick: int, place: int) -> None:
        run, slot = self.busy(pick), self.world.slots[place % len(self.world.slots)]
        if run and slot.run is None:
            self.stream.append(self.world.start(slot, run.job))

    @rule(pick=anything)
    def lose_a_task(self, pick: int) -> None:
        if self.world.queue:
            self.world.queue.pop(pick % len(self.world.queue))

    @rule(pick=anything)
    def find_a_task_lost(self, pick: int) -> None:
        missing = self.missing()
        if missing:
            self.world.feed(inputs.TaskMissing(missing[pick % len(missing)]))

    @rule(pick=anything, running=st.booleans())
    def revoke(self, pick: int, running: bool) -> None:
        """A person does, in Flower."""
        tokens = list(self.world.ledger.attempts)
        token = tokens[pick % len(tokens)]
        self.stream.append(Event(token=token, runner="", seq=0, body=Revoked(running=running)))

    @rule(slots=st.integers(1, 3))
    def come_and_go(self, slots: int) -> None:
        self.world.resize(slots)

    @rule(pick=anything)
    def spoil_a_checkpoint(self, pick: int) -> None:
        there = sorted(self.world.files.there)
        if there:
            self.world.files.unreadable.add(there[pick % len(there)])

    # -- the control plane ----------------------------------------------------------------------------------------

    @precondition(lambda self: self.stream)
    @rule(pick=anything, orderly=st.booleans())
    def take_in(self, pick: int, orderly: bool) -> None:
        event = self.stream.pop(0 if orderly else pick % len(self.stream))
        self.uncommitted.append(event)
        self.world.deliver(event)

    @rule()
    def take_in_everything(self) -> None:
        while self.stream:
            self.take_in(0, True)

    @rule(pick=anything)
    def take_in_again(self, pick: int) -> None:
        said = [event for run in self.world.runs for event in run.said]
        if said:
            self.world.deliver(said[pick % len(said)])

    @rule()
    def commit(self) -> None:
        self.world.commit()
        self.uncommitted = []

    @rule()
    def crash(self) -> None:
        """What was read and not committed is read again."""
        self.world.rebuild()
        self.stream = self.uncommitted + self.stream
        self.uncommitted = []

    @rule(slots=st.integers(0, 4))
    def miscount(self, slots: int) -> None:
        """Slots are heard of late, and thought to be there still when they are gone."""
        self.world.feed(inputs.SlotsCounted(slots))

    @rule(command=st.sampled_from([inputs.StudyPaused(), inputs.StudyInterrupted(), inputs.StudyResumed()]))
    def command(self, command: Input) -> None:
        self.world.feed(command)

    @rule()
    def stop_and_go_on(self) -> None:
        """What never began waits meanwhile."""
        self.world.feed(inputs.StudyStopped())
        self.world.extend(self.world.ledger.spec)

    # -- what holds -----------------------------------------------------------------------------------------------

    @invariant()
    def stored_values_are_of_bound_runners(self) -> None:
        ledger = self.world.ledger
        for trial in ledger.trials.values():
            for step, value in trial.steps.items():
                run, said_step = self.said[value]
                assert (run.job.trial, said_step) == (trial.number, step)
                assert ledger.attempts[run.job.token].runner == run.runner

    @invariant()
    def what_is_confirmed_is_stored(self) -> None:
        ledger = self.world.ledger
        for run in self.world.runs:
            row, trial = ledger.attempts[run.job.token], ledger.trials[run.job.trial]
            if row.runner == run.runner and row.state != AttemptState.LOST:
                assert row.acknowledged <= len(run.said)
                for event in run.said[: row.acknowledged]:
                    if isinstance(event.body, Epoch):
                        assert event.body.step in trial.steps or trial.ended

    @invariant()
    def confirmations_only_rise(self) -> None:
        for token, row in self.world.ledger.attempts.items():
            assert row.acknowledged >= self.acknowledged.get(token, 0)
            self.acknowledged[token] = row.acknowledged

    @invariant()
    def the_budget_is_not_overshot(self) -> None:
        assert len(self.world.ledger.trials) <= self.world.ledger.spec.trials

    @invariant()
    def attempts_stay_within_the_cap(self) -> None:
        for number in self.world.ledger.trials:
            charged = [row for row in self.world.ledger.attempts_of(number) if row.cause not in FREE]
            assert len(charged) <= self.world.ledger.spec.retry.max_attempts

    @invariant()
    def no_runner_misses_a_checkpoint(self) -> None:
        for run in self.world.runs:
            bound = self.world.ledger.attempts[run.job.token].runner == run.runner
            assert not bound or not run.course.missed, f"trial {run.job.trial} misses {run.course.missed}"

    def teardown(self) -> None:
        """From now on nothing goes wrong any more: the search comes to its end, and it is the right one."""
        if not hasattr(self, "world"):
            return
        self.command(inputs.StudyResumed())
        self.world.count()
        self.commit()
        for _ in range(ROUNDS):
            if not self.settle():
                break
        ledger = self.world.ledger
        # One that was stopped stays so where what the stop has ended was the last of its budget.
        spent = ledger.state == "stopped" and len(ledger.trials) == ledger.spec.trials
        spent = spent and "WAITING" not in self.world.counts
        assert ledger.state in ("finished", "failed") or spent, ledger.rows()
        ends = {"COMPLETE", "PRUNED", "FAIL"}
        assert set(self.world.counts) <= (ends | {"WAITING"} if ledger.reason else ends)
        assert ledger.reason or ledger.state == "finished"
        # One that came to a limit has fewer.
        assert sum(self.world.counts.values()) == (len(ledger.trials) if ledger.reason else ledger.spec.trials)
        assert not [row for row in ledger.attempts.values() if row.state in LIVE]
        assert not ledger.checkpoints
        assert not any(map(self.unconfirmed, self.world.runs)), "a slot says the same for ever"
        before = ledger.rows()
        self.world.rebuild()
        assert ledger.rows() == before

    def settle(self) -> bool:
        """One round without faults; returns whether there was anything to do."""
        active, sent = False, len(self.world.sent)
        for slot in self.world.slots:
            while event := self.world.say(slot):
                self.stream.append(event)
                active = True
        for run in self.world.runs:
            self.stream += self.unconfirmed(run)
        active = active or bool(self.stream)
        self.take_in_everything()
        self.commit()
        for token in self.missing():
            self.world.feed(inputs.TaskMissing(token))
            active = True
        present = {slot.run.runner for slot in self.world.slots if slot.run}
        for row in self.world.engine.attempts.in_state(*BOUND):
            if row.runner not in present:
                self.world.feed(inputs.AttemptLost(row.token, "gone"))
                active = True
        self.commit()
        return active or len(self.world.sent) > sent

    # -- helpers --------------------------------------------------------------------------------------------------

    def busy(self, pick: int) -> Run | None:
        runs = [slot.run for slot in self.world.slots if slot.run]
        return runs[pick % len(runs)] if runs else None

    def missing(self) -> list[str]:
        """Tasks that were sent, never started, and are nowhere."""
        there = {job.token for job in self.world.queue} | {slot.run.job.token for slot in self.world.slots if slot.run}
        return [row.token for row in self.world.engine.attempts.in_state(AttemptState.SENT) if row.token not in there]

    def unconfirmed(self, run: Run) -> list[Event]:
        """What the keeper of ``run`` still holds."""
        confirmation = self.world.confirmations[run.job.token]
        if confirmation.runner == run.runner:
            return run.said[confirmation.seq :]
        return [] if confirmation.runner or confirmation.verdict else list(run.said)


TestFleet = Fleet.TestCase
TestFleet.settings = settings(
    max_examples=80,
    stateful_step_count=50,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
