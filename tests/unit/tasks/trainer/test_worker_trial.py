"""The trial of a worker is Optuna's to the objective, and says to the keeper what the control plane can take."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json

from tasks.codec import decode_event, encode
from tasks.contract import Attribute, Epoch, Event, Job, Parameter, StudyStop, Suggest
from tasks.trainer.file_writers import ArtifactWriter, CheckpointWriter
from tasks.trainer.interrupt import Interrupter
from tasks.trainer.keeper_channel import KeeperChannel
from tasks.trainer.trial import WorkerTrial
from tasks.trainer_messages import FromTrainer, Question, SuggestReply

X = distribution_to_json(FloatDistribution(0.0, 1.0))
KIND = distribution_to_json(CategoricalDistribution(["a", "b"]))


NOWHERE = CheckpointWriter(Path("/nowhere"), "t"), ArtifactWriter(Path("/nowhere"))


class Wire:
    """Keeps what was said, and answers what is asked with what it was given."""

    def __init__(self, *answers: SuggestReply) -> None:
        self.said: list[Any] = []
        self.answers = list(answers)

    def trial(self, directions: tuple[str, ...] = ("minimize",), **job: Any) -> WorkerTrial:
        made = Job(study="s", uid="u", trial=3, token="t", attempt=1, objective="m:f", directions=directions, **job)

        def send(frame: FromTrainer) -> None:
            if isinstance(frame, Question):
                self.said.append(frame.question)
                talk.deliver(msgspec.structs.replace(self.answers.pop(0), id=frame.id))
            else:
                self.said.append(frame)

        talk = KeeperChannel(send, Interrupter(), 3)
        return WorkerTrial(made, talk, *NOWHERE)


def test_it_is_an_optuna_trial() -> None:
    wire = Wire()
    trial = wire.trial(user_attrs={"a": 1})
    assert isinstance(trial, optuna.Trial)
    assert (trial.number, trial.params, trial.user_attrs) == (3, {}, {"a": 1})
    assert (trial.study.study_name, trial.study.direction.name) == ("s", "MINIMIZE")
    trial.study.stop()
    assert wire.said == [StudyStop()]


def test_what_was_sampled_ahead_is_known() -> None:
    ahead = {"x": Parameter(value=0.25, distribution=X), "kind": Parameter(value=1.0, distribution=KIND)}
    assert Wire().trial(ahead=ahead).relative_params == {"x": 0.25, "kind": "b"}


@pytest.mark.parametrize("value", [0.5, 1, True, "0.5", math.nan, -math.inf, 1e308, -0.0])
def test_every_number_can_be_reported(value: Any) -> None:
    wire = Wire()
    wire.trial().report(value, 0)
    assert repr(wire.said) == repr([Epoch(step=0, value=float(value))])


@pytest.mark.parametrize("value", [None, "x", [], {}, 1j])
def test_what_is_no_number_cannot(value: Any) -> None:
    wire = Wire()
    with pytest.raises(TypeError):
        wire.trial().report(value, 0)
    assert wire.said == []


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (-1, ValueError),
        (2**31, ValueError),
        (2**63, ValueError),
        (None, TypeError),
        ("x", TypeError),
        (math.inf, OverflowError),
    ],
)
def test_steps_stay_within_what_every_database_can_hold(step: Any, error: type[Exception]) -> None:
    wire = Wire()
    with pytest.raises(error, match=r"step|integer"):
        wire.trial().report(0.5, step)
    assert wire.said == []


def test_a_step_counts_once_as_in_optuna() -> None:
    wire = Wire()
    trial = wire.trial()
    trial.report(0.5, 2**31 - 1)
    with pytest.warns(UserWarning, match="already reported"):
        trial.report(0.75, 2**31 - 1)
    assert wire.said == [Epoch(step=2**31 - 1, value=0.5)]


def test_a_stored_parameter_is_not_asked_for() -> None:
    wire = Wire()
    trial = wire.trial(params={"x": Parameter(value=0.25, distribution=X), "k": Parameter(value=1, distribution=KIND)})
    assert trial.suggest_float("x", 0.0, 1.0) == 0.25
    assert trial.suggest_categorical("k", ["a", "b"]) == "b"
    assert wire.said == []
    with pytest.raises(ValueError, match="different distribution kind"):
        trial.suggest_int("x", 0, 1)


def test_one_sampled_ahead_is_told_and_not_waited_for() -> None:
    wire = Wire()
    trial = wire.trial(ahead={"x": Parameter(value=0.25, distribution=X)})
    assert trial.params == {}
    assert trial.suggest_float("x", 0.0, 1.0) == 0.25
    assert trial.suggest_float("x", 0.0, 1.0) == 0.25
    assert wire.said == [Suggest(name="x", distribution=X, used=True)]
    assert trial.params == {"x": 0.25}


def test_another_distribution_than_the_one_ahead_is_asked_for() -> None:
    wire = Wire(SuggestReply(id=0, name="x", value=7.0))
    trial = wire.trial(ahead={"x": Parameter(value=0.25, distribution=X)})
    assert trial.suggest_float("x", 5.0, 9.0) == 7.0
    assert [said.used for said in wire.said] == [False]


def test_an_error_of_the_sampler_is_a_value_error_here() -> None:
    wire = Wire(SuggestReply(id=0, name="x", value=0.0, error="ValueError: it does not fit"))
    with pytest.raises(ValueError, match=r"^it does not fit"):
        wire.trial().suggest_float("x", 0.0, 1.0)


def test_several_objectives_report_nothing_as_in_optuna() -> None:
    trial = Wire().trial(("minimize", "maximize"))
    with pytest.raises(NotImplementedError):
        trial.report(0.5, 0)
    with pytest.raises(NotImplementedError):
        trial.should_prune()
    with pytest.raises(RuntimeError, match="single direction"):
        _ = trial.study.direction


def test_attributes_and_constraints_are_told() -> None:
    wire = Wire()
    trial = wire.trial()
    trial.set_user_attr("note", {"a": [1, None]})
    trial.set_constraint("memory", 3)
    with pytest.warns(UserWarning, match="already set"):
        trial.set_constraint("memory", 4)
    assert wire.said == [
        Attribute(key="note", value='{"a": [1, null]}'),
        Attribute(key="memory", value="3.0", kind="constraint"),
    ]
    assert (trial.user_attrs, trial.constraints) == ({"note": {"a": [1, None]}}, {"memory": 3.0})
    with pytest.raises(ValueError, match="NaN"):
        trial.set_constraint("speed", math.nan)
    with pytest.raises(TypeError):
        trial.set_user_attr("object", object())


LONG, NUL = "x" * 513, "a\0b"
REFUSED: dict[str, Callable[[WorkerTrial], object]] = {
    "a long name": lambda trial: trial.suggest_float(LONG, 0, 1),
    "a name with NUL": lambda trial: trial.suggest_float(NUL, 0, 1),
    "a long key": lambda trial: trial.set_user_attr(LONG, 1),
    "a key with NUL": lambda trial: trial.set_user_attr(NUL, 1),
    "a surrogate": lambda trial: trial.set_user_attr("\ud800", 1),
    "a long constraint": lambda trial: trial.set_constraint("x" * 501, 1),
    "a large value": lambda trial: trial.set_user_attr("weights", "x" * (1 << 20)),
    "many choices": lambda trial: trial.suggest_categorical("k", [f"{each:0100}" for each in range(11_000)]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_control_plane_could_not_take_is_refused_where_it_is_said(name: str) -> None:
    """An event that is refused there leaves a gap that nothing can close: the trial would never end."""
    wire = Wire(SuggestReply(id=0, name="k", value=0.0))
    with pytest.raises(ValueError, match=r"."):
        REFUSED[name](wire.trial())
    assert wire.said == []


def test_whatever_is_said_is_an_event() -> None:
    wire = Wire(*(SuggestReply(id=0, name=name, value=0.0) for name in ("é" * 512, "k" * 512)))
    trial = wire.trial()
    trial.suggest_float("é" * 512, 0, 1)
    trial.suggest_categorical("k" * 512, ["😀", None, True, 1.5])
    trial.set_user_attr("u" * 512, "x" * 1_000_000)
    trial.set_constraint("c" * 500, -1)
    trial.report(0.5, 0)
    for seq, body in enumerate(wire.said, 1):
        event = Event(token="t" * 36, runner="r" * 32, seq=seq, body=body)
        assert decode_event(encode(event)) == event
