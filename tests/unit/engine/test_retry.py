"""Trials that a person has made again: a new trial each, with the old one's parameters, beside the budget."""

from __future__ import annotations

import json
from typing import Any

import pytest
from driver import Course, Talk, World, learning, make_spec
from programs import LADDER, conditional, number, saving

from orchestrator.engine import inputs
from orchestrator.engine.state import Snapshot
from orchestrator.engine.study import StudyEngine
from tasks.contract import Attribute, Failed, Revoked
from tests.simulated.ledger import Ledger
from tests.simulated.simulation import Simulation

BROKEN = Failed(cause="exception", error="OSError", message="no space left on device")


def breaks_once(course: Course) -> Talk:
    """Trial 1 fails after its first report; any other one, its retry too, is trained to its end."""
    x = yield from course.float("x")
    yield from course.report(1, x)
    if course.job.trial == 1:
        yield BROKEN
    return x


def params(world: World) -> list[dict[str, Any]]:
    return [trial.params for trial in world.ledger.snapshot().trials]


def retry_of(world: World, trial: int) -> Any:
    return json.loads(world.ledger.trials[trial].user_attrs.get("retry_of", "null"))


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_trial_that_failed_is_made_again_and_adds_to_the_budget(rebuild: bool) -> None:
    world = World(make_spec(trials=4), breaks_once, rebuild=rebuild).run()
    assert (world.state, world.counts) == ("finished", {"COMPLETE": 3, "FAIL": 1})
    before = repr(world.ledger.trials[1])

    world.feed(inputs.TrialRetried(1))
    assert (world.state, world.queue[0].trial) == ("running", 4), "a study that was finished goes on for it"
    world.run()

    assert (world.state, world.counts) == ("finished", {"COMPLETE": 4, "FAIL": 1})
    assert params(world)[4] == params(world)[1]
    assert (retry_of(world, 4), retry_of(world, 1)) == (1, None)
    assert repr(world.ledger.trials[1]) == before
    assert world.engine.progress().budget == 5


@pytest.mark.parametrize("rebuild", [False, True])
def test_while_others_run_it_is_the_next_one(rebuild: bool) -> None:
    world = World(make_spec(trials=6), breaks_once, rebuild=rebuild)
    while world.counts.get("FAIL", 0) == 0:
        world.step()
    before = len(world.sent)
    world.feed(inputs.TrialRetried(1))
    (job,) = world.sent[before:]
    assert world.queue[0] is job
    assert job.user_attrs == {"retry_of": 1}, "the objective may know it"
    world.run()
    assert (world.state, world.counts) == ("finished", {"COMPLETE": 6, "FAIL": 1})


def test_every_retry_is_a_trial_of_its_own() -> None:
    world = World(make_spec(trials=3), breaks_once).run()
    world.feed(inputs.TrialRetried(1))
    world.feed(inputs.TrialRetried(1))
    world.run()
    world.feed(inputs.TrialRetried(4))
    world.run()
    assert [retry_of(world, each) for each in (3, 4, 5)] == [1, 1, 4]
    assert len({json.dumps(params(world)[each]) for each in (1, 3, 4, 5)}) == 1


def test_what_the_old_one_had_not_asked_for_yet_is_given_or_sampled_anew() -> None:
    def at_once(course: Course) -> Talk:
        if course.job.trial == 0:
            yield BROKEN
        return (yield from conditional(course))

    world = World(make_spec(trials=2, space=None, enqueue=[{"z": "deep", "layers": 4}]), at_once).run()
    assert params(world)[0] == {}
    world.feed(inputs.TrialRetried(0))
    world.run()
    assert params(world)[2].items() >= {"z": "deep", "layers": 4}.items()
    assert {"rate", "drop"} <= set(params(world)[2])


@pytest.mark.parametrize("ended", ["PRUNED", "COMPLETE", "revoked"])
def test_any_trial_that_has_ended_may_be_made_again(ended: str) -> None:
    pruner = {"name": "threshold", "upper": 0.0} if ended == "PRUNED" else {"name": "none"}
    world = World(make_spec(trials=2, pruner=pruner), learning)
    if ended == "revoked":
        world.step()
        event = world.slots[-1].run or world.slots[0].run
        assert event is not None
        world.feed(inputs.EventReceived(event.event(Revoked(running=True))))
    world.run()
    assert world.ledger.trials[0].state == ("FAIL" if ended == "revoked" else ended)
    world.feed(inputs.TrialRetried(0))
    world.run()
    assert (world.state, sum(world.counts.values())) == ("finished", 3)
    assert params(world)[2] == params(world)[0]


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_study_that_was_stopped_or_failed_keeps_it_until_it_goes_on(rebuild: bool) -> None:
    spec = make_spec(trials=1)
    mended = False

    def broken(course: Course) -> Talk:
        x = yield from course.float("x")
        if not mended:
            yield BROKEN
        return x

    world = World(spec, broken, rebuild=rebuild).run()
    assert world.state == "failed"
    world.feed(inputs.TrialRetried(0))
    world.run()
    assert (world.state, world.counts) == ("failed", {"FAIL": 1, "WAITING": 1})
    mended = True
    world.extend(spec)
    world.run()
    assert (world.state, world.counts) == ("finished", {"FAIL": 1, "COMPLETE": 1})


def test_where_trials_are_promoted_it_starts_at_the_bottom() -> None:
    world = World(make_spec(**LADDER | {"trials": 9}), saving(number), 2).run()
    pruned = next(number for number, row in world.ledger.trials.items() if row.state == "PRUNED")
    world.feed(inputs.TrialRetried(pruned))
    world.run()
    assert (world.state, sum(world.counts.values())) == ("finished", 10)
    assert params(world)[9] == params(world)[pruned]
    assert min(world.ledger.trials[9].steps) == min(world.ledger.trials[pruned].steps)


def test_a_recording_gives_the_same_rows_again() -> None:
    world = World(make_spec(trials=4), breaks_once, 2, shuffle=3)
    world.run()
    world.feed(inputs.TrialRetried(1))
    world.run()
    ledger = Ledger(world.ledger.spec, 7)
    engine = StudyEngine(Snapshot(spec=ledger.spec, uid=ledger.uid, seed=7), 1_700_000_000.0)
    ledger.commit(engine.take().changes)
    for record in world.records:
        engine.apply(record.input, record.at)
        batch = engine.take()
        ledger.commit(batch.changes, batch.discards)
    assert ledger.rows() == world.ledger.rows()


def test_an_objective_cannot_say_whose_retry_it_is() -> None:
    def claims(course: Course) -> Talk:
        yield Attribute(kind="user", key="retry_of", value="3")
        return (yield from course.float("x"))

    world = World(make_spec(trials=2), claims).run()
    assert retry_of(world, 0) is None
    assert world.engine.counts["unreadable"] == 2


# -- the command, as the control plane applies it -----------------------------------------------------------------


def simulated(trials: int = 3) -> Simulation:
    made = Simulation(make_spec(trials=trials, seed=3), breaks_once)
    made.start()
    return made


def answer_to(simulation: Simulation, payload: dict[str, Any], key: str = "key") -> dict[str, Any]:
    """What comes of the command, given with the same key twice."""
    database = simulation.database
    for _ in range(2):
        database.issue(key, "retry", "search", payload)
    simulation.redis.add({b"ring": b"orchestrator:doorbell"})
    simulation.run_to_end()
    (command,) = (each for each in database.commands if each.key == key)
    answer: dict[str, Any] = json.loads(database.answers[command.id])
    return answer


def test_the_same_command_twice_is_one_trial() -> None:
    simulation = simulated().run_to_end()
    assert answer_to(simulation, {"trial": 1}) == {"study": "search", "state": "running", "trial": 3}
    assert simulation.ledger.counts() == {"COMPLETE": 3, "FAIL": 1}


@pytest.mark.parametrize("trial", [9, -1, "1", None, 2**40, True, 1.0])
def test_a_trial_that_is_not_there_is_refused(trial: Any) -> None:
    simulation = simulated().run_to_end()
    error = f"trial {trial} of study 'search': there is no such trial"
    assert answer_to(simulation, {"trial": trial}) == {"error": error}
    assert simulation.ledger.counts() == {"COMPLETE": 2, "FAIL": 1}


def test_a_trial_that_has_not_ended_is_refused() -> None:
    simulation = simulated()
    simulation.round()
    simulation.turn(simulation.slots[0])
    error = "trial 0 of study 'search': has not ended yet; only a trial that has ended can be retried"
    assert answer_to(simulation, {"trial": 0}) == {"error": error}
    assert simulation.ledger.counts() == {"COMPLETE": 2, "FAIL": 1}
