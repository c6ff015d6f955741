"""A pruner of the user's own, asked in another process, decides as if it were asked in this one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from driver import World, make_spec
from optuna.trial import FrozenTrial
from programs import conditional, noisy

from orchestrator.control import journal
from orchestrator.control.journal import Journal
from orchestrator.engine import inputs
from orchestrator.model.attribute_keys import JUDGED, MARKS
from orchestrator.pruning.base import Decision, RuleFailed
from orchestrator.sampling.pruner_replica import PrunerReplica, own_classes
from orchestrator.sampling.questions import RULE, Answer
from tasks.contract import Epoch, Failed
from tests.simulated import own_pruners
from tests.simulated.ledger import Ledger

WATCHING = {"name": "tests.simulated.own_pruners:Watching"}
MEDIAN: dict[str, Any] = {"n_startup_trials": 1, "n_warmup_steps": 1}


def spec_of(**changes: Any) -> Any:
    return make_spec(**{"trials": 12, "pruner": WATCHING, "sampler": {"name": "random"}} | changes)


def rows(ledger: Ledger) -> dict[int, tuple[str, dict[int, float], dict[str, tuple[float, str]]]]:
    return {number: (row.state, dict(row.steps), dict(row.params)) for number, row in ledger.trials.items()}


def test_it_sees_the_study_as_it_is_at_its_place_in_the_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def saw(trials: list[FrozenTrial], trial: FrozenTrial) -> None:
        looks.append(trial.number)
        assert trials == [settled(each) for each in world.engine.storage.get_all_trials(0)]
        assert trial == trials[trial.number]

    monkeypatch.setattr(own_pruners.Watching, "saw", staticmethod(saw))
    world = World(spec_of(), noisy, slots=3, shuffle=5)
    world.leave(world.until(Epoch), Failed(cause="died", error="TrainingProcessDied", message="signal 9"))
    world.run()
    assert len(looks) == len(set(world.epochs))
    assert {"PRUNED", "COMPLETE"} <= {row.state for row in world.ledger.trials.values()}


@pytest.mark.parametrize("objective", [noisy, conditional])
@pytest.mark.parametrize("table", [{}, {"audit": 0.3}])
def test_a_class_of_ones_own_decides_as_the_rule_of_the_same_kind(objective: Any, table: dict[str, Any]) -> None:
    space = {} if objective is noisy else {"space": None}
    own = World(
        spec_of(pruner={"name": "tests.simulated.own_pruners:Median"} | MEDIAN, **table, **space),
        objective,
        3,
        shuffle=1,
    )
    ours = World(spec_of(pruner={"name": "median"} | MEDIAN, **table, **space), objective, 3, shuffle=1)
    assert rows(own.run().ledger) == rows(ours.run().ledger)


def test_a_shadow_of_ones_own_changes_nothing_but_its_notes() -> None:
    plain = World(spec_of(pruner={"name": "median"} | MEDIAN), noisy, slots=2).run()
    shadow = {"name": "tests.simulated.own_pruners:Median"} | MEDIAN
    shadowed = World(spec_of(pruner={"name": "median"} | MEDIAN, shadow=shadow), noisy, slots=2).run()
    assert rows(plain.ledger) == rows(shadowed.ledger)
    told = {number for number, row in shadowed.ledger.trials.items() if "shadow_pruned_by" in row.user_attrs}
    assert told == {number for number, row in shadowed.ledger.trials.items() if row.state == "PRUNED"} != set()


def test_what_it_keeps_in_the_study_outlives_the_control_plane() -> None:
    kept = World(spec_of(), noisy).run()
    rebuilt = World(spec_of(), noisy, rebuild=True).run()
    assert rows(kept.ledger) == rows(rebuilt.ledger)
    assert kept.ledger.study_system_attrs == rebuilt.ledger.study_system_attrs == {"seen": str(len(kept.epochs))}


def test_a_recording_replays_without_the_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(spec_of(), noisy, slots=2, shuffle=3).run()
    found = replayed(world, tmp_path / "journal", answered=True, monkeypatch=monkeypatch)
    assert rows(found) == rows(world.ledger)


def test_a_recording_without_answers_asks_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(spec_of(), noisy, slots=2, shuffle=3).run()
    found = replayed(world, tmp_path / "journal", answered=False, monkeypatch=monkeypatch)
    assert rows(found) == rows(world.ledger)


def replayed(world: World, path: Path, *, answered: bool, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    book = Journal(path)
    spec = world.ledger.spec
    for record in [world.opening(spec, answered=answered), *world.records]:
        if answered or not (isinstance(record.input, inputs.SamplerAnswered) and record.input.answer.kind == "report"):
            book.write(record)
    book.close()
    if answered:
        monkeypatch.setattr(own_pruners.Watching, "prune", None)
    found = Ledger(spec, world.ledger.seed, world.ledger.uid)
    journal.replay(journal.read(path), lambda _, batch: found.commit(batch.changes, batch.discards))
    return found


def settled(trial: FrozenTrial) -> FrozenTrial:
    """The trial without what is asked about it."""
    trial.system_attrs = {key: value for key, value in trial.system_attrs.items() if key not in MARKS}
    return trial


def test_a_verdict_is_awaited_from_the_report_to_the_answer() -> None:
    world = World(spec_of(), noisy)
    run = world.until(Epoch)
    assert not world.engine.awaits_verdict
    world.engine.apply(inputs.EventReceived(run.event(Epoch(step=7, value=1.0))), world.at)
    assert world.engine.awaits_verdict
    world.commit()
    assert not world.engine.awaits_verdict


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"pruner": {"name": "none"}}),
        ({}, {"pruner": {"name": "median"}, "shadow": WATCHING}),
        ({"shadow": WATCHING}, {"pruner": {"name": "median"}, "shadow": WATCHING}),
        ({"shadow": WATCHING}, {"shadow": {"name": "none"}}),
    ],
)
def test_a_rule_that_takes_the_place_of_one_that_was_asked_is_not_waited_for(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    world = World(spec_of(**before), noisy)
    run = world.until(Epoch)
    world.hold = True
    world.deliver(run.event(Epoch(step=7, value=1.0)))
    world._commit()
    assert JUDGED in world.ledger.trials[run.job.trial].system_attrs
    world.hold = False
    world.ledger.spec = spec_of(**before | after)
    world.rebuild()
    rules = own_classes(world.ledger.spec)
    for question in world.engine.trials.questions.unanswered():
        assert set(question.rules) <= rules.keys()
    assert world.engine.awaits_verdict == (RULE in rules)
    world.run()
    assert world.state == "finished"
    assert not any(JUDGED in row.system_attrs for row in world.ledger.trials.values())


def test_a_verdict_is_about_its_own_place_whatever_came_meanwhile() -> None:
    """A question that is put once more, to a pruner that knows the study as it is by then."""
    own = {"name": "tests.simulated.own_pruners:Median", "n_startup_trials": 99}
    world = World(spec_of(pruner=own), noisy, slots=3, shuffle=5)
    compared = 0
    while (run := world.slots[0].run) is not None or world.turn(world.slots[0]):
        if run is None or not world.engine.trials.is_open(run.job.trial):
            continue
        world.hold = True
        world.deliver(run.event(Epoch(step=40 + compared, value=0.5)))
        expected = world.engine.storage.get_all_trials(0)
        (question,) = world.engine.trials.questions.unanswered()
        compared += 1
        for slot in world.slots[1:]:
            world.turn(slot)
        world.hold = False
        late = PrunerReplica(world.engine.spec)
        late.load(world.engine.trials.sampler.copy())
        with late._storage.at(question.horizon), late._storage.seen_by(RULE, run.job.trial):
            seen = late._storage.get_all_trials(0)
        assert seen != world.engine.storage.get_all_trials(0)
        assert [looks(each) for each in seen] == [looks(each) for each in expected]
        world.commit()
        world.turn(world.slots[0])
    assert compared > 10


def looks(trial: FrozenTrial) -> Any:
    return trial.state, trial.values, trial.intermediate_values, trial.params


@pytest.mark.parametrize("table", [WATCHING, {"name": "none"}])
def test_an_answer_that_was_not_asked_for_changes_nothing(table: dict[str, Any]) -> None:
    world = World(spec_of(pruner=table), noisy)
    world.until(Epoch)
    told = Decision(True, "x", 1, 0.0, None, 0)
    answer = Answer("report", 0, step=3, decisions={RULE: told}, user_attrs=[(0, "k", 1)])
    world.engine.apply(inputs.SamplerAnswered(answer), world.at)
    assert not world.engine.take().changes


def test_one_that_raises_says_so_in_one_line() -> None:
    world = World(spec_of(pruner={"name": "tests.simulated.own_pruners:Raises"}), noisy)
    with pytest.raises(RuleFailed, match="own_pruners:Raises: KeyError: 'no such thing'"):
        world.run()
