"""The table [command]: what it takes, and what it says of everything else."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.common.errors import BadInput
from orchestrator.spec import Spec
from orchestrator.spec.compare import differences
from orchestrator.spec.model import validate
from tasks.program.command import OBJECTIVE

RUN = ["python", "train.py", "--lr", "{lr}"]


def spec(command: dict[str, Any] | None = None, **more: Any) -> Spec:
    data: dict[str, Any] = {
        "name": "mine",
        "trials": 3,
        "command": {"run": RUN} | (command or {}),
        "space": {"lr": {"type": "float", "low": 0.0, "high": 1.0}},
    }
    return validate(data | more, "mine.toml")


def test_workers_get_the_command_with_the_space() -> None:
    found = spec({"env": {"LR": "{lr}"}, "metric": "acc", "metrics": {"acc": "acc=(.*)"}}, grace=5.0)

    assert found.reference == OBJECTIVE
    assert found.trained == "python train.py --lr '{lr}'"
    assert found.arguments["command"] == {
        "run": tuple(RUN),
        "env": {"LR": "{lr}"},
        "metric": ("acc",),
        "patterns": {"acc": "acc=(.*)"},
    }
    assert list(found.arguments["space"]) == ["lr"]
    assert found.arguments["grace"] == 5.0


def test_it_is_stored_and_read_again() -> None:
    found = spec({"metric": ["a", "b"], "result": "last"}, directions=["minimize", "maximize"])

    assert Spec.from_json(found.to_json()) == found
    assert "objective" not in found.to_json()


def test_a_spec_without_it_is_stored_as_before() -> None:
    plain = validate({"name": "a", "trials": 1, "objective": "m:f"}, "a.toml")

    assert "command" not in plain.to_json()
    assert (plain.reference, plain.arguments) == ("m:f", {})


@pytest.mark.parametrize(
    ("command", "more", "message"),
    [
        ({"run": "python train.py"}, {}, "command.run: is a string; write its words as an array"),
        ({"run": []}, {}, "command.run: names no program"),
        ({"run": [" "]}, {}, "command.run: names no program"),
        ({"run": ["a\0"]}, {}, "command.run[0]: contains a NUL"),
        (
            {"run": ["a", "{lrr}"]},
            {},
            "command.run[1]: names 'lrr', which is no parameter of [space]; did you mean 'lr'?",
        ),
        ({"run": ["a", '{"b": 1}']}, {}, "write plain braces twice"),
        ({"run": ["a", "}"]}, {}, "command.run[1]: has a single '}'"),
        ({"env": {"A": "{x"}}, {}, "command.env.A: has a single '{'"),
        ({"env": {"A B": "1"}}, {}, "cannot be the name of a variable"),
        ({"env": {"ORCHESTRATOR_TRIAL": "1"}}, {}, "is set by this program; take another name"),
        ({"metrics": {"acc": "("}}, {}, "command.metrics.acc: is no regular expression"),
        ({"metrics": {"acc": "acc"}}, {}, "command.metrics.acc: has no group; put brackets around the number"),
        ({"metrics": {"acc": "(.)"}}, {}, "command.metrics: has no pattern for 'value', which is the trial's value"),
        ({"metric": ["a", "a"]}, {"directions": ["minimize"] * 2}, "command.metric: names a metric twice"),
        ({"metric": ["a", "b"]}, {}, "command.metric: names 2 for 1 directions"),
        ({"metric": "checkpoint"}, {}, "cannot be 'checkpoint'"),
        ({"metric": "step"}, {}, "command.step: is 'step', and so is 'metric'"),
        ({}, {"objective": "m:f"}, "objective: stands beside [command]; give one of them"),
        ({}, {"args": {"a": 1}}, "args: are the objective's, and a program takes none"),
        ({"shell": True}, {}, "command.shell: unknown key"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(command: dict[str, Any], more: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as raised:
        spec(command, **more)

    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_spec_needs_one_of_the_two() -> None:
    with pytest.raises(
        BadInput, match=r"objective: required key missing; name a function .* or give a table \[command\]"
    ):
        validate({"name": "a", "trials": 1}, "a.toml")


def test_another_command_is_another_search() -> None:
    assert differences(spec(), spec({"metric": "loss"})) == [
        """command.metric was ["value"] and is ["loss"]""",
    ]
    plain = validate({"name": "mine", "trials": 3, "objective": "m:f"}, "mine.toml")
    assert f"objective was 'm:f' and is '{OBJECTIVE}'" in differences(plain, spec())
    assert differences(spec(), spec(trials=9)) == []
