"""What becomes of a trial whose attempt dies, goes silent, is handed back, or is revoked by a person."""

from __future__ import annotations

import json

import msgspec
import pytest
from driver import Run, World, make_spec
from hypothesis import given
from hypothesis import strategies as st
from programs import silent

from orchestrator.engine import inputs
from orchestrator.engine.attempts import Attempts
from orchestrator.model.changeset import AttemptRow
from orchestrator.model.lifecycle import LIVE, AttemptEvent, AttemptState
from tasks.contract import Epoch, Event, Failed, Finished, Released, Revoked, Started, Stopped, Verdict

DIED = Failed(cause="died", error="TrainingProcessDied", message="signal 9", exit_code=-9)


def failure(world: World, number: int = 0) -> dict[str, object]:
    found: dict[str, object] = json.loads(world.ledger.trials[number].user_attrs["failure"])
    return found


def die(world: World, after: type = Epoch) -> Run:
    run = world.until(after)
    world.leave(run, DIED)
    return run


def test_a_trial_that_died_is_attempted_again_before_others() -> None:
    world = World(make_spec(trials=3, lookahead=2))
    die(world)
    assert [job.trial for job in world.queue] == [0, 1, 2]
    assert (world.queue[0].attempt, world.queue[0].token) == (2, world.ledger.attempts_of(0)[1].token)
    assert len({row.token for row in world.ledger.attempts.values()}) == len(world.ledger.attempts)
    world.run()
    assert world.counts == {"COMPLETE": 3}


def test_epochs_that_are_trained_again_are_kept_beside_the_first() -> None:
    world = World(make_spec(trials=1))
    die(world)
    world.run()
    assert len(world.values(0)) == 4
    assert [(trial, step) for trial, step, _ in world.ledger.redone] == [(0, 0)]


def test_a_new_attempt_has_the_parameters_of_the_first_and_starts_the_trial_only_once() -> None:
    world = World(make_spec(trials=1, space=None))
    start = world.until(Started) and world.ledger.trials[0].start
    die(world)
    job = world.queue[0]
    assert job.params["x"].value == world.ledger.trials[0].params["x"][0]
    world.run()
    assert world.ledger.trials[0].start == start


@pytest.mark.parametrize("attempts", [1, 2, 3])
def test_a_trial_that_always_dies_fails_after_so_many_attempts(attempts: int) -> None:
    world = World(make_spec(trials=2, retry={"max_attempts": attempts}))
    for _ in range(attempts):
        die(world)
    assert len(world.ledger.attempts_of(0)) == attempts
    assert world.ledger.trials[0].state == "FAIL"
    found = failure(world)
    assert (found["cause"], found["error"], found["exit_code"]) == ("died", "TrainingProcessDied", -9)
    assert str(found["message"]).endswith("signal 9")
    world.run()
    assert world.counts == {"COMPLETE": 1, "FAIL": 1}


def test_a_trial_that_is_handed_back_is_not_charged() -> None:
    world = World(make_spec(trials=1, retry={"max_attempts": 2}))
    for _ in range(5):
        world.leave(world.until(Epoch), Released())
    die(world)
    assert world.counts == {"RUNNING": 1}
    die(world)
    assert world.counts == {"FAIL": 1}
    causes = [row.cause for row in world.ledger.attempts_of(0)]
    assert causes == ["released"] * 5 + ["died: TrainingProcessDied"] * 2


def test_an_exception_is_never_tried_again() -> None:
    world = World(make_spec(trials=2))
    world.leave(world.until(Epoch), Failed(cause="exception", error="KeyError", message="'x'", traceback="…"))
    assert world.ledger.trials[0].state == "FAIL"
    expected = {"cause": "exception", "error": "KeyError", "message": "'x'", "traceback": "…"}
    assert failure(world) == expected
    assert len(world.ledger.attempts_of(0)) == 1


def test_a_silent_runner_is_given_up_and_its_zombie_told_so() -> None:
    world = World(make_spec(trials=2), slots=2)
    run = world.until(Epoch)
    world.lose(run, still_there=True)
    lost, again = world.ledger.attempts_of(0)
    assert (lost.state, lost.cause, again.state) == ("lost", "no sign of life", "sent")
    assert run.job.token in world.revoked
    before = world.values(0)
    world.deliver(run.event(Epoch(step=3, value=77.0)))
    assert world.values(0) == before
    confirmation = world.confirmations[run.job.token]
    assert confirmation.verdict == Verdict(cause="lost")
    assert (confirmation.runner, confirmation.seq) == (run.runner, len(run.said))
    world.run()
    assert world.counts == {"COMPLETE": 2}
    assert run.said[-1].body == Stopped(latency=0.01)
    assert world.ledger.attempts[run.job.token].state == "lost"


def test_a_zombie_that_finishes_changes_nothing() -> None:
    world = World(make_spec(trials=1), slots=2)
    run = world.until(Epoch)
    world.lose(run, still_there=True)
    world.leave(run, Finished(values=(-1.0,)))
    world.run()
    assert world.counts == {"COMPLETE": 1}
    assert world.ledger.trials[0].values != (-1.0,)
    assert len(world.ledger.attempts_of(0)) == 2


def test_losses_are_capped_too() -> None:
    world = World(make_spec(trials=1, retry={"max_attempts": 2}))
    world.lose(world.until(Epoch))
    die(world)
    assert world.counts == {"FAIL": 1}
    world = World(make_spec(trials=1, retry={"max_attempts": 2}))
    die(world)
    world.lose(world.until(Epoch))
    assert failure(world)["error"] == "Lost"
    assert str(failure(world)["message"]).endswith("no sign of life")


def test_a_loss_that_comes_too_late_is_none() -> None:
    world = World(make_spec(trials=2))
    run = world.until(Finished)
    before = world.ledger.rows()
    world.feed(inputs.AttemptLost(run.job.token, "late"))
    world.feed(inputs.AttemptLost(world.queue[0].token, "not even started"))
    assert world.ledger.rows() == before


def test_losing_a_runner_that_was_told_to_stop_ends_only_its_attempt() -> None:
    world = World(make_spec(trials=1))
    run = world.until(Epoch)
    world.feed(inputs.StudyStopped())
    world.lose(run)
    assert world.ledger.attempts[run.job.token].state == "lost"
    assert len(world.ledger.attempts_of(0)) == 1
    assert world.counts == {"FAIL": 1}


def test_a_task_that_a_person_revokes_while_it_runs_ends_the_trial() -> None:
    world = World(make_spec(trials=2))
    run = world.until(Epoch)
    world.deliver(Event(token=run.job.token, runner="", seq=0, body=Revoked(running=True)))
    assert world.ledger.trials[0].state == "FAIL"
    assert "by a person" in str(failure(world)["message"])
    assert world.ledger.attempts[run.job.token].state == "stopping"
    assert world.confirmations[run.job.token].verdict == Verdict(cause="revoked")
    world.run()
    assert world.ledger.attempts[run.job.token].state == "done"
    assert world.counts == {"COMPLETE": 1, "FAIL": 1}


def test_a_task_that_a_person_revokes_in_the_queue_ends_the_trial() -> None:
    world = World(make_spec(trials=2))
    token = world.queue.pop(0).token
    world.deliver(Event(token=token, runner="", seq=0, body=Revoked(running=False)))
    assert world.ledger.trials[0].state == "FAIL"
    assert world.ledger.attempts[token].state == "done"
    world.run()
    assert world.counts == {"COMPLETE": 1, "FAIL": 1}
    assert [job.trial for job in world.sent] == [0, 1], "a token that was revoked is never sent again"


def test_a_trial_that_trains_is_stopped_by_the_worker_that_has_it_alone() -> None:
    world = World(make_spec(trials=1))
    run = world.until(Epoch)
    before = world.ledger.rows()
    world.deliver(Event(token=run.job.token, runner="", seq=0, body=Revoked(running=False)))
    assert world.ledger.rows() == before


def test_revoking_by_hand_says_nothing_about_the_objective() -> None:
    world = World(make_spec(trials=5))
    for _ in range(3):
        run = world.until(Epoch)
        world.deliver(Event(token=run.job.token, runner="", seq=0, body=Revoked(running=True)))
    world.run()
    assert world.counts == {"COMPLETE": 2, "FAIL": 3}


def test_the_echo_of_our_own_revoke_is_none() -> None:
    world = World(make_spec(trials=2))
    run = world.until(Epoch)
    world.lose(run)
    before = world.ledger.rows()
    for running in (True, False):
        world.deliver(Event(token=run.job.token, runner="", seq=0, body=Revoked(running=running)))
    assert world.ledger.rows() == before


def test_a_revoke_of_a_finished_trial_is_none() -> None:
    world = World(make_spec(trials=2))
    run = world.until(Finished)
    before = world.ledger.rows()
    world.deliver(Event(token=run.job.token, runner="", seq=0, body=Revoked(running=True)))
    assert world.ledger.rows() == before


def test_a_task_that_got_lost_is_sent_again_as_it_is() -> None:
    world = World(make_spec(trials=2))
    job = world.queue.pop(0)
    world.feed(inputs.TaskMissing(job.token))
    assert world.queue == [msgspec.structs.replace(job, again=True)], "and says so"
    run = world.until(Started)
    world.feed(inputs.TaskMissing(run.job.token))
    assert run.job.token not in [each.token for each in world.queue], "it has started"


@pytest.mark.parametrize("ends", ["stop", "prune"])
def test_a_task_that_is_delivered_twice_binds_no_runner_after_the_verdict(ends: str) -> None:
    world = World(make_spec(trials=1), slots=2)
    run = world.until(Epoch)
    if ends == "stop":
        world.feed(inputs.StudyStopped())
    else:
        world.deliver(Event(token=run.job.token, runner="", seq=0, body=Revoked(running=True)))
    free = next(slot for slot in world.slots if slot.run is None)
    world.deliver(world.start(free, run.job))
    assert world.ledger.attempts[run.job.token].runner == run.runner
    assert world.confirmations[run.job.token].runner == run.runner


def test_a_task_that_starts_when_its_verdict_is_out_is_bound_and_obeys() -> None:
    world = World(make_spec(trials=1))
    job = world.queue.pop(0)
    world.deliver(Event(token=job.token, runner="", seq=0, body=Revoked(running=True)))
    assert world.ledger.attempts[job.token].state == "stopping"
    world.deliver(world.start(world.slots[0], job))
    world.run()
    row = world.ledger.attempts[job.token]
    assert (row.state, row.cause, row.runner) == ("done", "obeyed", "runner-1")
    assert world.counts == {"FAIL": 1}


def test_the_first_verdict_stays() -> None:
    attempts = Attempts("uid")
    row = attempts.create(0, 1.0)
    assert attempts.set_verdict(row, "pruned", 3, 2.0)
    assert not attempts.set_verdict(row, "stopped", None, 3.0)
    assert attempts.confirmation(row.token).verdict == Verdict(cause="pruned", step=3)


def test_tokens_are_the_same_in_a_replay_and_never_those_of_another_study() -> None:
    tokens = [[Attempts(uid).create(trial, 0.0).token for trial in range(3)] for uid in ("a", "a", "b")]
    assert tokens[0] == tokens[1]
    assert len({*tokens[0], *tokens[2]}) == 6


def test_a_job_says_all_that_a_worker_needs() -> None:
    spec = make_spec(trials=1, args={"epochs": 3}, queue="gpu", grace=4.0, space=None, direction="maximize")
    world = World(spec, silent)
    world.until(Started)
    job = world.sent[0]
    assert (job.study, job.objective, job.args) == ("search", "somewhere:objective", {"epochs": 3})
    assert (job.directions, job.max_steps, job.grace, job.attempt) == (("maximize",), 4, 4.0, 1)
    assert world.batches[1].sends[0].queue == "gpu"


STATES = tuple(AttemptState)


@given(st.lists(st.tuples(st.sampled_from(["create", *AttemptEvent]), st.integers(0, 4)), max_size=40))
def test_what_is_counted_as_it_changes_is_what_a_scan_finds(steps: list[tuple[str, int]]) -> None:
    attempts = Attempts("uid")
    made: list[AttemptRow] = []
    for step, pick in steps:
        if step == "create":
            if attempts.live(pick) is None:
                made.append(attempts.create(pick, 0.0))
        elif made:
            attempts.move(made[pick % len(made)], AttemptEvent(step), 0.0)
        rows = list(attempts)
        assert rows == made
        for state in STATES:
            found = [row for row in rows if row.state == state and state in LIVE]
            assert attempts.count(state) == len(found)
            assert attempts.in_state(state) == sorted(found, key=lambda row: row.trial)
        assert attempts.count(*STATES) == len(attempts.in_state(*STATES)) == sum(row.state in LIVE for row in rows)
        for trial in range(5):
            of_trial = [row for row in rows if row.trial == trial]
            assert list(attempts.of(trial)) == of_trial
            assert attempts.live(trial) == next((row for row in of_trial if row.state in LIVE), None)
            assert [row.number for row in of_trial] == list(range(1, len(of_trial) + 1))
    assert attempts.take_made() == [row.token for row in made]
    again = Attempts("uid", made)
    assert [again.count(state) for state in STATES] == [attempts.count(state) for state in STATES]
