"""Promotion: trials pause at rungs, and the best go on as slots become free."""

from __future__ import annotations

import json
import math
import random
from collections import Counter

import pytest
from driver import Course, Objective, Talk, World, make_spec
from programs import LADDER, PROMOTION, SYNC, mixed, number, saving
from reference import follow

from orchestrator.engine import inputs
from orchestrator.pruning.expectations import EXPECTED, read
from tasks.contract import Epoch, Finished
from tests.simulated.ledger import Ledger, TrialRow

RUNGS = [(1, 27), (3, 9), (9, 3), (27, 1)]
BUSY = ("queued", "sent", "running", "stopping")


def drawn(seed: int) -> Objective:
    """Values that tie often, differ from step to step, and are now and then no number."""

    def value(course: Course, step: int) -> float:
        draw = random.Random(seed * 10_007 + course.number * 101 + step)
        return math.nan if draw.random() < 0.05 else float(draw.randint(0, 9))

    return saving(lambda course, step: value(course, step) if step < 27 else 1.0)


def actions(world: World) -> Counter[str]:
    return Counter(row.action for row in world.ledger.decisions.values())


def held(world: World) -> list[tuple[int, int]]:
    return world.held()


def promoted(world: World) -> list[tuple[int, int]]:
    """(trial, step of the rung it left), in order."""
    return [(row.trial, row.step) for row in world.ledger.decisions.values() if row.action == "promote"]


@pytest.mark.parametrize("pruner", [PROMOTION, SYNC], ids=["promotion", "sync"])
@pytest.mark.parametrize("save", ["after", "before"])
def test_configurations_that_come_best_first_are_halved_as_in_the_book(save: str, pruner: dict[str, object]) -> None:
    world = World(make_spec(**LADDER | {"pruner": pruner}), saving(number, save=save)).run()
    assert (world.state, world.ledger.reason) == ("finished", "")
    assert held(world) == RUNGS
    assert world.counts == {"COMPLETE": 1, "PRUNED": 26}
    assert world.ledger.trials[0].state == "COMPLETE"
    assert actions(world) == {"promote": 9 + 3 + 1, "end": 26}
    assert len(world.epochs) == len(set(world.epochs)) == 27 + 9 * 2 + 3 * 6 + 18
    assert not world.ledger.redone
    assert not world.files.there, "files are left that are not needed"


def test_a_trial_that_is_not_promoted_ends_where_it_paused_and_says_why() -> None:
    world = World(make_spec(**LADDER), saving(number)).run()
    for trial, steps, peers, threshold in ((26, 1, 27, 8.0), (8, 3, 9, 2.0), (2, 9, 3, 0.0)):
        row = world.ledger.trials[trial]
        assert (row.state, row.values, max(row.steps)) == ("PRUNED", (float(trial),), steps)
        why = json.loads(row.user_attrs["pruned_by"])
        assert why == {"rule": "asha", "step": steps, "value": float(trial), "threshold": threshold, "peers": peers}
        assert world.ledger.attempts_of(trial)[-1].cause == "not promoted"
    causes = [row.cause for row in world.ledger.attempts_of(0)]
    assert causes == ["promoted", "promoted", "promoted", "finished"]


@pytest.mark.parametrize("slots", [1, 2, 5])
@pytest.mark.parametrize("seed", range(4))
def test_every_choice_is_the_one_of_the_plain_algorithm(slots: int, seed: int) -> None:
    direction = "maximize" if seed % 2 else "minimize"
    world = World(make_spec(**LADDER, direction=direction), drawn(seed), slots, shuffle=seed).run()
    reference = follow(world)
    assert world.state == "finished"
    assert reference.get_job() is None
    assert held(world) == reference.held()
    assert promoted(world), "a search that promotes no trial proves nothing"


@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("seed", range(2))
def test_a_table_is_halved_in_any_order(slots: int, seed: int) -> None:
    world = World(make_spec(**LADDER | {"pruner": SYNC}), saving(mixed), slots, shuffle=seed).run()
    assert held(world) == RUNGS
    assert follow(world, table=27).held() == RUNGS
    assert len(world.epochs) == len(set(world.epochs)) == 81
    for rung, (step, count) in enumerate(RUNGS[:-1]):
        entered = {n: row.steps[step] for n, row in world.ledger.trials.items() if step in row.steps}
        passed = {trial for trial, left in promoted(world) if left == step}
        assert passed == set(sorted(entered, key=lambda n: entered[n])[: count // 3]), f"rung {rung}"


def test_an_attempt_ends_when_it_pauses_whatever_becomes_of_its_trial() -> None:
    world = World(make_spec(**LADDER), saving(mixed), slots=2, shuffle=2)
    paused: dict[str, float | None] = {}
    while world.step():
        for row in world.ledger.attempts.values():
            if row.state == "paused":
                paused.setdefault(row.token, row.ended)
    rows = {row.token: row for row in world.ledger.attempts.values()}
    assert {rows[token].cause for token in paused} == {"promoted", "not promoted"}
    assert paused == {token: rows[token].ended for token in paused}
    assert all(row.started <= row.ended <= world.at for row in rows.values())
    waited = [
        following.created - row.ended
        for row in rows.values()
        for following in world.ledger.attempts_of(row.trial)
        if row.cause == "promoted" and following.number == row.number + 1
    ]
    assert max(waited) > 0, "a trial that goes on at once shows nothing"
    assert min(waited) >= 0


def test_nothing_is_chosen_ahead() -> None:
    """Which trial goes on is known when a slot asks, so no task waits and no more than the slots are under way."""
    world = World(make_spec(**LADDER, lookahead=3), saving(mixed), slots=3, shuffle=3)
    while world.step():
        rows = [row for row in world.ledger.attempts.values() if row.state in BUSY]
        assert len(rows) <= 3
    assert world.state == "finished"


@pytest.mark.parametrize("pruner", [PROMOTION, SYNC], ids=["promotion", "sync"])
def test_parallel_limits_promotions_too(pruner: dict[str, object]) -> None:
    world = World(make_spec(**LADDER | {"pruner": pruner}, parallel=2), saving(mixed), slots=5, shuffle=1)
    most = 0
    while world.step():
        most = max(most, sum(row.state in BUSY for row in world.ledger.attempts.values()))
    assert (world.state, most) == ("finished", 2)


def test_without_a_slot_nothing_is_asked_for() -> None:
    world = World(make_spec(**LADDER), saving(number), slots=0).run()
    assert (world.state, world.ledger.trials, world.queue) == ("running", {}, [])
    world.resize(2)
    assert len(world.ledger.trials) == len(world.queue) == 2
    world.run()
    assert (world.state, held(world)) == ("finished", RUNGS)


@pytest.mark.parametrize("rebuild", [False, True])
def test_slots_come_and_go(rebuild: bool) -> None:
    world = World(make_spec(**LADDER), saving(mixed), slots=1, rebuild=rebuild, shuffle=4)
    for slots in (4, 2, 0, 5, 1, 3):
        for _ in range(25):
            world.step()
        before = len(world.ledger.attempts)
        busy = sum(row.state in BUSY for row in world.ledger.attempts.values())
        world.resize(slots)
        free = max(0, slots - busy)
        handed_back = sum(row.cause == "released" for row in world.ledger.attempts.values())
        assert len(world.ledger.attempts) <= before + free + handed_back
    world.run()
    assert world.state == "finished"
    assert follow(world).held() == held(world)
    assert sum(world.counts.values()) == 27


def test_a_count_that_falls_stops_no_trial() -> None:
    world = World(make_spec(**LADDER), saving(number), slots=3)
    for slot in list(world.slots):
        world.until(Epoch, slot)
    running = [slot.run for slot in world.slots if slot.run]
    world.feed(inputs.SlotsCounted(1))
    assert len(running) == 3
    assert not world.revoked
    assert len([row for row in world.ledger.attempts.values() if row.state in BUSY]) == 3
    world.run()
    assert world.state == "finished"


def test_a_trial_may_finish_before_its_rung() -> None:
    """Trial 0 is complete after two steps: it leaves no result in the rung at step 3, and no trial waits for it."""

    def objective(course: Course) -> Talk:
        if course.number:
            return (yield from saving(number)(course))
        for step in range(course.load() + 1, 3):
            yield from course.report(step, -1.0)
            yield from course.save(step)
        return -1.0

    world = World(make_spec(**LADDER), objective).run()
    assert world.state == "finished"
    assert world.ledger.trials[0].state == "COMPLETE"
    assert held(world)[:2] == [(1, 27), (3, 8)]
    assert follow(world).held() == held(world)


@pytest.mark.parametrize("pruner", [PROMOTION, SYNC], ids=["promotion", "sync"])
def test_no_number_at_the_rung_is_never_promoted(pruner: dict[str, object]) -> None:
    def value(course: Course, step: int) -> float:
        return math.nan if course.number % 2 == 0 and step < 9 else float(course.number)

    world = World(make_spec(**LADDER | {"pruner": pruner}), saving(value)).run()
    assert world.state == "finished"
    assert {trial for trial, _ in promoted(world)} <= set(range(1, 27, 2))
    assert world.ledger.trials[1].state == "COMPLETE"
    for trial in range(0, 27, 2):
        row = world.ledger.trials[trial]
        assert (row.state, row.values) == ("PRUNED", None)
        assert json.loads(row.user_attrs["pruned_by"])["value"] is None
    small = make_spec(**LADDER | {"pruner": pruner, "trials": 9, "max_steps": 9})
    steady, rebuilt = (World(small, saving(value, epochs=9), rebuild=each).run() for each in (False, True))
    assert rebuilt.ledger.rows() == steady.ledger.rows()


def test_no_number_anywhere_promotes_no_trial_and_ends() -> None:
    world = World(make_spec(**LADDER), saving(lambda *_: math.nan)).run()
    assert (world.state, promoted(world), world.counts) == ("finished", [], {"PRUNED": 27})


def test_trials_that_a_person_enqueued_climb_like_the_others() -> None:
    spec = make_spec(**LADDER | {"trials": 9, "max_steps": 9})
    ledger = Ledger(spec, 7)
    for n in range(2):
        wanted = {"fixed_params": json.dumps({"x": 0.001 * (n + 1)})}
        ledger.trials[n] = TrialRow(n, None, state="WAITING", system_attrs=wanted)

    def objective(course: Course) -> Talk:
        x = yield from course.float("x")
        return (yield from saving(lambda *_: x, epochs=9)(course))

    world = World(spec, objective, ledger=ledger).run()
    assert (world.state, sum(world.counts.values())) == ("finished", 9)
    assert [row.params["x"][0] for row in list(ledger.trials.values())[:2]] == [0.001, 0.002]
    assert held(world) == [(1, 9), (3, 3), (9, 1)]
    assert ledger.trials[0].state == "COMPLETE", "the best one was enqueued"


def test_a_trial_that_prunes_itself_leaves_its_result() -> None:
    world = World(make_spec(**LADDER), saving(number))
    world.leave(world.until(Epoch), Finished(pruned=True))
    world.run()
    assert (world.state, world.ledger.trials[0].state) == ("finished", "PRUNED")
    assert not world.ledger.of(0), "no rule had a say in it"
    assert held(world)[0] == (1, 27)
    assert follow(world).held() == held(world)


def test_the_index_rule_finds_the_best_and_keeps_what_it_expected() -> None:
    spec = make_spec(trials=24, max_steps=27, pruner={"name": "index"})
    world = World(spec, saving(lambda course, step: (course.number * 7 % 24) / 24 + 0.5**step), slots=3).run()
    assert (world.state, world.ledger.reason) == ("finished", "")
    assert world.counts["COMPLETE"] >= 1
    assert len(world.epochs) == len(set(world.epochs)) < 24 * 27 / 2
    assert world.ledger.trials[0].state == "COMPLETE", "which is the best"
    assert actions(world)["promote"] > 0
    assert held(world)[0] == (1, 24)
    expected = read({EXPECTED: json.loads(world.ledger.trials[0].system_attrs[EXPECTED])})
    assert [each.step for each in expected] == [1, 2, 3, 4, 7, 10, 15, 27]
    assert "index:learned" in world.ledger.study_system_attrs
