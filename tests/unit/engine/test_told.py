"""What an objective sets of its trial and its study is kept, and told to every later attempt and trial."""

from __future__ import annotations

import json
from typing import Any

import pytest
from driver import Course, Talk, World, learning, make_spec

from orchestrator.engine import inputs
from tasks.contract import Attribute, Body, EnqueueTrial, Epoch, Job, StudyAttribute

SAID: list[Body] = [
    Attribute(key="entropy", value=str(2**128)),
    Attribute(key="terminator:cv_scores", value="[0.1, 0.2]", kind="system"),
    Attribute(key="memory", value="-1.0", kind="constraint"),
    StudyAttribute(key="owner", value='{"name": "me"}'),
    StudyAttribute(key="study:metric_names", value='["loss"]', kind="system"),
]
HALF = EnqueueTrial(params='{"x": 0.5}', user_attrs='{"why": "to see"}')


def setting(course: Course) -> Talk:
    if course.job.trial == 0:
        yield from SAID
    return (yield from learning(course))


def attributes_of(job: Job) -> list[dict[str, Any]]:
    return [job.user_attrs, job.system_attrs, job.study_attrs, job.study_system_attrs]


def kept(world: World) -> str:
    return repr((world.ledger.trials, world.ledger.study_user_attrs, world.ledger.study_system_attrs))


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_second_attempt_is_told_what_the_first_one_set(rebuild: bool) -> None:
    world = World(make_spec(trials=2), setting, rebuild=rebuild)
    first = world.until(Epoch)
    began = world.at
    world.lose(first)
    again = next(job for job in world.queue if job.trial == 0)
    assert again.attempt == 2
    assert again.user_attrs == {"entropy": 2**128}
    assert again.system_attrs == {"terminator:cv_scores": [0.1, 0.2], "constraints:memory": -1.0}
    assert again.study_attrs == {"owner": {"name": "me"}}
    assert again.study_system_attrs == {"study:metric_names": ["loss"]}
    assert set(again.params) == {"x"}
    assert first.job.started is None, "it has not begun"
    assert again.started is not None
    assert again.started < began, "it began with the first attempt"


@pytest.mark.parametrize("rebuild", [False, True])
def test_what_is_set_of_the_study_is_a_row_and_told_to_later_trials(rebuild: bool) -> None:
    world = World(make_spec(trials=3), setting, rebuild=rebuild).run()
    assert json.loads(world.ledger.study_user_attrs["owner"]) == {"name": "me"}
    assert json.loads(world.ledger.study_system_attrs["study:metric_names"]) == ["loss"]
    assert attributes_of(world.sent[-1])[2:] == [{"owner": {"name": "me"}}, {"study:metric_names": ["loss"]}]


@pytest.mark.parametrize(
    "body",
    [
        Attribute(key="orchestrator:extra", value="true", kind="system"),
        Attribute(key="fixed_params", value="{}", kind="system"),
        Attribute(key="retry_of", value="0"),
        Attribute(key="a\nb", value="0"),
        Attribute(key="deep", value="[" * 600 + "]" * 600),
        StudyAttribute(key="orchestrator_flagged", value="1"),
        StudyAttribute(key="orchestrator:uid", value='"u"', kind="system"),
        StudyAttribute(key="no JSON", value="{"),
        EnqueueTrial(params="[1]"),
        EnqueueTrial(params="{"),
        EnqueueTrial(params='{"x": 0.5}', user_attrs='{"retry_of": 0}'),
        EnqueueTrial(params='{"\\u0000": 0.5}'),
        EnqueueTrial(params='{"x": ' + "[" * 600 + "]" * 600 + "}"),
    ],
    ids=lambda body: repr(body)[:60],
)
def test_what_no_worker_says_changes_nothing_and_is_counted(body: Body) -> None:
    world = World(make_spec(trials=2))
    run = world.until(Epoch)
    before = kept(world)
    world.deliver(run.event(body))
    assert kept(world) == before
    assert world.engine.counts["unreadable"] == 1
    world.run()
    assert world.counts == {"COMPLETE": 2}


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("lookahead", [1, 3])
def test_an_objective_enqueues_within_the_budget(rebuild: bool, lookahead: int) -> None:
    def enqueuing(course: Course) -> Talk:
        if course.job.trial == 1:
            yield HALF
        return (yield from learning(course))

    world = World(make_spec(trials=8, lookahead=lookahead), enqueuing, rebuild=rebuild).run()
    assert (world.state, world.counts) == ("finished", {"COMPLETE": 8})
    (tried,) = (each for each in world.ledger.snapshot().trials if each.params["x"] == 0.5)
    assert tried.user_attrs["why"] == "to see"
    assert tried.number <= 3 + lookahead, "it is the next one that is asked for"


@pytest.mark.parametrize("rebuild", [False, True])
@pytest.mark.parametrize("slots", [1, 3])
def test_an_objective_that_always_enqueues_ends_with_its_budget(rebuild: bool, slots: int) -> None:
    def endless(course: Course) -> Talk:
        yield HALF
        yield HALF
        return (yield from learning(course))

    world = World(make_spec(trials=5), endless, slots, rebuild=rebuild).run()
    assert (world.state, world.counts["COMPLETE"]) == ("finished", 5)
    left = world.counts["WAITING"]
    assert left >= 5, "they wait for more"
    world.feed(inputs.TrialEnqueued({"x": 0.125}))
    world.run()
    assert (world.state, world.counts["COMPLETE"]) == ("finished", 6), "what a person enqueues is beside it"
    assert 0.125 in [each.params.get("x") for each in world.ledger.snapshot().trials]
    world.extend(make_spec(trials=7))
    world.run()
    assert (world.state, world.counts["COMPLETE"]) == ("finished", 8)
