"""A shadow rule only takes notes; an audit lets a share of the condemned run on, and the rule never knows."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from driver import Course, Talk, World, make_spec
from programs import RULES, mixed, noisy, number, saving

from orchestrator.model.changeset import DecisionRow
from orchestrator.sampling import rules
from tasks.contract import Attribute, Epoch, Failed

MEDIAN = RULES["median"]
ASHA = RULES["asha"]
ALL: dict[str, Any] = {"name": "threshold", "upper": -1.0}
"""Condemns every trial at its first report."""


def rows(world: World, action: str) -> dict[int, DecisionRow]:
    return {row.trial: row for row in world.ledger.decisions.values() if row.action == action}


def attribute(world: World, trial: int, key: str) -> Any:
    return json.loads(world.ledger.trials[trial].user_attrs[key])


def judged_again(world: World, table: Any, *, ends: bool) -> dict[int, tuple[Any, ...]]:
    """What a rule of its own condemns, told what was recorded, and that whom it condemns is gone; by trial."""
    spec = world.ledger.spec
    rule = rules.of_spec(spec, table)
    condemned: dict[int, tuple[Any, ...]] = {}
    for batch in world.batches:
        for trial, step, value in batch.changes.values:
            if trial not in condemned and (decision := rule.observe(trial, step, value)).prune:
                condemned[trial] = (decision.step, decision.value, decision.threshold, decision.peers)
                rule.finish(trial, "PRUNED")
        for trial, end in batch.changes.ends.items():
            if trial not in condemned and (ends or end.state != "PRUNED"):
                rule.finish(trial, end.state)  # type: ignore[arg-type]
    return condemned


def grounds(found: dict[int, DecisionRow]) -> dict[int, tuple[Any, ...]]:
    return {trial: (row.step, row.value, row.threshold, row.peers) for trial, row in found.items()}


# -- the shadow


@pytest.mark.parametrize("shadow", RULES.values(), ids=RULES)
def test_a_shadow_changes_nothing_but_its_own_notes(shadow: dict[str, Any]) -> None:
    changes: dict[str, Any] = {"trials": 14, "pruner": MEDIAN, "sampler": {"name": "tpe", "n_startup_trials": 3}}
    plain = World(make_spec(**changes), noisy).run()
    watched = World(make_spec(**changes, shadow=shadow), noisy).run()
    assert rows(watched, "shadow"), "a shadow that condemns no trial proves nothing"
    for row in watched.ledger.trials.values():
        row.user_attrs.pop("shadow_pruned_by", None)
        row.system_attrs = {key: kept for key, kept in row.system_attrs.items() if not key.startswith("shadow:")}
    for key, row in list(watched.ledger.decisions.items()):
        if row.action == "shadow":
            del watched.ledger.decisions[key]
    watched.ledger.study_system_attrs = plain.ledger.study_system_attrs
    watched.ledger.spec = plain.ledger.spec
    assert watched.ledger.rows() == plain.ledger.rows()


@pytest.mark.parametrize("shadow", RULES.values(), ids=RULES)
@pytest.mark.parametrize("pruner", [{"name": "none"}, MEDIAN], ids=["alone", "beside a rule"])
def test_a_shadow_condemns_whom_it_would_have_ended(pruner: dict[str, Any], shadow: dict[str, Any]) -> None:
    world = World(make_spec(trials=14, pruner=pruner, shadow=shadow), noisy, slots=3, shuffle=1).run()
    noted = rows(world, "shadow")
    assert grounds(noted) == judged_again(world, world.ledger.spec.shadow, ends=True)
    for trial, row in noted.items():
        kept = attribute(world, trial, "shadow_pruned_by")
        assert (kept["rule"], kept["step"]) == (row.rule, row.step)
        assert kept["reports"] <= len(world.ledger.trials[trial].steps)
    if pruner["name"] == "none":
        assert world.counts == {"COMPLETE": 14}


# -- the audit


def test_an_audited_trial_runs_to_its_end_and_carries_why() -> None:
    world = World(make_spec(trials=40, pruner=ALL, audit=0.3), noisy).run()
    audited, pruned = rows(world, "audit"), rows(world, "prune")
    assert audited
    assert pruned
    assert not audited.keys() & pruned.keys()
    for trial, row in world.ledger.trials.items():
        if trial in audited:
            assert (row.state, len(row.steps)) == ("COMPLETE", 4)
            kept = attribute(world, trial, "audited")
            assert kept == {"rule": "threshold", "step": 0, "value": row.steps[0], "threshold": -1.0, "peers": 0} | {
                "reports": 1
            }
            assert "pruned_by" not in row.user_attrs
            assert not world.ledger.attempts_of(trial)[0].verdict
        else:
            assert (row.state, len(row.steps)) == ("PRUNED", 1)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_an_audit_changes_no_decision_about_others(rule: dict[str, Any]) -> None:
    """The sampler is random and there is one slot, so nothing but the rule could make a difference."""
    plain = World(make_spec(trials=30, pruner=rule), noisy).run()
    audited = World(make_spec(trials=30, pruner=rule, audit=0.5), noisy).run()
    assert rows(audited, "audit")
    assert grounds(rows(audited, "prune") | rows(audited, "audit")) == grounds(rows(plain, "prune"))
    assert grounds(audited.ledger.closest) == grounds(plain.ledger.closest)
    assert grounds(rows(plain, "prune")) == judged_again(plain, plain.ledger.spec.pruner, ends=False)


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_the_drawn_share_is_the_one_that_was_asked_for(share: float) -> None:
    spec = make_spec(trials=100, pruner=ALL, audit=share)
    worlds = [World(spec, saving(number, epochs=1), seed=seed).run() for seed in (1, 1, 2)]
    drawn = [set(rows(world, "audit")) for world in worlds]
    assert drawn[0] == drawn[1] != drawn[2]
    for each in drawn:
        assert abs(len(each) - 100 * share) < 4 * math.sqrt(100 * share * (1 - share))


def test_no_audit_without_a_share() -> None:
    assert not rows(World(make_spec(trials=40, pruner=ALL), noisy).run(), "audit")


@pytest.mark.parametrize(("rule", "shadow"), [("median", "asha"), ("asha", "median"), ("patient", "hyperband")])
@pytest.mark.parametrize("slots", [1, 3])
def test_an_engine_made_anew_after_every_batch_goes_on_as_the_old_one(slots: int, rule: str, shadow: str) -> None:
    spec = make_spec(trials=16, pruner=RULES[rule], shadow=RULES[shadow], audit=0.5)
    steady = World(spec, noisy, slots, shuffle=5).run()
    restarted = World(spec, noisy, slots, shuffle=5, rebuild=True).run()
    assert rows(steady, "audit")
    assert rows(steady, "shadow")
    assert restarted.ledger.rows() == steady.ledger.rows()


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_shadow_goes_on_about_trials_that_are_audited(rebuild: bool) -> None:
    """Trial n reports n at every step. The rule condemns all but the first at once, and all are audited in the end;
    the shadow has rungs at steps 1 and 2, and a trial that was condemned takes its place there all the same."""
    spec = make_spec(trials=12, pruner=MEDIAN, shadow=ASHA, audit=0.999)
    world = World(spec, saving(number, epochs=4), rebuild=rebuild).run()
    assert len(rows(world, "audit")) == 11
    assert [(trial, row.step, row.peers) for trial, row in rows(world, "shadow").items()] == [
        (trial, 1, trial + 1) for trial in range(1, 12)
    ]


def test_an_audited_trial_that_is_lost_stays_audited() -> None:
    spec = make_spec(trials=3, pruner=ALL, audit=0.999)
    world = World(spec, noisy)
    run = world.until(Epoch)
    assert set(rows(world, "audit")) == {0}
    world.leave(run, Failed(cause="died", error="TrainingProcessDied", message="signal 9"))
    world.rebuild()
    world.run()
    assert world.counts == {"COMPLETE": 3}
    assert len(rows(world, "audit")) == 3
    assert [(trial, step) for trial, step, _ in world.ledger.redone] == [(0, 0)]


@pytest.mark.parametrize("key", ["audited", "shadow_pruned_by", "failure", "pruned_by"])
@pytest.mark.parametrize("value", ["true", '{"reports": 0}', '"x"', "[]"])
def test_an_objective_cannot_forge_what_is_ours(key: str, value: str) -> None:
    def objective(course: Course) -> Talk:
        yield Attribute(key=key, value=value)
        return (yield from noisy(course))

    spec = make_spec(trials=8, pruner=MEDIAN, shadow=ASHA, audit=0.3)
    honest = World(spec, noisy).run()
    world = World(spec, objective, rebuild=True).run()
    assert world.state == "finished"
    assert rows(world, "audit").keys() == rows(honest, "audit").keys()
    assert grounds(rows(world, "shadow")) == grounds(rows(honest, "shadow"))
    for trial in rows(world, "audit"):
        assert attribute(world, trial, "audited")["rule"] == "median"


@pytest.mark.parametrize("key", ["audited", "shadow_pruned_by", "failure"])
def test_what_another_program_wrote_under_our_names_is_left_aside(key: str) -> None:
    world = World(make_spec(trials=4, pruner=MEDIAN, shadow=ASHA, audit=0.3), noisy)
    world.until(Epoch)
    world.ledger.trials[0].user_attrs[key] = '"mine"'
    world.rebuild()
    world.run()
    assert world.state == "finished"


# -- pruners of Optuna's kind


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("final", [-100.0, 100.0])
def test_a_shadow_of_optunas_is_told_final_values_and_not_the_last_reports(final: float, rebuild: bool) -> None:
    def objective(course: Course) -> Talk:
        yield Epoch(step=0, value=0.0)
        return final if course.number == 0 else 0.0

    world = World(make_spec(trials=3, shadow={"name": "programs:Behind"}), objective, rebuild=rebuild).run()
    assert set(rows(world, "shadow")) == ({1, 2} if final == -100.0 else set())


def test_a_mixed_search_has_something_for_every_rule() -> None:
    world = World(make_spec(trials=20, max_steps=27, pruner=ASHA, audit=0.4, shadow=MEDIAN), saving(mixed)).run()
    assert {row.action for row in world.ledger.decisions.values()} == {"prune", "audit", "shadow"}
