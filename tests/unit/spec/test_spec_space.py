"""[space]: what is refused, and that the rest makes distributions."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spec_text import check_refused, made

from orchestrator.common.errors import BadInput
from orchestrator.spec import Spec

# What is refused: the text after the required keys, and pieces of the message in their order.
REFUSED: list[tuple[str, tuple[str, ...]]] = [
    # space
    ("[space]\nx = 3", ("space.x: is an integer (3)", "table with the key 'type'")),
    ("[space]\nx = { low = 0, high = 1 }", ("space.x.type: required key missing", "float, int, categorical")),
    ("[space]\nx = { type = 'flaot', low = 0, high = 1 }", ("space.x.type: there is no", "'float'?")),
    ("[space]\nx = { type = 'float', low = 0 }", ("space.x.high: required key missing",)),
    ("[space]\nx = { type = 'float', low = 0, hihg = 1 }", ("space.x.hihg: unknown key", "'high'?")),
    ("[space]\nx = { type = 'float', low = 2, high = 1 }", ("space.x.low: is 2.0, above high",)),
    ("[space]\nx = { type = 'int', low = 2, high = 1 }", ("space.x.low: is 2, above high",)),
    ("[space]\nx = { type = 'float', low = nan, high = 1 }", ("space.x.low: is nan", "finite")),
    ("[space]\nx = { type = 'float', low = 0, high = inf }", ("space.x.high: is inf", "finite")),
    (
        "[space]\nx = { type = 'float', low = -1e308, high = 1e308 }",
        ("space.x.low: is -1e+308", "at least -1e+300"),
    ),
    ("[space]\nx = { type = 'float', low = 0, high = 1, log = true }", ("space.x.low: is 0.0", "above 0")),
    ("[space]\nx = { type = 'float', low = -1, high = 1, log = true }", ("space.x.low: is -1.0", "above 0")),
    (
        "[space]\nx = { type = 'float', low = 1, high = 2, log = true, step = 1 }",
        ("space.x.step: cannot go",),
    ),
    ("[space]\nx = { type = 'float', low = 1, high = 2, step = 0 }", ("space.x.step: is 0", "above 0")),
    ("[space]\nx = { type = 'float', low = 1, high = 2, step = 9e-16 }", ("space.x.step", "too fine")),
    (
        "[space]\nx = { type = 'float', low = 1, high = 2, log = 1 }",
        ("space.x.log: is an integer (1)", "true"),
    ),
    ("[space]\nx = { type = 'float', low = '1', high = 2 }", ("space.x.low: is a string ('1')", "a number")),
    ("[space]\nx = { type = 'int', low = 0, high = 1, log = true }", ("space.x.low: is 0", "at least 1")),
    ("[space]\nx = { type = 'int', low = 1, high = 9, log = true, step = 2 }", ("space.x.step: cannot go",)),
    ("[space]\nx = { type = 'int', low = 1.0, high = 9 }", ("space.x.low: is a float (1.0)", "an integer")),
    ("[space]\nx = { type = 'int', low = true, high = 9 }", ("space.x.low: is a boolean (true)",)),
    ("[space]\nx = { type = 'int', low = 0, high = 9, step = 0 }", ("space.x.step: is 0", "at least 1")),
    (
        f"[space]\nx = {{ type = 'int', low = 0, high = 1{'0' * 400} }}",
        ("space.x.high", "more than 60 digits"),
    ),
    ("[space]\nx = { type = 'categorical', choices = [] }", ("space.x.choices: is empty",)),
    ("[space]\nx = { type = 'categorical', choices = 'ab' }", ("space.x.choices: is a string", "an array")),
    ("[space]\nx = { type = 'categorical', choices = [[1]] }", ("space.x.choices[0]: is an array",)),
    ("[space]\nx = { type = 'categorical', choices = [1, nan] }", ("space.x.choices[1]: is nan",)),
    ("[space]\nx = { type = 'categorical', choices = ['a', 'a'] }", ("space.x.choices[1]: 'a' equals 'a'",)),
    ("[space]\nx = { type = 'categorical', choices = [1, true] }", ("space.x.choices[1]: true equals 1",)),
    ("[space]\n'' = { type = 'int', low = 0, high = 1 }", ("space", "1 to 512 characters")),
    (f"[space]\n{'x' * 513} = {{ type = 'int', low = 0, high = 1 }}", ("space", "1 to 512 characters")),
]


@pytest.mark.parametrize(("extra", "pieces"), REFUSED, ids=[extra[:60] for extra, _ in REFUSED])
def test_refused(extra: str, pieces: tuple[str, ...]) -> None:
    check_refused(extra, pieces)


def test_a_range_that_is_no_multiple_of_its_step_is_lowered_in_silence() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec = made("[space]\nx = { type = 'int', low = 0, high = 10, step = 3 }")
        assert spec.distributions() == {"x": optuna.distributions.IntDistribution(0, 9, step=3)}


FLOATS = st.floats(allow_nan=False, allow_infinity=False)


INTEGERS = st.integers(-(2**53), 2**53)


KINDS = st.one_of(
    st.builds(
        lambda low, high, log, step: {"type": "float", "low": low, "high": high, "log": log, "step": step},
        FLOATS,
        FLOATS,
        st.booleans(),
        st.none() | FLOATS,
    ),
    st.builds(
        lambda low, high, log, step: {"type": "int", "low": low, "high": high, "log": log, "step": step},
        INTEGERS,
        INTEGERS,
        st.booleans(),
        st.just(1) | INTEGERS,
    ),
    st.builds(
        lambda choices: {"type": "categorical", "choices": choices},
        st.lists(st.text(max_size=3) | st.integers() | FLOATS | st.booleans(), max_size=4),
    ),
)


@settings(max_examples=300, deadline=None)
@given(KINDS)
@example({"type": "float", "low": 0.0, "high": 1e15, "step": 1.0})
@example({"type": "float", "low": 5e-324, "high": 1e300, "log": True})
@example({"type": "float", "low": 1e-300, "high": 1e300, "step": 1e290})
@example({"type": "float", "low": -1e300, "high": 1e300, "step": 1e300})
def test_a_range_that_passes_makes_a_distribution(kind: dict[str, Any]) -> None:
    """Optuna accepts whatever the spec accepts, and can draw from it."""
    try:
        spec = Spec.from_json(made().to_json() | {"space": {"x": kind}})
    except BadInput:
        return
    distribution = spec.distributions()["x"]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    value = study.ask({"x": distribution}).params["x"]
    assert distribution._contains(distribution.to_internal_repr(value))
