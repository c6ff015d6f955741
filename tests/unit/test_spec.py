"""The spec: what is taken, what is refused and in which words, and that it survives being stored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import warnings
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.errors import BadInput
from orchestrator.spec import Spec, differences, load, parse
from orchestrator.spec.load import LARGEST_FILE
from orchestrator.spec.samplers import build_sampler, check_sampler

BASE = 'name = "a"\nobjective = "m:f"\ntrials = 3\n'
HUGE_HEX = "0x" + "f" * 6000  # over the number of digits that Python prints
GRID = '[sampler]\nname = "grid"\n[space]\n'

FULL = """
name = "digits-1.a_b"
objective = "tasks.objectives.digits:objective"
direction = "maximize"
trials = 40
max_steps = 27
parallel = 8
lookahead = 2
seed = 7
queue = "gpu"
catch = ["ValueError", "torch.cuda.OutOfMemoryError"]
grace = 3
[args]
epochs = 27
nested = { list = [1, "x", [true]], float = 0.5 }
[sampler]
name = "tpe"
n_startup_trials = 5
[pruner]
name = "median"
n_startup_trials = 2
[space]
lr = { type = "float", low = 1e-4, high = 1e-2, log = true }
drop = { type = "float", low = 0, high = 0.5, step = 0.25 }
layers = { type = "int", low = 1, high = 9, step = 2 }
optimizer = { type = "categorical", choices = ["SGD", 1, 2.5, false] }
[retry]
max_attempts = 5
"""


def refusal(text: str) -> str:
    with pytest.raises(BadInput) as caught:
        parse(text, "s.toml")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("s.toml")
    assert len(message) < 700
    return message


def made(extra: str = "", base: str = BASE) -> Spec:
    return parse(base + extra, "s.toml")


def test_every_key_arrives() -> None:
    spec = parse(FULL, "s.toml")
    assert (spec.name, spec.objective) == ("digits-1.a_b", "tasks.objectives.digits:objective")
    assert (spec.direction, spec.trials, spec.max_steps, spec.parallel) == ("maximize", 40, 27, 8)
    assert (spec.lookahead, spec.seed, spec.queue, spec.grace) == (2, 7, "gpu", 3.0)
    assert type(spec.grace) is float
    assert spec.catch == ("ValueError", "torch.cuda.OutOfMemoryError")
    assert spec.args == {"epochs": 27, "nested": {"list": [1, "x", [True]], "float": 0.5}}
    assert (spec.sampler.name, spec.sampler.arguments()) == ("tpe", {"n_startup_trials": 5})
    assert spec.pruner.name == "median"
    assert spec.pruner.arguments() == {
        "n_startup_trials": 2,
        "n_warmup_steps": 0,
        "interval_steps": 1,
        "n_min_trials": 1,
    }
    assert spec.retry.max_attempts == 5
    assert spec.distributions() == {
        "lr": optuna.distributions.FloatDistribution(1e-4, 1e-2, log=True),
        "drop": optuna.distributions.FloatDistribution(0, 0.5, step=0.25),
        "layers": optuna.distributions.IntDistribution(1, 9, step=2),
        "optimizer": optuna.distributions.CategoricalDistribution(("SGD", 1, 2.5, False)),
    }


def test_defaults() -> None:
    spec = made()
    assert (spec.direction, spec.max_steps, spec.parallel, spec.lookahead) == ("minimize", None, None, 1)
    assert (spec.seed, spec.queue, spec.catch, spec.grace) == (None, "trials", (), 10.0)
    assert (spec.args, spec.space, spec.distributions()) == ({}, {}, {})
    assert (spec.sampler.name, spec.sampler.arguments()) == ("tpe", {})
    assert (spec.pruner.name, spec.pruner.arguments()) == ("none", {})
    assert spec.retry.max_attempts == 3
    assert made("[sampler]\nn_startup_trials = 1\n").sampler.name == "tpe"


def test_the_last_values_that_are_taken() -> None:
    spec = made(
        "trials = 2147483647\nseed = 4294967295\nlookahead = 1\ngrace = 86400\n"
        "[args]\nlow = -9223372036854775808\nhigh = 9223372036854775807\n"
        "[space]\nx = { type = 'int', low = -9007199254740991, high = 9007199254740991 }\n"
        "y = { type = 'float', low = 0, high = 1, step = 1e-15 }\n",
        BASE.replace("trials = 3\n", ""),
    )
    assert spec.args == {"low": -(2**63), "high": 2**63 - 1}
    assert set(spec.distributions()) == {"x", "y"}


@pytest.mark.parametrize(
    ("pruner", "arguments"),
    [
        ('name = "none"', {}),
        (
            'name = "percentile"\npercentile = 25',
            {
                "percentile": 25.0,
                "n_startup_trials": 5,
                "n_warmup_steps": 0,
                "interval_steps": 1,
                "n_min_trials": 1,
            },
        ),
        (
            'name = "asha"\nmode = "stopping"',
            {
                "min_resource": "auto",
                "reduction_factor": 4,
                "min_early_stopping_rate": 0,
                "bootstrap_count": 0,
            },
        ),
        (
            'name = "asha"\nmin_resource = 2\nbootstrap_count = 3\nreduction_factor = 2',
            {
                "min_resource": 2,
                "reduction_factor": 2,
                "min_early_stopping_rate": 0,
                "bootstrap_count": 3,
            },
        ),
    ],
)
def test_pruner_arguments_have_all_defaults(pruner: str, arguments: dict[str, Any]) -> None:
    assert made(f"[pruner]\n{pruner}\n").pruner.arguments() == arguments


def test_pruner_defaults_are_optunas() -> None:
    """Compared by what Optuna's pruners make of our arguments and of none."""
    makers: dict[str, Any] = {
        "median": optuna.pruners.MedianPruner,
        "asha": optuna.pruners.SuccessiveHalvingPruner,
    }
    for name, maker in makers.items():
        ours = maker(**made(f'[pruner]\nname = "{name}"\n').pruner.arguments())
        assert vars(ours) == vars(maker())


# What is refused: the text after the required keys, and pieces of the message in their order.
REFUSED: list[tuple[str, tuple[str, ...]]] = [
    # keys
    ("trails = 3", ("trails: unknown key", "did you mean 'trials'?")),
    ("zzz = 3", ("zzz: unknown key", "known: args, catch")),
    ('"a b\\n\\u0000" = 3', ("'a b\\n\\x00': unknown key",)),
    (f'"{"k" * 9000}" = 3', ("…': unknown key",)),
    ("[pruner]\nname = 'median'\nn_warmup_step = 3", ("pruner.n_warmup_step: unknown", "'n_warmup_steps'?")),
    ("[pruner]\nname = 'none'\nx = 3", ("pruner.x: unknown key",)),
    ("[retry]\nmax_atempts = 3", ("retry.max_atempts: unknown key", "'max_attempts'?")),
    *[
        (f"{key} = {value}", (f"{key}: is not supported yet",))
        for key, value in {
            "directions": '["minimize"]',
            "timeout": '"2h"',
            "target": "0.9",
            "max_total_steps": "9",
            "patience": "2",
            "priority": "5",
            "schedule": "{ cron = '0 2 * * *' }",
            "notify": "{}",
            "shadow": "{}",
            "audit": "true",
            "keep_models": "3",
        }.items()
    ],
    # types
    ('parallel = "8"', ("parallel: is a string ('8')", "must be an integer")),
    ("parallel = true", ("parallel: is a boolean (true)", "must be an integer")),
    ("parallel = 8.0", ("parallel: is a float (8.0)", "must be an integer")),
    ("grace = true", ("grace: is a boolean (true)", "must be a number")),
    ("queue = 3", ("queue: is an integer (3)", "must be a string")),
    ("catch = 'ValueError'", ("catch: is a string", "must be an array")),
    ("catch = [3]", ("catch[0]: is an integer (3)", "must be a string")),
    ("catch = ['not a class']", ("catch[0]: cannot be 'not a class'", "'ValueError'")),
    ("args = 3", ("args: is an integer (3)", "must be a table")),
    ("retry = 3", ("retry: is an integer (3)", "must be a table")),
    ("space = [1]", ("space: is an array (1 entry)", "must be a table")),
    ("pruner = 'median'", ("pruner: is a string ('median')", "must be a table with the key 'name'")),
    ("sampler = []", ("sampler: is an array", "must be a table")),
    ("seed = 1979-05-27", ("seed: is a date or time", "must be an integer")),
    # bounds
    ("parallel = 0", ("parallel: is 0", "at least 1")),
    ("parallel = 2147483648", ("parallel: is 2147483648", "at most 2147483647")),
    (f"parallel = 1{'0' * 400}", ("parallel: is an integer of more than 60 digits", "at most")),
    (f"parallel = {HUGE_HEX}", ("parallel: is an integer of more than 60 digits", "at most")),
    (f"grace = {HUGE_HEX}", ("grace: is an integer",)),
    (f"seed = 1{'0' * 5000}", ("not valid TOML", "4300 digits")),
    ("lookahead = 0", ("lookahead: is 0", "at least 1")),
    ("seed = -1", ("seed: is -1", "at least 0")),
    ("seed = 4294967296", ("seed: is 4294967296", "at most 4294967295")),
    ("max_steps = 0", ("max_steps: is 0", "at least 1")),
    ("grace = 0", ("grace: is 0", "above 0")),
    ("grace = nan", ("grace: is nan", "must be finite")),
    ("grace = inf", ("grace: is inf", "must be finite")),
    ("grace = 1e9", ("grace: is 1000000000.0", "at most 86400")),
    ("[retry]\nmax_attempts = 0", ("retry.max_attempts: is 0", "at least 1")),
    # choices of words
    ("direction = 'maximise'", ("direction: is 'maximise'", "did you mean 'maximize'?")),
    ("direction = 3", ("direction: is an integer (3)", "minimize, maximize")),
    ("queue = 'a..b'", ("queue: cannot be 'a..b'",)),
    # arguments
    ("[args]\nd = 2024-05-01", ("args.d: is a date or time (2024-05-01)", "quotes")),
    ("[args]\nd = [{ x = 07:32:00 }]", ("args.d[0].x: is a date or time",)),
    ("[args]\nx = nan", ("args.x: is nan", "finite")),
    ("[args]\nx = [1.0, -inf]", ("args.x[1]: is -inf", "finite")),
    ("[args]\nx = 9223372036854775808", ("args.x: is 9223372036854775808", "64 bits")),
    ("[args]\nx = -9223372036854775809", ("args.x: is -9223372036854775809", "64 bits")),
    (f"[args]\nx = {HUGE_HEX}", ("args.x: is an integer of more", "64 bits")),
    ("[args]\nmy-arg = 1", ("args.my-arg: cannot be the name of an argument",)),
    ("[args]\nlambda = 1", ("args.lambda: cannot be the name",)),
    ('[args]\nx = "a\\u0000b"', ("args.x: contains a NUL",)),
    (f"[args]\nx = {'[' * 40}{']' * 40}", ("args.x[0]", "nested more than 32 deep")),
    # sampler
    ("[sampler]\nname = 'tpee'", ("sampler.name: there is no 'tpee'", "did you mean 'tpe'?")),
    ("[sampler]\nname = 3", ("sampler.name: is an integer (3)", "one of tpe, random")),
    ("[sampler]\nname = 'nsgaiii'", ("sampler.name: 'nsgaiii' is not supported yet",)),
    ("[sampler]\nseed = 3", ("sampler.seed: stands in the wrong table", "write seed = ")),
    ("[sampler]\nx = 2024-05-01", ("sampler.x: is a date",)),
    ("[sampler]\nname = 'grid'", ("sampler.name: 'grid' needs a table [space]",)),
    (f"{GRID}x = {{ type = 'float', low = 0, high = 1 }}", ("space.x: has no step, and 'grid'",)),
    # pruner
    ("[pruner]\nn_warmup_steps = 3", ("pruner.name: required key missing", "median, percentile, asha, none")),
    ("[pruner]\nname = 'medain'", ("pruner.name: there is no 'medain'", "did you mean 'median'?")),
    ("[pruner]\nname = []", ("pruner.name: is an array", "must be a string")),
    *[
        (f"[pruner]\nname = '{name}'", (f"pruner.name: '{name}' is not supported yet",))
        for name in ("hyperband", "threshold", "patient", "wilcoxon", "mine:Pruner")
    ],
    ("[pruner]\nname = 'median'\nn_startup_trials = -1", ("pruner.n_startup_trials: is -1", "at least 0")),
    ("[pruner]\nname = 'median'\ninterval_steps = 0", ("pruner.interval_steps: is 0", "at least 1")),
    ("[pruner]\nname = 'median'\nn_min_trials = 0", ("pruner.n_min_trials: is 0", "at least 1")),
    ("[pruner]\nname = 'median'\nn_warmup_steps = true", ("pruner.n_warmup_steps: is a boolean",)),
    ("[pruner]\nname = 'percentile'", ("pruner.percentile: required key missing",)),
    ("[pruner]\nname = 'percentile'\npercentile = 101", ("pruner.percentile: is 101", "at most 100")),
    ("[pruner]\nname = 'percentile'\npercentile = nan", ("pruner.percentile: is nan", "finite")),
    ("[pruner]\nname = 'asha'\nmin_resource = 'best'", ("pruner.min_resource: is 'best'", "'auto'")),
    ("[pruner]\nname = 'asha'\nmin_resource = 0", ("pruner.min_resource: is 0", "at least 1")),
    ("[pruner]\nname = 'asha'\nmin_resource = true", ("pruner.min_resource: is a boolean (true)",)),
    ("[pruner]\nname = 'asha'\nmin_resource = 1.5", ("pruner.min_resource: is a float (1.5)",)),
    ("[pruner]\nname = 'asha'\nreduction_factor = 1", ("pruner.reduction_factor: is 1", "at least 2")),
    ("[pruner]\nname = 'asha'\nmin_early_stopping_rate = 99", ("pruner.min_early_stopping_rate: is 99",)),
    ("[pruner]\nname = 'asha'\nbootstrap_count = 1", ("pruner.bootstrap_count: is 1", "min_resource")),
    ("[pruner]\nname = 'asha'\nmode = 'promotion'", ("pruner.mode: 'promotion' is not supported yet",)),
    ("[pruner]\nname = 'asha'\nmode = 'sync'", ("pruner.mode: 'sync' is not supported yet",)),
    ("[pruner]\nname = 'asha'\nmode = 'stoping'", ("pruner.mode: there is no", "did you mean 'stopping'?")),
    ("max_steps = 9\n[pruner]\nname = 'asha'\nmin_resource = 10", ("pruner.min_resource: is 10", "is 9")),
    (
        "max_steps = 9\n[pruner]\nname = 'asha'\nmin_resource = 3\nmin_early_stopping_rate = 1",
        ("pruner.min_early_stopping_rate: puts the first rung at step 12", "is 9"),
    ),
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
    message = refusal(BASE + extra)
    at = 0
    for piece in pieces:
        assert piece in message[at:], message
        at = message.index(piece, at) + len(piece)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 129,
        "x" * 600,
        "a..b",
        "..",
        "../etc",
        "a/b",
        "a b",
        "\\u0000",
        "a\\n",
        "é",
        "😀",
        "-a",
        ".a",
    ],
)
@pytest.mark.parametrize("key", ["name", "queue"])
def test_bad_names(key: str, name: str) -> None:
    lines = {"name": "'n'", "objective": "'m:f'", "trials": "1"} | {key: f'"{name}"'}
    message = refusal("\n".join(f"{left} = {right}" for left, right in lines.items()))
    assert f"s.toml: {key}: " in message
    assert "1 to 128 of the characters" in message


@pytest.mark.parametrize("name", ["a", "0", "x" * 128, "a.b-c_D", "1.0"])
def test_good_names(name: str) -> None:
    assert made(base=f'name = "{name}"\nobjective = "m:f"\ntrials = 1\nqueue = "{name}"\n').name == name


@pytest.mark.parametrize(
    ("reference", "piece"),
    [
        ("", "cannot be ''"),
        ("m", "cannot be 'm'"),
        ("m:", "cannot be 'm:'"),
        (":f", "cannot be ':f'"),
        ("a:b:c", "cannot be 'a:b:c'"),
        ("a b:c", "cannot be 'a b:c'"),
        ("1a:c", "cannot be '1a:c'"),
        ("a..b:c", "cannot be 'a..b:c'"),
        ("class:c", "cannot be 'class:c'"),
        ("a.b.c", "perhaps 'a.b:c'"),
        ("a/b.py:f", "perhaps 'a.b:f'"),
        ("./b.py:f", "perhaps 'b:f'"),
        ("😀:f", "cannot be '😀:f'"),
        ("m:f\\n", "cannot be"),
        ("m:f\\u0000", "cannot be"),
        ("x" * 600 + ":f", "has 602 characters"),
    ],
)
def test_bad_references(reference: str, piece: str) -> None:
    message = refusal(f'name = "a"\nobjective = "{reference}"\ntrials = 1\n')
    assert message.startswith("s.toml: objective: ")
    assert piece in message


@pytest.mark.parametrize("key", ["name", "objective", "trials"])
def test_required_keys(key: str) -> None:
    lines = [line for line in BASE.splitlines() if not line.startswith(key)]
    assert refusal("\n".join(lines)) == f"s.toml: {key}: required key missing"


def test_a_misspelt_required_key_is_not_called_missing() -> None:
    assert "objectiv: unknown key; did you mean 'objective'?" in refusal(BASE.replace("objective", "objectiv"))


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", ("s.toml: is empty", "name, objective and trials")),
        ("  \n\t", ("s.toml: is empty",)),
        ("# only words\n", ("s.toml: has no keys",)),
        ("name = ", ("s.toml: ", "not valid TOML")),
        ('name = "a"\n\nx y\n', ("s.toml: line 3, column 3: not valid TOML",)),
        ('name = "a"\nname = "b"\n', ("s.toml: line 2, column 11", "may stand only once")),
        ("[args]\n[args]\n", ("s.toml: line 2, column 6", "may stand only once")),
        ("name = digits\n", ("s.toml: line 1, column 8", "text must be in quotes")),
        ('name = "a', ("s.toml: end of document",)),
        ("x = " + "[" * 5000, ("s.toml: is nested too deeply",)),
    ],
)
def test_broken_toml(text: str, pieces: tuple[str, ...]) -> None:
    message = refusal(text)
    for piece in pieces:
        assert piece in message


def test_files(tmp_path: Path) -> None:
    good = tmp_path / "good.toml"
    good.write_text(FULL, encoding="utf-8")
    assert load(good) == parse(FULL, "other")
    good.write_bytes(b"\xef\xbb\xbf" + FULL.encode())
    assert load(good) == parse(FULL, "other")
    bad = tmp_path / "bad.toml"
    cases: dict[bytes, str] = {
        b"": f"{bad}: is empty",
        b"name = 'a'\nx = '\xff'": f"{bad}: line 2: is not UTF-8: byte 0xff",
        BASE.encode("utf-16"): f"{bad}: line 1: is not UTF-8",
        b"#" * (LARGEST_FILE + 1): f"{bad}: is larger than {LARGEST_FILE} bytes",
        b"trails = 1": f"{bad}: trails: unknown key",
    }
    for content, start in cases.items():
        bad.write_bytes(content)
        with pytest.raises(BadInput) as caught:
            load(bad)
        assert str(caught.value).startswith(start)
    for path, piece in {
        tmp_path / "none.toml": f"{tmp_path}/none.toml: there is no such file",
        tmp_path: f"{tmp_path}: is a directory",
        good / "x": "cannot be read",
        Path("a\0b"): "cannot be read",
        Path("a\nb" + "x" * 5000): "cannot be read",
        Path("/dev/zero"): "is larger than",
    }.items():
        with pytest.raises(BadInput) as caught:
            load(path)
        assert piece in str(caught.value)
        assert len(str(caught.value)) < 1000


def test_a_file_of_just_the_largest_size_is_read(tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    file.write_text(BASE + "#" * (LARGEST_FILE - len(BASE)))
    assert load(file).name == "a"


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
        ({"format": 2}, "another format"),
        ({"format": True}, "another format"),
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


def test_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        made().__setattr__("trials", 4)


FREE = """
parallel = 2
max_steps = 9
lookahead = 3
seed = 4
queue = "q"
catch = ["X"]
grace = 2
[sampler]
name = "random"
[pruner]
name = "median"
[retry]
max_attempts = 1
"""
PARAMETER = "[space]\nx = { type = 'float', low = 0, high = 1 }\n"


@pytest.mark.parametrize(
    ("old", "new", "phrases"),
    [
        ("", "", []),
        ("", "direction = 'maximize'", ["direction was 'minimize' and is 'maximize'"]),
        ("[args]\nx = 1", "[args]\nx = 2", ["args.x was 1 and is 2"]),
        ("[args]\nx = 1", "[args]\nx = 1.0", ["args.x was 1 and is 1.0"]),
        ("[args]\nx = 1", "[args]\nx = true", ["args.x was 1 and is true"]),
        ("[args]\nx = 1", "", ["args.x was 1 and is not set"]),
        ("", "[args]\nx = 'a'", ["args.x was not set and is 'a'"]),
        ("[args]\nx = { y = 1, z = 2 }", "[args]\nx = { z = 2, y = 3 }", ["args.x.y was 1 and is 3"]),
        ("[args]\nx = 1\ny = 2", "[args]\ny = 2\nx = 1", []),
        ("", PARAMETER, ["space.x was not there and is new"]),
        (PARAMETER, "", ["space.x was there and is gone"]),
        (PARAMETER, PARAMETER.replace("1 }", "2 }"), ["space.x.high was 1.0 and is 2.0"]),
        (PARAMETER, PARAMETER.replace("1 }", "1.0 }"), []),
        (PARAMETER, PARAMETER.replace("1 }", "1, step = 1 }"), ["space.x.step was not set and is 1.0"]),
        (PARAMETER, PARAMETER.replace("float", "int"), ["space.x.type was 'float' and is 'int'"]),
        (
            "[space]\nx = { type = 'categorical', choices = [1, 2] }",
            "[space]\nx = { type = 'categorical', choices = [2, 1] }",
            ["space.x.choices was [1, 2] and is [2, 1]"],
        ),
        (
            "",
            FREE,
            [],
        ),
    ],
)
def test_differences(old: str, new: str, phrases: list[str]) -> None:
    assert differences(made(old), made(new)) == phrases


def test_another_objective_is_another_search_and_more_trials_are_not() -> None:
    other = made(base='name = "b"\nobjective = "m:g"\ntrials = 99\n')
    assert differences(made(), other) == ["objective was 'm:f' and is 'm:g'"]


# -- samplers

SAMPLERS = {
    "tpe": ("", "TPESampler"),
    "random": ("", "RandomSampler"),
    "grid": ("", "GridSampler"),
    "gp": ("deterministic_objective = true", "GPSampler"),
    "qmc": ("qmc_type = 'halton'\nscramble = true", "QMCSampler"),
    "nsgaii": ("population_size = 10", "NSGAIISampler"),
}
SMALL = """[space]
x = { type = "int", low = 1, high = 10, step = 3 }
y = { type = "float", low = 0, high = 0.3, step = 0.1 }
"""


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("seed", [None, 3])
def test_samplers_are_built_without_a_warning(name: str, seed: int | None) -> None:
    arguments, kind = SAMPLERS[name]
    spec = made(f"[sampler]\nname = '{name}'\n{arguments}\n{SMALL}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sampler = build_sampler(spec, seed)
        check_sampler(spec)
    assert type(sampler).__name__ == kind


def test_ageing_and_experimental_arguments_are_quiet() -> None:
    build_sampler(made("[sampler]\ngroup = true\nprior_weight = 2\nmultivariate = true"), 1)


def drawn(spec: Spec, seed: int, count: int, tell: bool = True) -> list[dict[str, Any]]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=build_sampler(spec, seed))
    trials: list[dict[str, Any]] = []
    for _ in range(count):
        # A new sampler for each trial, as for a search that repeats exactly.
        study.sampler = build_sampler(spec, seed + len(trials))
        trial = study.ask(spec.distributions())
        trials.append(trial.params)
        if tell:
            study.tell(trial, 1.0)
    return trials


@pytest.mark.parametrize("name", ["tpe", "random", "nsgaii"])
def test_the_seed_decides(name: str) -> None:
    spec = made(f"[sampler]\nname = '{name}'\n[space]\nx = {{ type = 'float', low = 0, high = 1 }}\n")
    assert drawn(spec, 1, 3) == drawn(spec, 1, 3)
    assert drawn(spec, 1, 3) != drawn(spec, 9, 3)


def test_grid_visits_every_cell_once_whatever_the_seeds() -> None:
    trials = drawn(made(f"[sampler]\nname = 'grid'\n{SMALL}"), 5, 16, tell=False)
    expected = {(x, y) for x in (1, 4, 7, 10) for y in (0.0, 0.1, 0.2, 0.3)}
    assert {(trial["x"], trial["y"]) for trial in trials} == expected


def test_qmc_is_one_sequence_whatever_the_seeds() -> None:
    spec = made("seed = 3\n[sampler]\nname = 'qmc'\nscramble = true\n" + PARAMETER)
    values = [trial["x"] for trial in drawn(spec, 5, 9)][1:]
    # Of a scrambled Sobol sequence, each eighth of the range gets exactly one of the first eight points.
    assert sorted(int(value * 8) for value in values) == list(range(8))


@pytest.mark.parametrize(
    ("table", "pieces"),
    [
        ("n_statup_trials = 3", ("sampler.n_statup_trials: 'tpe' has no such", "'n_startup_trials'?")),
        ("'a b' = 3", ("sampler.'a b': 'tpe' has no such",)),
        ("n_startup_trials = true", ("sampler.n_startup_trials: is a boolean", "an integer")),
        ("n_startup_trials = '3'", ("sampler.n_startup_trials: is a string ('3')", "an integer")),
        ("n_startup_trials = 1.0", ("sampler.n_startup_trials: is a float (1.0)", "an integer")),
        ("n_startup_trials = -1", ("sampler.n_startup_trials: is -1", "from 0")),
        ("n_ei_candidates = 0", ("sampler.n_ei_candidates: is 0", "from 1")),
        ("group = 1", ("sampler.group: is an integer (1)", "true or false")),
        ("gamma = 1", ("sampler.gamma: takes a Python object",)),
        ("constraints_func = 'x'", ("sampler.constraints_func: takes a Python object",)),
        ("group = true\nmultivariate = false", ("sampler: Optuna refuses", "'tpe'")),
        ("name = 'random'\nx = 1", ("sampler.x: 'random' has no such argument; it takes none",)),
        ("name = 'nsgaii'\npopulation_size = 1", ("sampler.population_size: is 1", "from 2")),
        ("name = 'nsgaii'\nmutation = 'x'", ("sampler.mutation: takes a Python object",)),
        ("name = 'qmc'\nqmc_type = 'sobl'", ("sampler: Optuna refuses", "sobol")),
        (f"name = 'grid'\nsearch_space = 1\n{SMALL}", ("sampler.search_space", "[space]")),
        (
            "name = 'grid'\n[space]\nx = { type = 'int', low = 0, high = 9000000000 }",
            ("space.x: makes more than 100000 combinations",),
        ),
        (
            "name = 'grid'\n[space]\nx = { type = 'float', low = 0, high = 1, step = 1e-9 }",
            ("space.x: makes more than 100000 combinations",),
        ),
    ],
)
def test_refused_by_the_samplers(table: str, pieces: tuple[str, ...]) -> None:
    spec = made(f"[sampler]\n{table}\n")
    with pytest.raises(BadInput) as caught:
        check_sampler(spec, "s.toml")
    message = str(caught.value)
    assert message.startswith("s.toml: ")
    for piece in pieces:
        assert piece in message


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(BadInput) as caught:
        check_sampler(made("[sampler]\nname = 'cmaes'"))
    assert str(caught.value) == "sampler.name: 'cmaes' needs what is not installed: cmaes; pip install cmaes"


def test_cmaes_arguments_without_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: object())
    with pytest.raises(BadInput, match="restart_strategy: has no effect"):
        check_sampler(made("[sampler]\nname = 'cmaes'\nrestart_strategy = 'ipop'"))
    sampler = build_sampler(made("[sampler]\nname = 'cmaes'\nsigma0 = 1\nx0 = { x = 0.5 }\n"), 1)
    assert type(sampler).__name__ == "CmaEsSampler"


def test_a_range_that_is_no_multiple_of_its_step_is_lowered_in_silence() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spec = made("[space]\nx = { type = 'int', low = 0, high = 10, step = 3 }")
        assert spec.distributions() == {"x": optuna.distributions.IntDistribution(0, 9, step=3)}


def test_importing_is_light() -> None:
    """No heavy package comes in with the spec."""
    code = (
        "import sys, orchestrator.spec, orchestrator.spec.samplers, orchestrator.settings\n"
        "import orchestrator.objective_check\n"
        "print(sorted({'optuna', 'torch', 'celery', 'numpy', 'sqlalchemy', 'redis'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- anything at all

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
    st.sampled_from([*Spec.model_fields, *Spec.planned, "zzz"]),
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


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"x = 0x" + b"f" * 6000)
@example(b"\xed\xa0\x80")
@example(b"\0")
def test_any_file_is_a_spec_or_bad_input(tmp_path_factory: pytest.TempPathFactory, tail: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / f"fuzz-{os.getpid()}.toml"
    for content in (tail, BASE.encode() + tail):
        file.write_bytes(content)
        try:
            name = load(file).name
        except BadInput as error:
            message = str(error)
            assert message.startswith(f"{file}: ")
        else:
            assert tomllib.loads(content.decode("utf-8-sig"))["name"] == name


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


ARGUMENTS = st.dictionaries(
    st.sampled_from(
        [
            "n_startup_trials",
            "n_ei_candidates",
            "group",
            "multivariate",
            "prior_weight",
            "population_size",
            "crossover_prob",
            "mutation_prob",
            "swapping_prob",
            "qmc_type",
            "scramble",
            "x0",
            "popsize",
            "deterministic_objective",
            "gamma",
            "avoid_premature_stop",
            "independent_sampler",
            "search_space",
            "unknown",
        ]
    ),
    st.booleans() | st.integers(-1, 100) | FLOATS | st.text(max_size=3) | st.just([1]) | st.just({"x": 1.0}),
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([*SAMPLERS, "cmaes"]), ARGUMENTS)
def test_any_arguments_make_a_sampler_or_bad_input(name: str, arguments: dict[str, Any]) -> None:
    small = made(SMALL).to_json()
    try:
        spec = Spec.from_json(small | {"sampler": {"name": name, **arguments}})
        sampler = build_sampler(spec, 1)
    except BadInput as error:
        where = error.where
        assert "sampler" in where
    else:
        assert isinstance(sampler, optuna.samplers.BaseSampler)
