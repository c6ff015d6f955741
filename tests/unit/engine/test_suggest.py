"""Parameters the objective asks for while it runs."""

from __future__ import annotations

import json

import msgspec
import pytest
from driver import Course, Run, Talk, World, make_spec
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution, distribution_to_json
from programs import silent

from orchestrator.engine import inputs
from tasks.contract import Epoch, Failed, Finished, Started, Suggest

X = distribution_to_json(FloatDistribution(0.0, 1.0))

NO_DISTRIBUTIONS = [
    "",
    "{",
    "null",
    "[]",
    '"x"',
    "7",
    "[" * 100_000,
    '{"name": "No", "attributes": {}}',
    '{"name": ["FloatDistribution"], "attributes": {}}',
    '{"name": "FloatDistribution", "attributes": 5}',
    '{"name": "FloatDistribution", "attributes": {"low": 3, "high": 1}}',
    '{"name": "FloatDistribution", "attributes": {"low": NaN, "high": 1}}',
    '{"name": "FloatDistribution", "attributes": {"low": 0, "high": Infinity}}',
    '{"name": "FloatDistribution", "attributes": {"low": 0, "high": 1, "surprise": 1}}',
    '{"name": "IntDistribution", "attributes": {"low": "a", "high": 1}}',
    '{"name": "CategoricalDistribution", "attributes": {"choices": []}}',
    '{"name": "CategoricalDistribution", "attributes": {"choices": {}}}',
]


def asked(world: World) -> tuple[Run, Suggest]:
    run = world.until(Suggest)
    body = run.said[-1].body
    assert isinstance(body, Suggest)
    return run, body


def test_the_value_is_committed_with_the_batch_that_answers() -> None:
    world = World(make_spec(trials=1, space=None), silent)
    run, body = asked(world)
    batch = world.batches[-1]
    ((number, name, value, distribution),) = batch.changes.params
    assert (number, name, distribution) == (0, "x", body.distribution)
    (reply,) = batch.replies
    assert (reply.runner, reply.seq, reply.name) == (run.runner, 2, "x")
    assert (reply.value, reply.error) == (value, "")


@pytest.mark.parametrize("rebuild", [False, True])
def test_asking_again_gives_the_same_value(rebuild: bool) -> None:
    """The answer was lost: the same entry comes again, or a new one for the same parameter."""
    world = World(make_spec(trials=1, space=None), silent)
    run, body = asked(world)
    first = world.replies.pop(run.runner)
    if rebuild:
        world.rebuild()
    world.deliver(run.said[-1])
    assert world.replies.pop(run.runner) == first
    world.deliver(run.event(body))
    again = world.replies.pop(run.runner)
    assert (again.value, again.seq) == (first.value, 3)
    assert [row.params for row in world.ledger.trials.values()] == [{"x": (first.value, X)}]


def test_another_attempt_is_given_the_same_value() -> None:
    world = World(make_spec(trials=1, space=None), silent)
    run, _ = asked(world)
    value = world.replies[run.runner].value
    world.lose(run)
    assert world.queue[0].params["x"].value == value


def test_a_parameter_every_complete_trial_has_is_sampled_ahead_without_a_wait() -> None:
    world = World(make_spec(trials=4, space=None), silent).run()
    assert [bool(job.ahead) for job in world.sent] == [False, False, True, True]
    used = [event.body.used for event in world.events if isinstance(event.body, Suggest)]
    assert used == [False, False, True, True]
    assert world.ledger.trials[3].params["x"][0] == world.sent[3].ahead["x"].value
    assert sum(len(batch.replies) for batch in world.batches) == 2


def test_what_was_sampled_ahead_and_not_used_is_not_the_trials_own() -> None:
    def objective(course: Course) -> Talk:
        if course.number < 2:
            yield from course.float("x")
        return 1.0

    world = World(make_spec(trials=3, space=None), objective).run()
    assert world.sent[2].ahead
    assert world.ledger.trials[2].params == {}
    told = [notice.params for batch in world.batches for notice in batch.notices]
    assert [set(params) for params in told] == [{"x"}, {"x"}, set()]
    assert world.engine.storage.get_trial(2).params == {}


@pytest.mark.parametrize("rebuild", [False, True])
def test_another_distribution_than_the_one_sampled_ahead_is_sampled_anew(rebuild: bool) -> None:
    def objective(course: Course) -> Talk:
        return (yield from course.float("x", 0.0 if course.number < 2 else 5.0, 10.0))

    world = World(make_spec(trials=3, space=None), objective, rebuild=rebuild).run()
    assert world.sent[2].ahead
    value, distribution = world.ledger.trials[2].params["x"]
    assert 5.0 <= value <= 10.0
    assert json.loads(distribution)["attributes"]["low"] == 5.0
    assert world.counts == {"COMPLETE": 3}


def test_another_kind_than_the_stored_one_is_refused_in_optunas_words() -> None:
    world = World(make_spec(trials=1), silent)
    run = world.until(Started)
    text = distribution_to_json(CategoricalDistribution(["a", "b"]))
    world.deliver(run.event(Suggest(name="x", distribution=text)))
    reply = world.replies[run.runner]
    assert reply.error == "ValueError: Cannot set different distribution kind to the same parameter name."
    assert world.ledger.trials[0].state == "RUNNING"
    world.rebuild()
    world.deliver(run.said[-1])
    assert world.replies[run.runner] == reply


def test_other_choices_than_the_stored_ones_are_refused() -> None:
    world = World(make_spec(trials=1, space={"x": {"type": "categorical", "choices": ["a", "b"]}}), silent)
    run = world.until(Started)
    text = distribution_to_json(CategoricalDistribution(["a", "c"]))
    world.deliver(run.event(Suggest(name="x", distribution=text)))
    assert "does not support dynamic value space" in world.replies[run.runner].error


def test_an_error_reaches_the_objective_and_fails_its_trial() -> None:
    def objective(course: Course) -> Talk:
        yield from course.float("x")
        course._stored.clear()
        yield from course.suggest("x", IntDistribution(0, 3))
        return 1.0

    world = World(make_spec(trials=1, space=None), objective).run()
    assert world.counts == {"FAIL": 1}
    failure = json.loads(world.ledger.trials[0].user_attrs["failure"])
    assert failure["message"].startswith("ValueError: Cannot set different distribution kind")


@pytest.mark.parametrize("text", NO_DISTRIBUTIONS)
def test_a_distribution_that_is_none_is_answered_with_an_error(text: str) -> None:
    world = World(make_spec(trials=1), silent)
    run = world.until(Started)
    world.deliver(run.event(Suggest(name="y", distribution=text)))
    assert world.replies[run.runner].error
    assert set(world.ledger.trials[0].params) == {"x"}
    world.run()
    assert world.counts == {"COMPLETE": 1}


def test_a_trial_that_ended_is_given_no_more_parameters() -> None:
    world = World(make_spec(trials=1, space=None), silent)
    run = world.until(Started)
    world.feed(inputs.StudyStopped())
    world.deliver(run.event(Suggest(name="x", distribution=X)))
    assert run.runner not in world.replies
    assert world.ledger.trials[0].params == {}
    assert world.engine.counts["late"] == 1


def test_a_used_one_is_not_answered() -> None:
    world = World(make_spec(trials=3, space=None), silent).run()
    last = next(event for event in reversed(world.events) if isinstance(event.body, Suggest))
    world.deliver(last)
    assert world.batches[-1].replies == []


def test_slots_that_ask_at_the_same_time_get_their_own_answers() -> None:
    def objective(course: Course) -> Talk:
        total = 0.0
        for name in ("a", "b", "c"):
            total += yield from course.float(name)
        yield Epoch(step=0, value=total)
        return total

    world = World(make_spec(trials=9, space=None), objective, slots=4, shuffle=3).run()
    assert world.counts == {"COMPLETE": 9}
    for row in world.ledger.trials.values():
        assert row.values == (pytest.approx(sum(value for value, _ in row.params.values())),)


def test_a_reply_is_for_one_question() -> None:
    world = World(make_spec(trials=1, space=None), silent)
    run, body = asked(world)
    stranger = msgspec.structs.replace(run.said[-1], runner="stranger", seq=1, body=body)
    world.deliver(stranger)
    assert world.batches[-1].replies == []
    world.leave(run, Failed(cause="exception", error="E", message=""))
    world.deliver(run.event(Finished(values=(1.0,))))
    assert world.counts == {"FAIL": 1}
