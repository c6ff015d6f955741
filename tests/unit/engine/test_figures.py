"""What is said of audits, shadows and rungs when a search has ended, from the rows alone."""

from __future__ import annotations

from typing import Any

import pytest
from driver import Course, Talk, World, make_spec
from programs import LADDER, RULES, SYNC, mixed, noisy, number, reach, saving

from orchestrator.model.search_summary import Audit, Shadow
from orchestrator.queries import study_summary
from orchestrator.sampling.best_trials import best_of, in_memory
from tasks.contract import Epoch, Finished

ALL: dict[str, Any] = {"name": "threshold", "upper": 0.5}


def audited(world: World) -> Audit | None:
    return study_summary.audit(world.ledger.snapshot().trials, maximize=world.ledger.spec.direction == "maximize")


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_an_audit_is_judged_by_how_the_condemned_compare_with_the_others(direction: str) -> None:
    """Trials 0 to 3 go on, and their median is 2.5. Of the condemned, one is better than all, one than most, one is
    worse, one fails."""
    sign = 1.0 if direction == "minimize" else -1.0
    finals = [1.0, 2.0, 3.0, 4.0, 0.5, 1.5, 9.0, None]

    def objective(course: Course) -> Talk:
        yield Epoch(step=0, value=sign * (1.0 if course.number > 3 else 0.0))
        final = finals[course.number]
        if final is None:
            raise ValueError("no")
        return sign * final

    pruner = ALL if direction == "minimize" else {"name": "threshold", "lower": -0.5}
    world = World(make_spec(trials=8, direction=direction, pruner=pruner, audit=0.999), objective).run()
    assert world.counts == {"COMPLETE": 7, "FAIL": 1}
    assert audited(world) == Audit(condemned=4, completed=3, better=2, best=1)


def test_without_an_audit_there_is_nothing_to_say() -> None:
    assert audited(World(make_spec(trials=3, pruner=ALL), noisy).run()) is None


def test_where_all_were_condemned_none_is_better_than_the_others() -> None:
    world = World(make_spec(trials=3, pruner=ALL, audit=0.999), saving(lambda *_: 1.0, epochs=2)).run()
    assert audited(world) == Audit(condemned=3, completed=3, better=0, best=0)


def test_a_shadow_is_judged_by_what_it_would_have_saved_and_lost() -> None:
    """Trial n reports its curve; the shadow condemns each trial that is above 0.5, when it is."""
    curves = [(0.1, 0.2, 0.3), (0.1, 0.9, 0.0), (0.9, 0.9, 0.9)]

    def objective(course: Course) -> Talk:
        for step, value in enumerate(curves[course.number]):
            yield Epoch(step=step, value=value)
        return curves[course.number][-1]

    world = World(make_spec(trials=3, shadow=ALL), objective).run()
    trials = world.ledger.snapshot().trials
    best = best_of(in_memory(trials, ["minimize"]))
    assert best is not None
    assert best.number == 1
    assert study_summary.shadow("threshold", trials, best) == Shadow(
        rule="threshold", pruned=2, saved=1 + 2, winner=True
    )
    loser = best_of(in_memory(trials[:1], ["minimize"]))
    assert study_summary.shadow("threshold", trials, loser).winner is False
    assert study_summary.shadow("threshold", trials[:1], None) == Shadow(
        rule="threshold", pruned=0, saved=0, winner=False
    )


@pytest.mark.parametrize("rebuild", [False, True])
def test_reports_that_are_out_of_order_count_as_they_came(rebuild: bool) -> None:
    """Condemned with the third report, of step 9; a fourth one was trained that would have been saved."""

    def objective(course: Course) -> Talk:  # noqa: ARG001
        for step in (5, 2, 9, 7):
            yield Epoch(step=step, value=0.9 if step == 9 else 0.0)
        return 0.0

    world = World(make_spec(trials=1, max_steps=10, shadow=ALL), objective, rebuild=rebuild).run()
    trials = world.ledger.snapshot().trials
    assert trials[0].user_attrs["shadow_pruned_by"]["reports"] == 3
    assert study_summary.shadow("threshold", trials, None).saved == 1


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("pruner", [LADDER["pruner"], SYNC], ids=["promotion", "sync"])
def test_rungs_are_read_from_the_rows_at_any_time(slots: int, pruner: dict[str, Any]) -> None:
    world = World(make_spec(**LADDER | {"pruner": pruner}), saving(mixed), slots, shuffle=6)
    assert study_summary.rungs(world.ledger.snapshot()) == ((1, 0), (3, 0), (9, 0), (27, 0))
    while world.step():
        assert list(study_summary.rungs(world.ledger.snapshot())) == world.held()
    assert world.state == "finished"


def test_a_search_without_promotion_has_no_rungs() -> None:
    assert study_summary.rungs(World(make_spec(pruner=RULES["asha"]), noisy).run().ledger.snapshot()) == ()


def test_progress_counts_who_waits_at_a_rung() -> None:
    world = World(make_spec(**LADDER), saving(number))
    reach(world, 0, Epoch, 5)
    progress = world.engine.progress()
    assert (progress.paused, progress.running, progress.waiting) == (len(world.engine.trials.paused), 1, 0)
    assert progress.paused == len(world.ledger.trials) - 1
    [line] = progress.slots
    assert (line.trial, line.step, line.epochs, line.attempt) == (0, 5, 5, 3)
    world.leave(world.runs[-1], Finished(values=(0.0,)))
    world.run()
    assert world.engine.progress().paused == 0
    assert world.engine.progress().epochs_saved == 27 * 26 - sum(
        len(row.steps) for n, row in world.ledger.trials.items() if n
    )
