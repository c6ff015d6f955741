"""With hyperband the sampler learns from the trials of a trial's own bracket, as Optuna's samplers do."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from driver import World, make_spec
from optuna.pruners import HyperbandPruner, NopPruner
from programs import noisy, number, saving

from orchestrator.pruning.hyperband import HyperbandArguments, HyperbandRule
from orchestrator.pruning.patient import PatientArguments

GIVEN: dict[str, Any] = {"name": "hyperband", "min_resource": 1, "max_resource": 27, "reduction_factor": 3}
LEARNED: dict[str, Any] = {"name": "hyperband", "reduction_factor": 2}
TPE = {"name": "tpe", "n_startup_trials": 2}


def study(world: World) -> optuna.Study:
    """The study that the sampler is given at the engine's place of the fold."""
    if world.replica is None or world._replica_of is not world.engine:
        world.make_replica()
    assert world.replica is not None
    sampler = world.replica._sampler
    sampler.deal_brackets(world.engine.trials.questions.brackets)
    return sampler._study


def seen_with(world: World, trial: int) -> set[int]:
    """Numbers of the trials from which the sampler learns for ``trial``."""
    frozen = world.engine.storage.get_trial(trial)
    return {each.number for each in optuna.pruners._filter_study(study(world), frozen).get_trials(deepcopy=False)}


def dealt_by_rule(world: World) -> list[int]:
    rule = HyperbandRule(HyperbandArguments(min_resource=1, max_resource=27, reduction_factor=3), "minimize", "search")
    return [rule.bracket(trial) for trial in world.ledger.trials]


@pytest.mark.parametrize("rebuild", [False, True])
def test_the_sampler_sees_the_brackets_that_the_rule_deals(rebuild: bool) -> None:
    spec = make_spec(trials=20, max_steps=27, pruner=GIVEN, sampler=TPE)
    world = World(spec, saving(number), rebuild=rebuild).run()
    assert isinstance(study(world).pruner, HyperbandPruner)
    brackets = dealt_by_rule(world)
    assert len(set(brackets)) > 1
    for trial, bracket in enumerate(brackets):
        own = {other for other, its in enumerate(brackets) if its == bracket}
        assert seen_with(world, trial) == own


@pytest.mark.parametrize("rebuild", [False, True])
def test_brackets_that_are_learned_are_dealt_when_they_are_settled(rebuild: bool) -> None:
    world = World(make_spec(trials=12, max_steps=None, pruner=LEARNED, sampler=TPE), noisy, rebuild=rebuild)
    while "hyperband_max_resource" not in world.ledger.study_system_attrs:
        assert isinstance(study(world).pruner, NopPruner)
        world.step()
    dealt = study(world).pruner
    assert isinstance(dealt, HyperbandPruner)
    assert dealt._n_brackets == 3, "trials of four steps, halved"
    world.run()
    assert world.state == "finished"
    assert rebuild or study(world).pruner is dealt, "it was dealt a second time"


def test_what_is_sampled_depends_on_the_brackets_and_not_on_restarts() -> None:
    changes: dict[str, Any] = {"trials": 20, "sampler": TPE}
    steady = World(make_spec(**changes, pruner=LEARNED), noisy).run()
    restarted = World(make_spec(**changes, pruner=LEARNED), noisy, rebuild=True).run()
    plain = World(make_spec(**changes), noisy).run()
    assert restarted.ledger.rows() == steady.ledger.rows()
    params = [[row.params for row in world.ledger.trials.values()] for world in (steady, plain)]
    assert params[0][:3] == params[1][:3], "before anything is dealt"
    assert params[0] != params[1]


@pytest.mark.parametrize("min_resource", [3, 4, 5, 100])
def test_no_bracket_at_all_is_no_trouble(min_resource: int) -> None:
    """No trial trains as long as ``min_resource``."""
    pruner = LEARNED | {"min_resource": min_resource}
    for rebuild in (False, True):
        world = World(make_spec(max_steps=None, pruner=pruner, sampler=TPE), noisy, rebuild=rebuild).run()
        assert (world.state, world.counts.get("FAIL")) == ("finished", None)


@pytest.mark.parametrize("pruner", [{"name": "patient", "patience": 1, "wrapped": GIVEN}, {"name": "none"}])
def test_a_rule_around_hyperband_deals_nothing_as_in_optuna(pruner: dict[str, Any]) -> None:
    world = World(make_spec(trials=4, max_steps=27, pruner=pruner, sampler=TPE), saving(number)).run()
    assert isinstance(study(world).pruner, NopPruner)
    assert isinstance(world.ledger.spec.pruner, PatientArguments) == (pruner["name"] == "patient")
