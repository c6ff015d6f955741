"""A spec survives being stored, and whatever else is read back is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spec_text import FULL, made

from orchestrator.common.errors import BadInput
from orchestrator.spec import Spec, parse


def test_stored_and_read_back() -> None:
    spec = parse(FULL, "s.toml")
    stored = json.loads(json.dumps(spec.to_json()))
    assert Spec.from_json(stored) == spec
    assert Spec.from_json(stored).to_json() == spec.to_json()
    assert stored["format"] == 1
    # Defaults are written out, so that other defaults of a later version change no stored search.
    assert stored["pruner"]["n_min_trials"] == 1
    assert stored["space"]["lr"]["step"] is None


@pytest.mark.parametrize(
    ("change", "piece"),
    [
        ({"format": 2}, "of study 'a': is of format 2, and this program reads format 1; use the version that wrote it"),
        ({"format": 0}, "is of format 0"),
        ({"format": True}, "is of format true"),
        ({"later": 1}, "later: unknown key"),
        ({"trials": "3"}, "trials: is a string"),
        ({"trials": None}, "trials: is null"),
        ({"args": {"x": None}}, "args.x: is null"),
        ({"args": {"x": "\ud800"}}, "args.x: contains a lone surrogate"),
        ({"args": {"x": {1: 2}}}, "args.x: has a key that is an integer"),
        ({"args": {1: 2}}, "args.1: cannot be the name"),
        ({"sampler": {"name": "tpe", "x": object()}}, "sampler.x: is object"),
    ],
)
def test_stored_specs_that_are_none(change: dict[str, Any], piece: str) -> None:
    with pytest.raises(BadInput) as caught:
        Spec.from_json(made().to_json() | change)
    assert str(caught.value).startswith("stored spec")
    assert piece in str(caught.value)


@pytest.mark.parametrize("data", [None, 3, [], {}, {"name": "a"}])
def test_other_things_that_are_no_stored_spec(data: Any) -> None:
    with pytest.raises(BadInput, match="is no stored spec"):
        Spec.from_json(data)


SCALARS = st.one_of(
    st.text(max_size=8),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.sampled_from(["auto", "asha", "grid", "median", "float", "int", "categorical", "a:b", 10**400, ""]),
    st.dates(),
)


VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


RANGES = st.dictionaries(st.sampled_from(["type", "low", "high", "log", "step", "choices", "x"]), VALUES, max_size=6)


TABLES = st.dictionaries(
    st.sampled_from(
        ["name", "mode", "min_resource", "bootstrap_count", "n_startup_trials", "percentile", "max_attempts"]
    )
    | st.text(max_size=4),
    VALUES,
    max_size=4,
)


SPECS = st.dictionaries(
    st.sampled_from([*Spec.model_fields, "zzz"]),
    VALUES | TABLES | st.dictionaries(st.text(max_size=4), RANGES, max_size=3),
    max_size=8,
)


def spec_or_refusal(data: Any) -> Spec | None:
    try:
        return Spec.from_json(data)
    except BadInput as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 2000
    return None


@settings(max_examples=150, deadline=None)
@given(SPECS)
@example({"args": {"x": 10**5000}})
def test_any_data_is_a_spec_or_bad_input(data: dict[str, Any]) -> None:
    required = {"format": 1, "name": "a", "objective": "m:f", "trials": 1}
    for whole in (data, {**data, **required}):
        spec = spec_or_refusal(whole)
        if spec is not None:
            assert spec_or_refusal(json.loads(json.dumps(spec.to_json()))) == spec
