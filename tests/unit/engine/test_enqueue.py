"""Configurations that a person enqueues: run first, once each, and beside the budget."""

from __future__ import annotations

import re
from typing import Any

import optuna
import pytest
from driver import World, learning, make_spec
from programs import LADDER, conditional, number, saving

from orchestrator.common.errors import BadInput
from orchestrator.engine import inputs
from orchestrator.spec.configuration import check_configuration, check_structured, read_configuration
from tasks.contract import StudyStop
from tests.simulated.course import Course, Talk

GOOD = {"x": 0.75}
BETTER = {"x": 0.125}


def drawn(world: World) -> list[float]:
    return [trial.params["x"] for trial in world.ledger.snapshot().trials if "x" in trial.params]


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("slots", [1, 3])
def test_what_the_spec_enqueues_comes_first_and_is_within_the_budget(slots: int, rebuild: bool) -> None:
    spec = make_spec(trials=6, enqueue=[GOOD, BETTER])
    world = World(spec, learning, slots, rebuild=rebuild).run()
    assert drawn(world)[:2] == [0.75, 0.125]
    assert (world.state, world.counts) == ("finished", {"COMPLETE": 6})
    assert drawn(world).count(0.75) == 1
    assert [job.trial for job in world.sent][:2] == [0, 1]


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("steps", [0, 3, 12])
def test_what_is_enqueued_on_the_way_is_next_and_adds_to_the_budget(steps: int, rebuild: bool) -> None:
    world = World(make_spec(trials=6), learning, rebuild=rebuild)
    for _ in range(steps):
        world.step()
    before = len(world.sent)
    world.feed(inputs.TrialEnqueued(GOOD))
    (job,) = world.sent[before:]
    assert world.queue[0] is job, "it goes before what was sampled ahead"
    world.run()
    assert world.ledger.trials[job.trial].params["x"][0] == 0.75
    assert (world.state, world.counts) == ("finished", {"COMPLETE": 7})
    assert world.engine.progress().budget == 7
    assert drawn(world).count(0.75) == 1


def test_a_study_that_was_finished_goes_on_for_it() -> None:
    world = World(make_spec(trials=2), learning).run()
    world.rebuild()
    world.feed(inputs.TrialEnqueued(GOOD))
    world.run()
    assert (world.state, world.counts) == ("finished", {"COMPLETE": 3})


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_study_that_was_stopped_keeps_it(rebuild: bool) -> None:
    world = World(make_spec(trials=4), learning, rebuild=rebuild)
    world.step()
    world.feed(inputs.StudyStopped())
    world.feed(inputs.TrialEnqueued(GOOD))
    world.run()
    assert world.state == "stopped"
    assert "WAITING" in world.counts
    world.extend(make_spec(trials=9))
    world.run()
    assert world.state == "finished"
    assert sum(world.counts.values()) == 9 + 1
    assert drawn(world).count(0.75) == 1


@pytest.mark.parametrize("rebuild", [False, True])
def test_one_that_waits_while_the_objective_ends_the_study_does_not_hold_it_up(rebuild: bool) -> None:
    world = World(make_spec(trials=4), learning, rebuild=rebuild)
    world.step()
    world.feed(inputs.StudyPaused())
    world.feed(inputs.TrialEnqueued(GOOD))
    run = next(slot.run for slot in world.slots if slot.run)
    world.deliver(run.event(StudyStop()))
    world.run()
    assert world.state == "finished"
    assert world.counts.get("WAITING") == 2, "the enqueued one, and the one that was queued"


def test_part_of_a_configuration_is_fixed_and_the_rest_is_sampled() -> None:
    wanted: dict[str, Any] = {"z": "deep", "layers": 4}
    world = World(make_spec(trials=3, space=None, enqueue=[wanted]), conditional).run()
    trial = world.ledger.snapshot().trials[0]
    assert trial.params.items() >= wanted.items()
    assert {"rate", "drop"} <= set(trial.params)


def test_a_lost_attempt_is_made_again_with_the_same_values() -> None:
    world = World(make_spec(trials=2, enqueue=[GOOD]), learning)
    world.step()
    world.feed(inputs.AttemptLost(world.sent[0].token, "no sign of life"))
    world.run()
    assert drawn(world)[0] == 0.75
    assert len(world.ledger.attempts_of(0)) == 2


def test_where_trials_are_promoted_it_starts_at_the_bottom() -> None:
    world = World(make_spec(**LADDER | {"trials": 9, "enqueue": [GOOD]}), saving(number), 2).run()
    assert world.state == "finished"
    assert drawn(world)[0] == 0.75


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("wrong", [{"rate": "fast"}, {"z": "tall"}, {"rate": None}])
def test_a_value_that_its_parameter_cannot_have_fails_one_trial_and_not_the_study(
    wrong: dict[str, Any], rebuild: bool
) -> None:
    world = World(make_spec(trials=6, space=None), conditional, 2, rebuild=rebuild)
    while world.counts.get("COMPLETE", 0) < 3:
        world.step()
    world.feed(inputs.TrialEnqueued(wrong))
    world.run()
    assert (world.state, world.counts) == ("finished", {"COMPLETE": 6, "FAIL": 1})
    (failed,) = [row for row in world.ledger.trials.values() if row.state == "FAIL"]
    assert str(next(iter(wrong.values()))) in failed.user_attrs["failure"]


def test_a_number_beyond_the_range_is_tried_as_it_is() -> None:
    world = World(make_spec(trials=6, space=None), conditional)
    while world.counts.get("COMPLETE", 0) < 3:
        world.step()
    world.feed(inputs.TrialEnqueued({"rate": 5.0}))
    world.run()
    assert world.counts == {"COMPLETE": 7}
    assert 5.0 in [trial.params["rate"] for trial in world.ledger.snapshot().trials]


@pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")
@pytest.mark.parametrize("rebuild", [False, True])
def test_a_choice_that_is_a_list_is_enqueued(rebuild: bool) -> None:
    choices: Any = [[32], [64, 64], {"a": None}]
    kind = optuna.distributions.CategoricalDistribution(choices)
    params = read_configuration(["layers=[64, 64]"])

    def objective(course: Course) -> Talk:
        yield from course.suggest("layers", kind)
        return 1.0

    world = World(make_spec(trials=1, space=None), objective, rebuild=rebuild)
    check_configuration(params, world.engine.spec.distributions(), "study 's'")
    world.feed(inputs.TrialEnqueued(params))
    world.run()
    assert world.ledger.trials[1].params["layers"][0] == 1.0


def test_a_list_is_refused_where_the_parameter_has_been_a_number() -> None:
    known = {"x": [optuna.distributions.FloatDistribution(0, 1)]}
    with pytest.raises(BadInput, match=r"study 's': x: is an array \(1 entry\); it must be a number"):
        check_structured({"x": [1]}, known, "study 's'")
    check_structured({"y": [1]}, known, "study 's'")
    for text, piece in (("x=[NaN]", "x[0]: is nan"), (f"x={'[' * 40}{']' * 40}", "nested more than 32 deep")):
        with pytest.raises(BadInput, match=re.escape(piece)):
            check_configuration(read_configuration([text]), {}, "study 's'")
