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
from orchestrator.pruning.base import RuleFailed
from orchestrator.sampling.remote_pruner import Answer
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
        assert trials == world.engine.storage.get_all_trials(0)
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
        if answered or not isinstance(record.input, inputs.PrunerAnswered):
            book.write(record)
    book.close()
    if answered:
        monkeypatch.setattr(own_pruners.Watching, "prune", None)
    found = Ledger(spec, world.ledger.seed, world.ledger.uid)
    journal.replay(journal.read(path), lambda _, batch: found.commit(batch.changes, batch.discards))
    return found


def test_nothing_else_is_put_in_or_handed_out_before_the_answer() -> None:
    world = World(spec_of(), noisy)
    run = world.until(Epoch)
    engine = world.engine
    assert not engine.waits
    assert engine.take_question() is None
    engine.apply(inputs.EventReceived(run.event(Epoch(step=7, value=1.0))), world.at)
    assert engine.waits
    question = engine.take_question()
    assert question is not None
    assert question.trial == run.job.trial
    assert engine.take_question() is None
    engine.apply(inputs.PrunerAnswered(world.judge.answer(question)), world.at)
    assert not engine.waits


@pytest.mark.parametrize("table", [WATCHING, {"name": "none"}])
def test_an_answer_that_was_not_asked_for_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="an answer to"):
        World(spec_of(pruner=table), noisy).engine.apply(inputs.PrunerAnswered(Answer()), 1.0)


def test_one_that_raises_says_so_in_one_line() -> None:
    world = World(spec_of(pruner={"name": "tests.simulated.own_pruners:Raises"}), noisy)
    with pytest.raises(RuleFailed, match="own_pruners:Raises: KeyError: 'no such thing'"):
        world.run()
