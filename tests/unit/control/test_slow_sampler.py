"""While a sampler works, its study goes on: epochs count, commands are taken, and the rows are the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.control.ports import Phase
from orchestrator.control.sampling_pace import MOST_AHEAD, ROUNDS, SamplingPace
from orchestrator.model.attribute_keys import ASKED
from orchestrator.spec import Spec
from orchestrator.spec.model import validate
from tests.simulated.course import Course, Talk
from tests.simulated.simulation import HEARTBEAT, Simulation

SEARCH: dict[str, Any] = {
    "name": "search",
    "objective": "somewhere:objective",
    "trials": 6,
    "max_steps": 4,
    "seed": 3,
    "sampler": {"name": "tpe", "n_startup_trials": 2},
    "pruner": {"name": "median", "n_startup_trials": 1, "n_warmup_steps": 1},
    "space": {"x": {"type": "float", "low": 0.0, "high": 1.0}},
}
SLOW = 5 * HEARTBEAT


def spec(**changes: Any) -> Spec:
    return validate(SEARCH | changes, "test")


def objective(course: Course) -> Talk:
    x = yield from course.float("x")
    y = yield from course.float("y")
    for step in range(1, 5):
        yield from course.report(step, x + y / step)
    return x + y


def rows(simulation: Simulation) -> list[Any]:
    return [
        (row.state, row.params, row.steps, row.values, row.system_attrs) for row in simulation.ledger.trials.values()
    ]


def asked(simulation: Simulation) -> list[int]:
    return [number for number, row in simulation.ledger.trials.items() if ASKED in row.system_attrs]


def until(simulation: Simulation, condition: Callable[[], object]) -> None:
    for _ in range(500):
        if condition():
            return
        spoke = [simulation.turn(slot) for slot in simulation.slots]
        simulation.round(wait=not any(spoke))
    raise AssertionError("it does not come to that")


@pytest.mark.parametrize("sampler", [{"name": "tpe", "n_startup_trials": 2}, {"name": "nsgaii", "population_size": 2}])
def test_a_slow_sampler_gives_the_rows_of_a_fast_one(sampler: dict[str, Any]) -> None:
    fast = Simulation(spec(sampler=sampler), objective).run_to_end()
    slow = Simulation(spec(sampler=sampler), objective, slow_sampler=SLOW).run_to_end()
    assert rows(slow) == rows(fast)
    assert not asked(slow)


def test_the_trial_that_trains_goes_on_and_ends_meanwhile() -> None:
    def short(course: Course) -> Talk:
        x = yield from course.float("x")
        for step in range(1, 5):
            yield from course.report(step, x)
        return x

    simulation = Simulation(spec(), short, slow_sampler=SLOW)
    until(simulation, lambda: asked(simulation) == [1])
    until(simulation, lambda: simulation.ledger.trials[0].state == "COMPLETE")
    assert asked(simulation) == [1], "the sampler is still at work"
    assert len(simulation.ledger.trials[0].steps) == 4


@pytest.mark.parametrize("step", [Phase.COMMITTED, Phase.CONFIRMED, Phase.ENQUEUED, Phase.DECIDED])
def test_dying_while_a_trial_is_asked_for_changes_nothing(step: Phase) -> None:
    undisturbed = Simulation(spec(), objective, slow_sampler=SLOW).run_to_end()
    for nth in (1, 2, 4, 7):
        disturbed = Simulation(spec(), objective, slow_sampler=SLOW)
        disturbed.kill_when(lambda passing, it=disturbed, nth=nth: passing == step and it.passed.count(step) == nth)  # type: ignore[misc]
        disturbed.run_to_end()
        assert rows(disturbed) == rows(undisturbed), f"at {step} {nth}"


def test_a_study_is_stopped_in_the_middle_of_an_ask() -> None:
    simulation = Simulation(spec(), objective, slow_sampler=SLOW)
    until(simulation, lambda: asked(simulation) == [1])
    simulation.database.issue("key", "stop", "search", {})
    simulation.redis.add({b"ring": b"orchestrator:doorbell"})
    until(simulation, lambda: simulation.ledger.state == "stopped")
    assert asked(simulation) == [1], "the stop does not wait for the sampler"
    simulation.run_to_end()
    assert [row.state for row in simulation.ledger.trials.values()] == ["FAIL", "WAITING"]
    assert list(simulation.ledger.trials[1].params) == ["x"], "it waits once it is sampled"
    assert not asked(simulation)


def test_a_paused_study_keeps_what_was_sampled_meanwhile() -> None:
    simulation = Simulation(spec(trials=3), objective, slow_sampler=SLOW)
    until(simulation, lambda: asked(simulation) == [1])
    simulation.database.issue("key", "pause", "search", {})
    simulation.redis.add({b"ring": b"orchestrator:doorbell"})
    until(simulation, lambda: simulation.ledger.state == "paused" and not asked(simulation))
    simulation.database.issue("again", "resume", "search", {})
    simulation.redis.add({b"ring": b"orchestrator:doorbell"})
    simulation.run_to_end()
    assert rows(simulation) == rows(Simulation(spec(trials=3), objective).run_to_end())


def paced(between: float, takes: float, round: float = 0.0, count: int = 50) -> SamplingPace:
    """Returns the pace of a study that one sampler answers in order, in rounds of the loop that take so long."""
    pace = SamplingPace()
    answered = 0.0
    for number in range(count):
        asked = number * between
        answered = max(asked, answered) + takes
        pace.asked([number], asked)
        pace.answered(number, answered)
        pace.sent(answered + round)
    return pace


@pytest.mark.parametrize(
    ("between", "takes", "round", "slots", "expected"),
    [
        (1.0, 0.001, 0.001, 1000, 1),
        (0.01, 0.1, 0.1, 1, 1),
        (0.01, 0.005, 0.03, 1000, 13),
        (0.01, 0.005, 0.03, 4, 4),
        (0.001, 0.001, 0.9, 10_000, MOST_AHEAD),
    ],
)
def test_as_many_trials_wait_as_slots_come_free_until_the_next_one_can_follow(
    between: float, takes: float, round: float, slots: int, expected: int
) -> None:
    assert paced(between, takes, round).lookahead(slots, 1) == expected


def test_a_sampler_at_its_limit_is_asked_for_no_more_than_keeps_it_busy() -> None:
    """Questions that come ten times as fast as answers, so that each waits longer than the one before."""
    assert paced(0.01, 0.1, 0.03).lookahead(1000, 1) == 3


def test_the_number_grows_as_long_as_slots_take_what_there_is() -> None:
    """Slots that wait: with one trial ahead the next one is asked for when that one has gone round."""
    ahead, seen = 1, []
    while ahead < MOST_AHEAD and len(seen) < 100:
        ahead = paced(0.1 / ahead, 0.0001, 0.1 / ROUNDS).lookahead(10_000, ahead)
        seen.append(ahead)
    assert seen == sorted(set(seen))
    assert seen[-1] == MOST_AHEAD
    assert len(seen) < 40


def test_questions_of_one_moment_are_as_far_apart_as_their_moments_let_them_be() -> None:
    pace = SamplingPace()
    for moment in range(20):
        trials = list(range(10 * moment, 10 * moment + 10))
        pace.asked(trials, moment)
        for trial in trials:
            pace.answered(trial, moment + 0.02)
        pace.sent(moment + 0.1)
    # Ten a second, and three rounds of 0.08 s.
    assert pace.lookahead(1000, 1) == 4


def test_a_round_that_waits_for_a_server_does_not_fill_the_queue() -> None:
    """A minute, in a study whose slots take a trial every ten seconds."""
    assert paced(10.0, 0.01, 60.0).lookahead(1000, 1) == 1


def test_the_number_shrinks_by_a_quarter_at_least() -> None:
    assert paced(0.01, 0.005, 0.03).lookahead(1000, 14) == 14
    assert paced(0.01, 0.005, 0.03).lookahead(1000, 18) == 13
    assert SamplingPace().lookahead(1000, 7) == 1


def test_many_slots_look_further_ahead_and_one_slot_does_not() -> None:
    def seen(slots: int) -> set[int]:
        simulation = Simulation(spec(trials=40, sampler={"name": "random"}), objective, slots, slow_sampler=SLOW)
        found = set()
        for _ in range(2_000):
            spoke = [simulation.turn(slot) for slot in simulation.slots]
            simulation.round(wait=not any(spoke))
            if simulation.controller is not None and "search" in simulation.controller.studies:
                found.add(simulation.controller.studies["search"].lookahead)
            if simulation.ledger.state == "finished":
                return found
        raise AssertionError("it does not end")

    assert seen(1) == {1}
    assert max(seen(8)) > 1
