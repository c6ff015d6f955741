"""Promotion when something is lost, steered, stopped or made anew: rungs and rows are what they would have been."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest
from driver import Course, Objective, Talk, World, make_spec
from programs import LADDER, PROMOTION, RESTART, SYNC, conditional, mixed, number, reach, saving

from orchestrator.control import journal
from orchestrator.control.journal_record import Record
from orchestrator.engine import inputs
from orchestrator.engine.outputs import Batch
from orchestrator.model.lifecycle import LIVE
from tasks.contract import Checkpoint, Epoch, Failed, Paused, Released, Slice, Started
from tests.simulated.ledger import Ledger

DIED = Failed(cause="died", error="TrainingProcessDied", message="signal 9")
TPE = {"name": "tpe", "n_startup_trials": 3}


def jobs(world: World, trial: int) -> list[tuple[int | None, list[int]]]:
    """For each task of a trial, to where it runs, and the steps of the checkpoints it was given."""
    sent = [job for job in world.sent if job.trial == trial]
    return [(job.slice.until_step if job.slice else None, [ref.step for ref in job.checkpoints]) for job in sent]


def test_slices_lead_from_rung_to_rung_and_the_last_has_no_end() -> None:
    world = World(make_spec(**LADDER), saving(number)).run()
    assert jobs(world, 0) == [(1, []), (3, [1]), (9, [3, 2]), (None, [9, 8])]
    first, second = (job.slice for job in world.sent if job.trial == 0 and job.attempt < 3)
    assert (first, second) == (Slice(until_step=1, checkpoint_by=3), Slice(until_step=3, checkpoint_by=9))
    sends = [send for batch in world.batches for send in batch.sends if send.job.trial == 0]
    assert [send.priority for send in sends] == [5, 9, 9, 9]


@pytest.mark.parametrize("every", [1, 2])
def test_a_slice_that_is_cut_off_goes_on_from_the_last_checkpoint(every: int) -> None:
    """Reports 4 and 5 of the slice to step 9 are there; with a checkpoint every two steps, 5 is trained again."""
    undisturbed = World(make_spec(**LADDER), saving(number, every=every)).run()
    world = World(make_spec(**LADDER), saving(number, every=every))
    world.lose(reach(world, 0, Epoch, 5))
    world.resize(1)
    assert world.ledger.attempts_of(0)[-1].number == world.ledger.attempts_of(0)[-2].number + 1
    cut, again = (job for job in world.sent if job.trial == 0 and job.slice and job.slice.until_step == 9)
    assert again.slice == cut.slice
    assert again.checkpoints[0].step == 4
    world.run()
    assert world.ledger.redone == [(0, 5, 0.0), *undisturbed.ledger.redone]
    assert world.held() == undisturbed.held()
    assert world.ledger.trials[0].steps == undisturbed.ledger.trials[0].steps


def test_a_runner_lost_after_its_last_checkpoint_has_trained_its_slice() -> None:
    """It had only ``paused`` left to say. The next attempt ends the slice with its first report, and the result at the
    rung is that of the rung's own step."""
    world = World(make_spec(**LADDER), saving(lambda course, step: course.number + step / 100))
    world.lose(reach(world, 0, Checkpoint, 3))
    world.resize(1)
    run = world.until(Paused)
    assert [event.body.step for event in run.said if isinstance(event.body, Epoch)] == [4]
    assert jobs(world, 0)[-1] == (3, [3, 2])
    world.run()
    assert world.held() == [(1, 27), (3, 9), (9, 3), (27, 1)]
    [at_three] = [row for row in world.ledger.of(0) if row.step == 3]
    assert (at_three.action, at_three.value) == ("promote", 0.03)
    assert world.ledger.redone == [(0, 4, 0.04)], "the report beyond the rung was made without a checkpoint"


def test_a_paused_message_that_comes_too_late_is_dropped() -> None:
    """The runner was taken for lost, and says after all that it has trained its slice."""
    world = World(make_spec(**LADDER), saving(number), slots=2)
    run = reach(world, 0, Checkpoint, 1)
    world.lose(run)
    world.deliver(run.event(Paused(step=1)))
    assert world.ledger.attempts_of(0)[0].state == "lost"
    assert world.ledger.attempts_of(0)[1].state in ("sent", "running")
    world.run()
    assert world.held() == [(1, 27), (3, 9), (9, 3), (27, 1)]


SMALL = LADDER | {"trials": 12, "max_steps": 9}
SEARCHES: dict[str, tuple[Objective, dict[str, Any]]] = {
    "promotion": (saving(mixed, epochs=9), SMALL),
    "every-other": (saving(mixed, epochs=9, every=2), SMALL),
    "sync": (saving(mixed, epochs=9), SMALL | {"pruner": SYNC}),
    "restart": (saving(mixed, epochs=9, save="never"), SMALL | {"pruner": RESTART}),
    "tpe": (saving(mixed, epochs=9), SMALL | {"sampler": TPE}),
    "conditional": (conditional, SMALL | {"sampler": TPE, "space": None, "max_steps": 4, "pruner": RESTART}),
}


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("slots", [1, 3])
def test_an_engine_made_anew_after_every_batch_goes_on_as_the_old_one(search: str, slots: int) -> None:
    objective, changes = SEARCHES[search]
    steady = World(make_spec(**changes), objective, slots, shuffle=5).run()
    restarted = World(make_spec(**changes), objective, slots, shuffle=5, rebuild=True).run()
    assert steady.state == "finished"
    assert restarted.ledger.rows() == steady.ledger.rows()
    assert restarted.held() == steady.held()


def eventful(**changes: Any) -> World:
    """Losses, a pause, slots that come and go, and a larger budget."""
    world = World(make_spec(**LADDER | changes), saving(mixed, every=2), slots=3, shuffle=2)
    world.leave(world.until(Epoch), DIED)
    world.lose(world.until(Checkpoint), still_there=True)
    world.until(Paused)
    world.feed(inputs.StudyPaused())
    world.resize(1)
    world.until(Paused)
    world.feed(inputs.StudyResumed())
    world.resize(4)
    missing = world.queue.pop(0)
    world.feed(inputs.TaskMissing(missing.token))
    world.until(Paused)
    world.extend(make_spec(**LADDER | changes | {"trials": 30}))
    return world.run()


@pytest.mark.parametrize("pruner", [PROMOTION, SYNC], ids=["promotion", "sync"])
def test_a_recording_of_it_gives_the_same_batches_and_rows(pruner: dict[str, Any]) -> None:
    world = eventful(pruner=pruner)
    assert world.state == "finished"
    opening = world.opening(make_spec(**LADDER | {"pruner": pruner}))
    batches: list[str] = []
    ledger = Ledger(world.ledger.spec, world.ledger.seed)

    def sink(record: Record, batch: Batch) -> None:  # noqa: ARG001
        batches.append(repr(asdict(batch)))
        ledger.commit(batch.changes, batch.discards)

    journal.replay(iter([opening, *world.records]), sink)
    assert batches == [repr(asdict(batch)) for batch in world.batches]
    assert ledger.rows() == world.ledger.rows()


@pytest.mark.parametrize("body", [DIED, Released()])
def test_attempts_are_capped_over_all_slices_and_promotions_cost_none(body: Failed | Released) -> None:
    """A trial may die twice of three times, wherever on its way; being handed back is no failure."""
    world = World(make_spec(**LADDER), saving(number))
    for step in (2, 5, 10):
        world.leave(reach(world, 0, Epoch, step), body)
    world.run()
    assert world.state == "finished"
    row = world.ledger.trials[0]
    assert row.state == ("FAIL" if isinstance(body, Failed) else "COMPLETE")
    if row.state == "FAIL":
        assert json.loads(row.user_attrs["failure"])["message"] == "3 attempts, the last one: signal 9"
        assert max(row.steps) == 10
    assert not world.files.there


def test_restart_trains_again_and_the_first_values_stand() -> None:
    times: dict[tuple[int, int], int] = {}

    def value(course: Course, step: int) -> float:
        times[course.number, step] = times.get((course.number, step), 0) + 1
        return course.number + times[course.number, step] / 1000

    world = World(make_spec(**LADDER | {"pruner": RESTART}), saving(value, save="never")).run()
    assert (world.state, world.counts) == ("finished", {"COMPLETE": 1, "PRUNED": 26})
    assert world.held() == [(1, 27), (3, 9), (9, 3), (27, 1)]
    assert len(world.epochs) == 27 + 9 * 3 + 3 * 9 + 27
    assert len(world.ledger.redone) == 9 * 1 + 3 * 3 + 9
    for n, row in world.ledger.trials.items():
        assert set(row.steps.values()) == {n + 0.001}
    assert jobs(world, 0) == [(1, []), (3, []), (9, []), (None, [])]


def test_to_the_sampler_a_paused_trial_was_pruned_and_to_the_database_it_runs() -> None:
    world = World(make_spec(**LADDER | {"sampler": TPE, "space": None, "trials": 9}), saving(mixed))
    seen: set[str] = set()
    while world.step():
        for trial in world.engine.storage.get_all_trials(0):
            row = world.ledger.trials[trial.number]
            if trial.number not in world.engine.trials.paused:
                continue
            seen.add(trial.state.name)
            assert (trial.state.name, row.state) == ("PRUNED", "RUNNING")
            assert trial.values == [row.steps[max(row.steps)]]
            assert trial.params == {name: value for name, (value, _) in row.params.items()}
            assert world.engine.storage.get_trial(trial.number).state.name == "RUNNING"
    assert seen == {"PRUNED"}
    assert not world.engine.trials.paused
    states = [trial.state.name for trial in world.engine.storage.get_all_trials(0)]
    assert states == [row.state for row in world.ledger.trials.values()]


def test_parameters_sampled_ahead_are_not_part_of_a_paused_trial() -> None:
    """Only trial 0 asks for y; to a sampler the others have none, as if they had been pruned."""

    def objective(course: Course) -> Talk:
        yield from course.float("x")
        if course.number == 0:
            yield from course.float("y")
        return (yield from saving(number)(course))

    world = World(make_spec(**LADDER | {"space": None}), objective)
    while len(world.engine.trials.paused) < 2:
        world.step()
    shown = {trial.number: set(trial.params) for trial in world.engine.storage.get_all_trials(0)}
    assert set(world.engine.storage.get_trial(1).params) == {"x", "y"}
    assert (shown[0], shown[1]) == ({"x", "y"}, {"x"})


def test_a_task_that_is_about_to_be_sent_is_not_sent_again() -> None:
    world = World(make_spec(**LADDER), saving(number))
    world.hold = True
    world.resize(2)
    token = next(row.token for row in world.engine.attempts.in_state(*LIVE) if row.trial == 1)
    world.feed(inputs.TaskMissing(token))
    assert [send.job.trial for send in world.commit().sends] == [1]
    world.feed(inputs.TaskMissing(token))
    assert [send.job.trial for send in world.commit().sends] == [1]
    world.until(Started)
