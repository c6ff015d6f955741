"""A pruner given on the command line: a spec's, or a name with arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from spec_text import BASE, keys_of

from orchestrator.common.errors import BadInput
from orchestrator.pruning.registry import DEFAULT
from orchestrator.spec.inline_pruner import read_pruner


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("none", "none", {}),
        ("  median  ", "median", {}),
        ("median n_startup_trials=2 interval_steps=3", "median", {"n_startup_trials": 2, "interval_steps": 3}),
        ("median,n_startup_trials=2,interval_steps=3", "median", {"n_startup_trials": 2, "interval_steps": 3}),
        ("median, n_startup_trials = 2,\n interval_steps =3", "median", {"n_startup_trials": 2, "interval_steps": 3}),
        ('asha min_resource="auto" mode="stopping"', "asha", {"min_resource": "auto", "mode": "stopping"}),
        ("asha mode='promotion' min_resource=2", "asha", {"mode": "promotion", "min_resource": 2}),
        ("threshold upper=1e-3", "threshold", {"upper": 0.001}),
        (
            r'x:Y a="b, \" c=d]" b=[1, 2] c={ d = "}", e = [true] }',
            "x:Y",
            {"a": 'b, " c=d]', "b": [1, 2], "c": {"d": "}", "e": [True]}},
        ),
    ],
)
def test_a_name_with_arguments(text: str, name: str, arguments: dict[str, Any]) -> None:
    pruner = read_pruner(text, "--pruner")
    assert pruner.name == name
    assert keys_of(pruner) == keys_of(pruner) | arguments


@pytest.mark.parametrize(
    "text",
    [
        "patient patience=3 wrapped={name='median', n_min_trials=2}",
        "patient patience=3 wrapped.name='median' wrapped.n_min_trials=2",
    ],
)
def test_what_is_wrapped(text: str) -> None:
    inside = keys_of(read_pruner(text, "--pruner"))["wrapped"]
    assert (inside["name"], inside["n_min_trials"]) == ("median", 2)


def test_a_spec_lends_its_pruner(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(BASE + "[pruner]\nname = 'median'\nn_min_trials = 7\n")
    assert keys_of(read_pruner(str(file), "--pruner"))["n_min_trials"] == 7
    other = tmp_path / "spec"
    other.write_text(BASE)
    assert read_pruner(str(other), "--pruner") == DEFAULT
    file.write_text(BASE + "[pruner]\nname = 'medain'\n")
    with pytest.raises(BadInput) as caught:
        read_pruner(str(file), "--pruner")
    assert str(caught.value) == f"--pruner: {file}: pruner.name: there is no 'medain'; did you mean 'median'?"
    with pytest.raises(BadInput, match=r"^--pruner: none\.toml: there is no such file$"):
        read_pruner("none.toml", "--pruner")


def test_a_folder_of_that_name_is_no_hindrance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("median").mkdir()
    assert read_pruner("median", "--pruner").name == "median"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; write it as 'median n_startup_trials=2', or as the path of a spec"),
        (" , ", "is empty; write it as"),
        ("n_startup_trials=2", "begins with 'n_startup_trials=2', not with a rule's name"),
        ("medain", "name: there is no 'medain'; did you mean 'median'?"),
        ("nop", "name: there is no 'nop'; here it is called 'none'"),
        ("median n_statup_trials=2", "n_statup_trials: unknown key; did you mean 'n_startup_trials'?"),
        ("median n_min_trials=0", "n_min_trials: is 0; it must be at least 1"),
        ("median 3", "'3' is no argument; write it as"),
        ("median =3", "'=3' is no argument; write it as"),
        ("median n_min_trials=", "'n_min_trials=' is no argument"),
        ("median [x] n_min_trials=2", "'[x]' is no argument"),
        ("asha mode=promotion", "'mode=promotion' has no value that TOML knows; text must be in quotes"),
        ("median n_min_trials=1#2", "contains a '#' outside of quotes"),
        ("median n_min_trials=1 n_min_trials=2", "gives an argument twice; every key may stand only once"),
        ("median name='asha'", "gives the name twice; it stands in front"),
        ("median n_min_trials=[1", "'n_min_trials=[1' has no value that TOML knows"),
        ("median n_min_trials='1", '"n_min_trials=\'1" has no value that TOML knows'),
        ("patient patience=1 wrapped.name='medain'", "wrapped.name: there is no 'medain'; did you mean 'median'?"),
        ("patient", "patience: required key missing"),
        ("median x=" + "[" * 3000, "has no value that TOML knows"),
        ("x" * 2_000_000, "is longer than"),
        ("a\0b", "name: there is no 'a\\x00b'"),
    ],
    ids=lambda text: text[:40],
)
def test_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_pruner(text, "--pruner")
    found = str(caught.value)
    assert found.startswith("--pruner: ")
    assert message in found
    assert "\n" not in found
    assert len(found) < 500


PIECES = ["median", "x", "=", "1", ",", "[", "]", "{", "}", "'", '"', "#", ".", "\n", "\\", " "]


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=30) | st.lists(st.sampled_from(PIECES)).map("".join))
@example('x="""a\n"""')
def test_any_text_is_a_pruner_or_bad_input(text: str) -> None:
    for whole in (text, f"median {text}"):
        try:
            read_pruner(whole, "--pruner")
        except BadInput as error:
            message = str(error)
            assert message.startswith("--pruner: ")
