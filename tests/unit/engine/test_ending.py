"""How a study ends, and that every trial has ended then."""

from __future__ import annotations

import json
import sys
from typing import Any

import optuna
import pytest
from driver import Course, Objective, Talk, World, make_spec
from programs import broken, silent

from orchestrator.engine import inputs
from orchestrator.engine.inputs import Input
from orchestrator.sampling import trial_sampler
from tasks.contract import Epoch, Failed, Started, StudyStop


def raising(*errors: str, message: str = "it broke") -> Objective:
    """Trial n raises the nth of ``errors``, and what comes after them succeeds."""

    def objective(course: Course) -> Talk:
        if course.number < len(errors) and errors[course.number]:
            yield Failed(cause="exception", error=errors[course.number], message=message)
        yield Epoch(step=0, value=1.0)
        return 1.0

    return objective


def test_three_first_trials_that_fail_alike_end_the_search() -> None:
    world = World(make_spec(trials=10), broken).run()
    assert world.state == "failed"
    assert world.ledger.reason == "the first 3 trials all failed alike: RuntimeError: no"
    assert world.counts == {"FAIL": 3, "WAITING": 1}


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_search_that_goes_on_after_that_is_judged_anew(rebuild: bool) -> None:
    world = World(make_spec(trials=20), broken, rebuild=rebuild).run()
    for gone_on in (1, 2):
        world.extend(make_spec(trials=20))
        world.run()
        failed = 3 + 3 * gone_on
        assert world.ledger.reason == f"the first {failed} trials all failed alike: RuntimeError: no"
        assert world.state == "failed"
        assert world.counts == {"FAIL": failed, "WAITING": 1}


@pytest.mark.parametrize("message", ["", "\n", "\r\n\r\n"])
def test_failures_without_a_message_count_too(message: str) -> None:
    """``assert x`` raises an AssertionError that says nothing."""
    world = World(make_spec(trials=10), raising(*["AssertionError"] * 9, message=message)).run()
    assert world.state == "failed"
    assert world.ledger.reason == "the first 3 trials all failed alike: AssertionError: "


@pytest.mark.parametrize(("trials", "words"), [(1, "the only trial failed"), (2, "the first 2 trials")])
def test_a_small_search_gives_up_earlier(trials: int, words: str) -> None:
    world = World(make_spec(trials=trials), broken).run()
    assert (world.state, len(world.ledger.trials)) == ("failed", trials)
    assert world.ledger.reason.startswith(words)


@pytest.mark.parametrize(
    "errors",
    [
        ("TypeError", "KeyError", "TypeError", "TypeError"),
        ("", "TypeError", "TypeError", "TypeError"),
        ("TypeError", "TypeError", "", "TypeError"),
        ("ValueError", "ValueError", "ValueError", "ValueError"),
    ],
)
@pytest.mark.parametrize("rebuild", [False, True])
def test_failures_that_differ_or_are_expected_do_not(errors: tuple[str, ...], rebuild: bool) -> None:
    world = World(make_spec(trials=6, catch=["ValueError"]), raising(*errors), rebuild=rebuild).run()
    assert world.state == "finished"
    assert world.counts == {"COMPLETE": 6 - sum(map(bool, errors)), "FAIL": sum(map(bool, errors))}


@pytest.mark.parametrize("rebuild", [False, True])
def test_expected_failures_between_do_not_hide_the_others(rebuild: bool) -> None:
    errors = ("ValueError", "KeyError", "ValueError", "KeyError", "KeyError")
    world = World(make_spec(trials=9, catch=["ValueError"]), raising(*errors), rebuild=rebuild).run()
    assert world.state == "failed"
    assert "KeyError" in world.ledger.reason


def test_an_objective_that_cannot_be_imported_ends_the_search_at_once() -> None:
    def objective(course: Course) -> Talk:  # noqa: ARG001
        yield Failed(cause="import", error="ImportError", message="m:f: no module named 'm'")

    world = World(make_spec(trials=9), objective, slots=3).run()
    assert (world.state, world.ledger.reason) == ("failed", "m:f: no module named 'm'")
    assert world.counts == {"FAIL": 3, "WAITING": 1}, "three slots had begun"


@pytest.mark.parametrize("rebuild", [False, True])
def test_study_stop_lets_what_runs_end_and_starts_nothing_new(rebuild: bool) -> None:
    def objective(course: Course) -> Talk:
        for step in range(4):
            if (course.number, step) == (1, 1):
                yield StudyStop()
            yield Epoch(step=step, value=1.0)
        return 1.0

    world = World(make_spec(trials=20), objective, slots=3, rebuild=rebuild).run()
    assert world.state == "finished"
    assert world.counts == {"COMPLETE": 3, "WAITING": 1}


def test_study_stop_in_the_last_trial_that_runs_ends_the_study() -> None:
    def objective(course: Course) -> Talk:  # noqa: ARG001
        yield StudyStop()
        return 1.0

    world = World(make_spec(trials=20), objective).run()
    assert (world.state, world.counts) == ("finished", {"COMPLETE": 1, "WAITING": 1})


@pytest.mark.parametrize("rebuild", [False, True])
def test_a_larger_budget_revokes_an_earlier_study_stop(rebuild: bool) -> None:
    def objective(course: Course) -> Talk:
        if course.number == 0:
            yield StudyStop()
        return 1.0

    world = World(make_spec(trials=5), objective, rebuild=rebuild).run()
    world.extend(make_spec(trials=6))
    world.run()
    assert world.state == "finished"
    assert sum(world.counts.values()) == 6


def test_pause_sends_nothing_and_resume_goes_on() -> None:
    world = World(make_spec(trials=5, lookahead=2), slots=1)
    world.until(Epoch)
    world.feed(inputs.StudyPaused())
    world.run()
    assert world.state == "paused"
    paused = len(world.ledger.trials)
    world.step()
    assert len(world.ledger.trials) == paused < 5
    assert not world.queue
    world.feed(inputs.StudyResumed())
    assert world.queue
    world.run()
    assert (world.state, world.counts) == ("finished", {"COMPLETE": 5})


def test_a_trial_that_dies_during_a_pause_waits_for_its_end() -> None:
    world = World(make_spec(trials=1))
    run = world.until(Epoch)
    world.feed(inputs.StudyPaused())
    world.leave(run, Failed(cause="died", error="TrainingProcessDied", message="signal 9"))
    assert not world.queue
    assert world.ledger.attempts_of(0)[1].state == "queued"
    world.feed(inputs.StudyResumed())
    world.run()
    assert world.counts == {"COMPLETE": 1}


def test_an_engine_started_while_paused_stays_so() -> None:
    world = World(make_spec(trials=3))
    world.feed(inputs.StudyPaused())
    world.rebuild()
    assert world.engine.state == "paused"
    world.feed(inputs.StudyResumed())
    world.run()
    assert world.counts == {"COMPLETE": 3}


def test_stop_ends_every_trial_that_has_begun() -> None:
    world = World(make_spec(trials=9, lookahead=2, parallel=2), slots=2)
    runs = [world.until(Epoch, slot) for slot in list(world.slots)]
    world.feed(inputs.StudyStopped())
    assert (world.state, world.ledger.reason) == ("stopped", "stopped by a person")
    states = [row.state for row in world.ledger.trials.values()]
    assert states == ["FAIL"] * 2 + ["WAITING"] * (len(states) - 2)
    assert len(states) > 2
    assert {json.loads(world.ledger.trials[n].user_attrs["failure"])["cause"] for n in (0, 1)} == {"study stopped"}
    assert {run.job.token for run in runs} <= set(world.revoked)
    world.run()
    assert {row.state for row in world.ledger.attempts.values()} == {"done"}


@pytest.mark.parametrize("command", [inputs.StudyPaused(), inputs.StudyResumed(), inputs.StudyStopped()])
def test_a_study_that_has_ended_takes_no_commands(command: Input) -> None:
    world = World(make_spec(trials=1)).run()
    before = world.ledger.rows()
    world.feed(command)
    assert world.ledger.rows() == before


def test_a_stopped_study_goes_on_with_a_larger_budget() -> None:
    world = World(make_spec(trials=4))
    world.until(Epoch)
    world.feed(inputs.StudyStopped())
    world.run()
    world.extend(make_spec(trials=6))
    world.run()
    assert world.state == "finished"
    assert world.counts == {"COMPLETE": 5, "FAIL": 1}


class BadSampler(optuna.samplers.RandomSampler):
    """Fails where it is told to, from a trial number on."""

    where = ""
    first = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(seed=1)

    def fail(self, where: str, number: int) -> None:
        if where == self.where and number >= self.first:
            raise RuntimeError(f"in {where},\nno value")

    def before_trial(self, study: Any, trial: Any) -> None:
        self.fail("before_trial", trial.number)
        super().before_trial(study, trial)

    def sample_independent(self, study: Any, trial: Any, *rest: Any) -> Any:
        self.fail("sample_independent", trial.number)
        return super().sample_independent(study, trial, *rest)

    def after_trial(self, study: Any, trial: Any, *rest: Any) -> None:
        self.fail("after_trial", trial.number)
        super().after_trial(study, trial, *rest)


@pytest.mark.parametrize("first", [0, 2])
@pytest.mark.parametrize("where", ["before_trial", "sample_independent", "after_trial"])
def test_a_sampler_that_raises_ends_the_search_and_leaves_no_trial_running(
    where: str, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BadSampler, "where", where)
    monkeypatch.setattr(BadSampler, "first", first)
    world = World(make_spec(trials=8, sampler={"name": f"{__name__}:BadSampler"}), slots=2).run()
    assert world.state == "failed"
    assert world.ledger.reason == f"the sampler failed: RuntimeError: in {where}, no value"
    assert "RUNNING" not in world.counts
    assert not world.engine.attempts.count("queued", "sent", "running", "stopping")


def test_a_sampler_that_exits_ends_its_search_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BadSampler, "fail", lambda *_: sys.exit("\ud800"))
    monkeypatch.setattr(trial_sampler, "build_sampler", BadSampler)
    world = World(make_spec(trials=8), slots=2).run()
    assert (world.state, world.ledger.reason) == ("failed", "the sampler failed: SystemExit: \\ud800")


def test_a_sampler_that_raises_for_one_parameter_fails_that_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BadSampler, "where", "sample_independent")
    monkeypatch.setattr(BadSampler, "first", 1)
    monkeypatch.setattr(trial_sampler, "build_sampler", BadSampler)
    world = World(make_spec(trials=2, space=None), silent).run()
    assert world.counts["FAIL"] >= 1
    assert not {"RUNNING", "WAITING"} & set(world.counts)


def test_what_ended_elsewhere_is_told_to_stop() -> None:
    """Optuna's dashboard can end a trial that runs here; the engine learns it when it is made again."""
    world = World(make_spec(trials=3), slots=2)
    run = world.until(Epoch)
    queued = world.queue[0]
    for number in (0, queued.trial):
        row = world.ledger.trials[number]
        row.state, row.end, row.values = "FAIL", world.at, None
    world.rebuild()
    assert world.ledger.attempts[run.job.token].verdict == "ended elsewhere"
    assert world.ledger.attempts[queued.token].state == "done"
    world.run()
    assert world.counts == {"COMPLETE": 1, "FAIL": 2}
    assert world.state == "finished"


def test_the_notices_tell_every_end_once() -> None:
    world = World(make_spec(trials=5), raising("KeyError", "", "TypeError"), slots=2).run()
    told = sorted((n.number, n.state) for batch in world.batches for n in batch.notices)
    assert told == [(row.number, row.state) for row in world.ledger.trials.values()]


def test_progress_adds_up() -> None:
    world = World(make_spec(trials=6, lookahead=2), raising("KeyError"), slots=2)
    world.until(Started)
    while world.step():
        now = world.engine.progress()
        assert now.complete + now.pruned + now.failed + now.running + now.waiting == len(world.ledger.trials)
        assert now.running == len(now.slots) <= 2
    assert (now.complete, now.failed, now.state) == (5, 1, "finished")
