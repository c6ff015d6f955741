"""Parameters as TOML, JSON and arguments: what is written is read back."""

from __future__ import annotations

import json
import math
import shlex
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.common.parameter_text import to_arguments, to_json, to_toml

texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), texts)
values = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=5)


def alike(one: Any, other: Any) -> bool:
    return repr(one) == repr(other)


@given(st.dictionaries(texts, values))
def test_toml_gives_the_same_values(params: dict[str, Any]) -> None:
    assert alike(tomllib.loads(to_toml(params)), params)


@given(st.dictionaries(texts, st.one_of(st.booleans(), st.integers(), texts, st.floats(allow_nan=False))))
def test_json_gives_the_same_values(params: dict[str, Any]) -> None:
    finite = {key: None if isinstance(value, float) and math.isinf(value) else value for key, value in params.items()}
    assert alike(json.loads(to_json(params)), finite)


@given(st.dictionaries(texts.filter(lambda name: "=" not in name and "\0" not in name), texts))
def test_a_shell_gives_back_each_text(params: dict[str, str]) -> None:
    assert shlex.split(to_arguments(params)) == [f"--{name}={value}" for name, value in params.items()]


@pytest.mark.parametrize(
    ("value", "toml", "argument"),
    [
        (0.1, "x = 0.1", "--x=0.1"),
        (1e-05, "x = 1e-05", "--x=1e-05"),
        (-3, "x = -3", "--x=-3"),
        (1.0, "x = 1.0", "--x=1.0"),
        (True, "x = true", "--x=true"),
        ("two words", 'x = "two words"', "'--x=two words'"),
        ("it's $HOME", 'x = "it\'s $HOME"', """'--x=it'"'"'s $HOME'"""),
        ("", 'x = ""', "--x="),
        ([64, "a"], 'x = [64, "a"]', """'--x=[64, "a"]'"""),
        ({"a b": 1}, 'x = { "a b" = 1 }', """'--x={"a b": 1}'"""),
        (None, "# x is null, which TOML lacks", "--x=null"),
        ([None], "# x is null, which TOML lacks", "'--x=[null]'"),
        (math.inf, "x = inf", "--x=inf"),
    ],
)
def test_each_kind_of_value(value: Any, toml: str, argument: str) -> None:
    assert to_toml({"x": value}) == toml
    assert to_arguments({"x": value}) == argument
