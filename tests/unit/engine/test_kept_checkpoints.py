"""Checkpoints: the two newest of a trial that goes on are kept, and every other file is deleted, after the commit."""

from __future__ import annotations

import pytest
from driver import Course, Talk, World, make_spec
from programs import LADDER, number, reach, saving

from orchestrator.engine import inputs
from orchestrator.model.changeset import CheckpointRow
from tasks.contract import Checkpoint, CheckpointRef, Epoch, Failed, Finished, Stopped
from tests.simulated.course import Run

DIED = Failed(cause="died", error="TrainingProcessDied", message="signal 9")
MEDIAN = {"name": "median", "n_startup_trials": 1}


def steps(world: World, trial: int) -> list[int]:
    """The steps of a trial's checkpoints, oldest first."""
    return [row.step for row in world.ledger.checkpoints.values() if row.trial == trial]


def another(world: World, run: Run, step: int) -> Checkpoint:
    """A checkpoint that ``run`` has just written."""
    location = world.files.save(run.job.token, step)
    return Checkpoint(ref=CheckpointRef(step=step, location=location, digest="0" * 64, size=1))


def test_the_two_newest_are_kept_and_the_third_is_deleted() -> None:
    world = World(make_spec(trials=1), saving(epochs=4))
    for step, kept in ((1, [1]), (2, [1, 2]), (3, [2, 3]), (4, [3, 4])):
        reach(world, 0, Checkpoint, step)
        assert steps(world, 0) == kept
        assert len(world.files.there) == len(kept)
    world.run()
    assert world.counts == {"COMPLETE": 1}
    assert not world.ledger.checkpoints
    assert not world.files.there


def test_what_is_said_of_a_checkpoint_is_what_is_stored() -> None:
    world = World(make_spec(trials=1), saving(epochs=4))
    run = reach(world, 0, Checkpoint, 1)
    ref = run.said[-1].body.ref  # type: ignore[union-attr]
    assert list(world.ledger.checkpoints.values()) == [
        CheckpointRow(0, 1, ref.location, ref.digest, ref.size, world.at)
    ]
    world.leave(run, DIED)
    assert world.sent[-1].checkpoints == (ref,)


@pytest.mark.parametrize("rebuild", [False, True])
def test_nothing_is_deleted_before_it_is_committed(rebuild: bool) -> None:
    world = World(make_spec(trials=1), saving(epochs=4))
    reach(world, 0, Checkpoint, 2)
    before = set(world.files.there)
    world.hold = True
    reach(world, 0, Checkpoint, 3)
    assert before < world.files.there
    if rebuild:
        world.hold = False
        world.rebuild()
        assert before < world.files.there
        assert steps(world, 0) == [1, 2]
    else:
        batch = world.commit()
        assert batch.discards == [location for _, location in batch.changes.discarded]
        assert len(batch.discards) == 1
        assert set(batch.discards) < before


def test_many_in_one_batch_leave_the_same_as_one_by_one() -> None:
    world = World(make_spec(trials=1), saving(epochs=4))
    world.hold = True
    reach(world, 0, Checkpoint, 4)
    batch = world.commit()
    assert [row.step for row in batch.changes.checkpoints] == [1, 2, 3, 4]
    assert steps(world, 0) == [3, 4]
    assert len(batch.discards) == 2


@pytest.mark.parametrize("lost", [False, True])
def test_an_attempt_goes_on_from_the_newest_that_can_be_read(lost: bool) -> None:
    """A search without any promotion: the checkpoints serve the next attempt."""
    world = World(make_spec(trials=1), saving(epochs=4))
    run = reach(world, 0, Checkpoint, 3)
    older, newer = world.ledger.checkpoints
    world.files.unreadable.add(newer)
    if lost:
        world.lose(run)
    else:
        world.leave(run, DIED)
    world.resize(1)
    assert [ref.location for ref in world.sent[-1].checkpoints] == [newer, older]
    world.run()
    assert world.counts == {"COMPLETE": 1}
    assert world.ledger.redone == [(0, 3, 0.0)]
    assert list(world.ledger.trials[0].steps) == [1, 2, 3, 4]


def test_a_newer_attempt_supersedes_those_of_the_one_before() -> None:
    world = World(make_spec(trials=1), saving(epochs=4))
    first = reach(world, 0, Checkpoint, 2)
    world.leave(first, DIED)
    second = reach(world, 0, Checkpoint, 3)
    tokens = [row.location.split("/")[1][:36] for row in world.ledger.checkpoints.values()]
    assert tokens == [first.job.token, second.job.token]
    reach(world, 0, Checkpoint, 4)
    assert steps(world, 0) == [3, 4]


def test_those_of_a_pruned_trial_go_with_it_and_a_late_one_too() -> None:
    """The verdict meets the trainer while it saves once more."""
    world = World(make_spec(pruner=MEDIAN, trials=2, max_steps=4), saving(epochs=4))
    while not world.ledger.of(1):
        world.step()
    run = world.runs[-1]
    assert world.ledger.trials[1].state == "PRUNED"
    assert not world.ledger.checkpoints
    world.vacate(run)
    world.deliver(run.event(another(world, run, 1)))
    assert not world.files.there
    assert world.engine.counts["late"] == 1
    world.deliver(run.event(Stopped()))
    world.run()
    assert world.state == "finished"


def test_a_runner_that_was_taken_for_lost_saves_in_vain() -> None:
    world = World(make_spec(trials=1), saving(epochs=4), slots=2)
    run = reach(world, 0, Checkpoint, 1)
    world.lose(run)
    late = another(world, run, 2)
    event = run.event(late)
    world.deliver(event)
    assert late.ref.location not in world.files.there
    assert steps(world, 0) == [1]
    world.deliver(event)  # it comes again, and is not deleted again
    world.run()
    assert world.counts == {"COMPLETE": 1}
    assert not world.files.there


def test_a_start_that_came_second_takes_nothing_away() -> None:
    """Both starts of one task write to the same places, so a file of the loser may be the winner's."""
    world = World(make_spec(trials=1), saving(epochs=4), slots=2)
    job = world.queue.pop(0)
    winner, loser = (world.start(slot, job) for slot in world.slots)
    world.deliver(winner)
    world.deliver(loser)
    first, second = world.runs
    saved = another(world, first, 1)
    world.deliver(first.event(saved))
    world.deliver(second.event(saved))
    assert saved.ref.location in world.files.there
    assert steps(world, 0) == [1]


def test_a_report_of_the_same_file_again_keeps_it() -> None:
    world = World(make_spec(trials=1), saving(epochs=4))
    run = world.until(Epoch)
    saved = another(world, run, 1)
    event = run.event(saved)
    for _ in range(3):
        world.deliver(event)
    assert steps(world, 0) == [1]
    assert saved.ref.location in world.files.there


@pytest.mark.parametrize("operation", ["stop", "finish", "fail"])
def test_the_end_of_a_trial_deletes_what_it_had(operation: str) -> None:
    world = World(make_spec(trials=2), saving(epochs=4))
    run = reach(world, 0, Checkpoint, 2)
    if operation == "stop":
        world.feed(inputs.StudyStopped())
    else:
        body = Finished(values=(1.0,)) if operation == "finish" else Failed(cause="value", error="E", message="m")
        world.leave(run, body)
    assert not world.ledger.checkpoints
    assert not world.files.there


def test_a_trial_that_another_program_ended_leaves_no_checkpoints_behind() -> None:
    world = World(make_spec(trials=2), saving(epochs=4))
    reach(world, 0, Checkpoint, 2)
    row = world.ledger.trials[0]
    row.state, row.values, row.end = "COMPLETE", (1.0,), world.at
    world.rebuild()
    assert not world.ledger.checkpoints
    assert not world.files.there
    world.run()
    assert world.state == "finished"


@pytest.mark.parametrize("slots", [1, 3])
def test_none_is_left_after_a_search_full_of_losses(slots: int) -> None:
    spec = make_spec(**LADDER, retry={"max_attempts": 99})
    world = World(spec, saving(number, save="before"), slots, shuffle=8)
    for _ in range(30):
        run = world.until(Checkpoint)
        world.lose(run, still_there=True)
    world.run()
    assert not world.ledger.checkpoints
    assert not world.files.there
    assert not [run.course.missed for run in world.runs if run.course.missed]


def test_an_objective_may_save_without_reporting() -> None:
    def objective(course: Course) -> Talk:
        for step in range(course.load() + 1, 4):
            yield from course.save(step)
        return 1.0

    world = World(make_spec(trials=2), objective).run()
    assert world.counts == {"COMPLETE": 2}
    assert not world.files.there


@pytest.mark.parametrize("late", [False, True])
def test_an_event_names_no_checkpoint_but_its_own_attempts(late: bool) -> None:
    """Neither to be kept, nor, when it comes too late, to be deleted."""
    world = World(make_spec(trials=2), saving(epochs=4), slots=2)
    run = reach(world, 0, Checkpoint, 1)
    reach(world, 1, Checkpoint, 1)
    (location,) = (row.location for row in world.ledger.checkpoints.values() if row.trial == 1)
    if late:
        world.lose(run, still_there=True)
    before = {row.location: row.trial for row in world.ledger.checkpoints.values()}
    stolen = Checkpoint(ref=CheckpointRef(step=9, location=location, digest="0" * 64, size=1))
    world.deliver(run.event(stolen))
    assert {row.location: row.trial for row in world.ledger.checkpoints.values()} == before
    assert location in world.files.there
