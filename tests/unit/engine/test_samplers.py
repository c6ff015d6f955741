"""Samplers that try everything, samplers of the user's own, and studies with several objectives."""

from __future__ import annotations

import sys
import types
from collections import Counter
from collections.abc import Iterator
from typing import Any

import optuna
import pytest
from driver import Course, Talk, World, learning, make_spec
from optuna.trial import TrialState
from programs import finite, two_values

from orchestrator.common.errors import BadInput
from orchestrator.engine import inputs
from orchestrator.sampling.best_trials import front_of, in_memory
from orchestrator.spec.sampler_factory import build_sampler
from tasks.contract import Attribute, Epoch, Failed, Finished

BRUTE: dict[str, Any] = {"trials": 20, "sampler": {"name": "brute_force"}, "space": None}
ALL_OF_FINITE = {("int", 1), ("int", 2), ("int", 3), *(("float", x, more) for x in (0.0, 0.5) for more in (0, 1))}


def tried(world: World) -> Counter[tuple[Any, ...]]:
    trials = world.ledger.snapshot().trials
    return Counter(tuple(trial.params.values()) for trial in trials if trial.params)


# -- trying everything


@pytest.mark.parametrize("rebuild", [False, True])
def test_brute_force_tries_everything_once_and_ends(rebuild: bool) -> None:
    world = World(make_spec(**BRUTE), finite, rebuild=rebuild).run()
    assert tried(world) == Counter(ALL_OF_FINITE)
    assert (world.state, world.counts) == ("finished", {"COMPLETE": 7})


@pytest.mark.parametrize("shuffle", range(6))
def test_with_several_slots_nothing_is_left_out(shuffle: int) -> None:
    world = World(make_spec(**BRUTE), finite, 3, shuffle=shuffle).run()
    assert set(tried(world)) == ALL_OF_FINITE
    assert world.state == "finished"


def test_the_budget_still_holds() -> None:
    world = World(make_spec(**BRUTE | {"trials": 4}), finite).run()
    assert (world.state, world.counts, len(tried(world))) == ("finished", {"COMPLETE": 4}, 4)


def test_a_trial_that_asked_for_nothing_has_tried_nothing() -> None:
    def fails_at_first(course: Course) -> Talk:
        if course.number == 2:
            yield Failed(cause="exception", error="OSError", message="no data")
        return (yield from finite(course))

    world = World(make_spec(**BRUTE), fails_at_first).run()
    assert tried(world) == Counter(ALL_OF_FINITE)
    assert world.counts == {"COMPLETE": 7, "FAIL": 1}


def test_a_search_that_was_stopped_goes_on_with_the_rest() -> None:
    world = World(make_spec(**BRUTE), finite, 2)
    for _ in range(12):
        world.step()
    world.feed(inputs.StudyStopped())
    world.run()
    assert world.state == "stopped"
    world.rebuild()
    world.extend(make_spec(**BRUTE | {"trials": 30}))
    world.run()
    assert world.state == "finished"
    assert set(tried(world)) >= ALL_OF_FINITE, "one that was stopped half-way through has tried nothing"
    assert max(tried(world).values()) == 1


# -- of the user's own


class Counting(optuna.samplers.RandomSampler):
    """Keeps something, and stops when it has had enough."""

    def __init__(self, first: int, step: float = 0.1, seed: int | None = None) -> None:
        self.next = first * step
        self.step = step
        super().__init__(seed)

    def sample_independent(self, *_: Any) -> float:
        self.next += self.step
        return round(self.next - self.step, 6)

    def after_trial(self, study: optuna.Study, *_: Any) -> None:
        if len(study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))) >= 3:
            study.stop()


@pytest.fixture(autouse=True)
def module_of_theirs() -> Iterator[None]:
    module = types.ModuleType("their_samplers")
    module.Counting, module.number = Counting, 3  # type: ignore[attr-defined]
    sys.modules[module.__name__] = module
    yield
    del sys.modules[module.__name__]


def test_a_sampler_of_the_users_keeps_what_it_likes_and_may_end_the_search() -> None:
    spec = make_spec(trials=9, sampler={"name": "their_samplers:Counting", "first": 2})
    world = World(spec, learning).run()
    drawn = [trial.params["x"] for trial in world.ledger.snapshot().trials]
    assert drawn[:4] == [0.2, 0.3, 0.4, 0.5]
    assert world.state == "finished"
    assert world.counts["COMPLETE"] in (4, 5), "the one that was sent already is trained, no other one is asked for"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "their_samplers:Counting"}, "sampler.first: required key missing"),
        ({"name": "their_samplers:Counting", "first": "x"}, "sampler.first: is a string"),
        ({"name": "their_samplers:Counting", "first": 1, "stp": 2}, "did you mean 'step'?"),
        ({"name": "their_samplers:number"}, "is no sampler; it must be a subclass of optuna.samplers.BaseSampler"),
        ({"name": "their_samplers:Count"}, "'their_samplers' has no 'Count'; did you mean 'Counting'?"),
        ({"name": "no_such_samplers:X"}, "there is no module 'no_such_samplers'"),
    ],
)
def test_what_cannot_be_had_is_refused(table: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        build_sampler(make_spec(sampler=table), 1)
    assert message in str(caught.value)


# -- several objectives

TWO: dict[str, Any] = {"directions": ["minimize", "maximize"], "trials": 12, "max_steps": None, "space": None}


@pytest.mark.parametrize("rebuild", [False, True])
def test_every_value_is_recorded_and_the_front_is_optunas(rebuild: bool) -> None:
    world = World(make_spec(**TWO), two_values, 2, rebuild=rebuild).run()
    trials = world.ledger.snapshot().trials
    assert world.counts == {"COMPLETE": 12}
    assert all(trial.values is not None and len(trial.values) == 2 for trial in trials)
    study = optuna.create_study(directions=TWO["directions"])
    study.add_trials(trials)
    front = front_of(in_memory(trials, TWO["directions"]))
    assert front is not None
    assert {each.number for each in front} == {each.number for each in study.best_trials}
    assert all(each.values[0] <= 6 for each in front), "what breaks a constraint is not among them"
    values = [each.values[0] for each in front]
    assert values == sorted(values)
    assert world.engine.progress().best is None
    assert world.engine.progress().front == len(front)


@pytest.mark.parametrize(
    "values", [(1.0,), (1.0, 2.0, 3.0), (1.0, float("nan")), ()], ids=["one", "three", "nan", "none"]
)
def test_another_number_of_values_fails_the_trial(values: tuple[float, ...]) -> None:
    def objective(course: Course) -> Talk:
        if course.number == 1:
            yield Finished(values=values)
        return (yield from two_values(course))

    world = World(make_spec(**TWO | {"trials": 3}), objective).run()
    assert world.counts == {"COMPLETE": 2, "FAIL": 1}
    assert "is not a number for each of 2 objectives" in world.ledger.trials[1].user_attrs["failure"]


def test_a_constraint_decides_which_one_is_the_best() -> None:
    def objective(course: Course) -> Talk:
        yield Attribute(key="size", value="1" if course.number == 0 else "-1", kind="constraint")
        return course.number

    world = World(make_spec(trials=3, space=None), objective).run()
    best = world.engine.progress().best
    assert best is not None
    assert (best.number, best.value) == (1, 1.0)


def test_a_report_of_a_study_with_several_objectives_harms_nothing() -> None:
    def objective(course: Course) -> Talk:
        yield Epoch(step=0, value=0.5)
        return (yield from two_values(course))

    assert World(make_spec(**TWO), objective).run().counts == {"COMPLETE": 12}
