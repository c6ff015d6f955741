"""A search with promotion is steered, and ends: trials that wait at a rung end there, and none is promoted any more."""

from __future__ import annotations

from typing import Any

import pytest
from driver import Course, Talk, World, make_spec
from programs import LADDER, PROMOTION, SYNC, broken, number, reach, saving
from reference import follow

from orchestrator.engine import inputs
from orchestrator.model.lifecycle import LIVE
from tasks.contract import Epoch, Failed, StudyStop


def test_pause_promotes_no_trial_until_resume() -> None:
    world = World(make_spec(**LADDER), saving(number))
    reach(world, 2, Epoch, 1)
    world.feed(inputs.StudyPaused())
    world.run()
    assert world.state == "paused"
    assert {row.state for row in world.ledger.attempts.values()} == {"paused"}
    assert not world.ledger.decisions
    world.feed(inputs.StudyResumed())
    assert [(row.trial, row.action) for row in world.ledger.decisions.values()] == [(0, "promote")]
    world.run()
    assert world.counts == {"COMPLETE": 1, "PRUNED": 26}


@pytest.mark.parametrize("paused_first", [False, True])
def test_stop_ends_paused_trials_where_they_are(paused_first: bool) -> None:
    world = World(make_spec(**LADDER), saving(number))
    reach(world, 0, Epoch, 5)
    waiting = sorted(world.engine.trials.paused)
    assert waiting
    if paused_first:
        world.feed(inputs.StudyPaused())
        world.rebuild()
    world.feed(inputs.StudyStopped())
    assert world.ledger.state == "stopped"
    assert {n: row.state for n, row in world.ledger.trials.items()} == {0: "FAIL"} | dict.fromkeys(waiting, "PRUNED")
    assert all([row.action for row in world.ledger.of(n)][-1] == "end" for n in waiting)
    world.run()
    assert not [row for row in world.ledger.attempts.values() if row.state in LIVE]
    assert not world.files.there


def test_study_stop_lets_slices_end_and_promotes_no_trial() -> None:
    def objective(course: Course) -> Talk:
        if course.number == 4:
            yield StudyStop()
        return (yield from saving(number)(course))

    world = World(make_spec(**LADDER), objective, slots=2)
    world.until(StudyStop)
    promotions = [row for row in world.ledger.decisions.values() if row.action == "promote"]
    world.run()
    assert (world.state, world.ledger.reason) == ("finished", "the objective stopped the study")
    assert [row for row in world.ledger.decisions.values() if row.action == "promote"] == promotions
    assert set(world.counts) <= {"PRUNED", "FAIL"}
    assert world.counts["PRUNED"] >= 5


def test_a_study_stop_after_the_end_changes_nothing() -> None:
    world = World(make_spec(**LADDER), saving(number))
    run = world.until(Epoch)
    world.feed(inputs.StudyStopped())
    world.deliver(run.event(StudyStop()))
    assert (world.state, world.ledger.reason) == ("stopped", "stopped by a person")
    assert world.engine.counts["late"] == 1


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("pruner", [PROMOTION, SYNC], ids=["promotion", "sync"])
def test_more_trials_after_the_end_leave_the_ended_ones_alone(pruner: dict[str, Any], rebuild: bool) -> None:
    """The first nine are the better ones, so that none of the new ones would be promoted before them."""
    changes = LADDER | {"trials": 9, "max_steps": 9, "pruner": pruner}
    world = World(make_spec(**changes), saving(number, epochs=9), rebuild=rebuild).run()
    assert world.held() == [(1, 9), (3, 3), (9, 1)]
    before = repr(world.ledger.trials)
    world.extend(make_spec(**changes | {"trials": 18}))
    world.run()
    assert world.state == "finished"
    assert repr({n: row for n, row in world.ledger.trials.items() if n < 9}) == before
    assert world.held()[0] == (1, 18)
    assert sum(world.counts.values()) == 18


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_table_that_grew_is_decided_when_it_is_complete(rebuild: bool) -> None:
    """Of the first nine so many fail that places stay free; they are not the next best newcomer's."""
    changes = LADDER | {"trials": 9, "max_steps": 9, "pruner": SYNC}

    def objective(course: Course) -> Talk:
        if 1 <= course.number <= 7:
            yield Failed(cause="exception", error=f"Error{course.number}", message="no")
        return (yield from saving(number, epochs=9)(course))

    world = World(make_spec(**changes), objective, rebuild=rebuild).run()
    world.extend(make_spec(**changes | {"trials": 18}))
    earlier = len(world.ledger.decisions)
    world.run()
    later = list(world.ledger.decisions.values())[earlier:]
    first = next(row for row in later if row.action == "promote")
    assert (first.trial, first.peers) == (9, 11), "it was decided before all of the table was there"


def test_an_objective_that_saves_nothing_ends_the_study_and_says_what_to_do() -> None:
    world = World(make_spec(**LADDER), saving(number, save="never"), slots=3).run()
    assert world.state == "failed"
    assert "saved no checkpoint by step 3" in world.ledger.reason
    assert "restart = true" in world.ledger.reason
    assert set(world.counts) == {"FAIL"}
    assert not [row for row in world.ledger.attempts.values() if row.state in LIVE]


def test_a_broken_objective_ends_the_study_but_not_while_others_wait_at_a_rung() -> None:
    assert World(make_spec(**LADDER), broken).run().ledger.reason.startswith("the first 3 trials all failed alike")

    def breaks_later(course: Course) -> Talk:
        if course.load():
            yield Failed(cause="exception", error="RuntimeError", message="cannot go on")
        return (yield from saving(number)(course))

    world = World(make_spec(**LADDER), breaks_later).run()
    assert world.state == "finished"
    assert world.counts["FAIL"] >= 3
    assert follow(world).held() == world.held()


@pytest.mark.parametrize("state", ["COMPLETE", "FAIL"])
def test_a_paused_trial_that_another_program_ended_is_out_of_the_race(state: str) -> None:
    world = World(make_spec(**LADDER), saving(number))
    while world.engine.trials.paused != {0, 1}:
        world.step()
    row = world.ledger.trials[0]
    row.state, row.values, row.end = state, (5.0,) if state == "COMPLETE" else None, world.at
    world.rebuild()
    assert world.engine.trials.paused == {1}
    assert world.engine.storage.get_all_trials(0)[0].state.name == state
    assert world.ledger.attempts_of(0)[-1].cause == "ended elsewhere"
    assert not [each for each in world.ledger.checkpoints.values() if each.trial == 0]
    world.run()
    assert world.state == "finished"
    assert sum(world.counts.values()) == 27, "the study ended while a trial was under way"
    assert not world.files.there
