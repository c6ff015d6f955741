"""The keys of a spec: what is taken, and in which words the rest is refused."""

from __future__ import annotations

import subprocess
import sys

import optuna
import pytest
from spec_text import BASE, FULL, HUGE_HEX, check_refused, keys_of, made, refusal

from orchestrator.pruning.registry import DEFAULT
from orchestrator.spec import Spec, parse


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
    assert keys_of(spec.pruner) == {
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
    assert (spec.direction, spec.max_steps, spec.parallel, spec.lookahead) == ("minimize", None, None, "auto")
    assert (spec.timeout, spec.target, spec.patience, spec.max_total_steps) == (None, None, None, None)
    assert (spec.seed, spec.queue, spec.priority, spec.catch, spec.grace) == (None, "trials", 5, (), 10.0)
    assert (spec.args, spec.space, spec.distributions()) == ({}, {}, {})
    assert (spec.sampler.name, spec.sampler.arguments()) == ("tpe", {})
    assert spec.pruner == DEFAULT
    assert (spec.shadow.name, spec.audit) == ("none", 0.0)
    assert spec.retry.max_attempts == 3
    assert made("[sampler]\nn_startup_trials = 1\n").sampler.name == "tpe"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("'90s'", 90), ("'1.5m'", 90), ("'2 h'", 7200), ("'1d'", 86400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert made(f"stall_timeout = {text}").stall_timeout == seconds


def test_limits() -> None:
    spec = made("timeout = '2h'\ntarget = 1\npatience = 20\nmax_total_steps = 800\n")
    assert (spec.timeout, spec.target, spec.patience, spec.max_total_steps) == (7200, 1.0, 20, 800)
    assert made("timeout = '2h'\nmax_total_steps = 800\ndirections = ['minimize', 'maximize']\n").timeout == 7200


def test_attempts_go_by_the_cause() -> None:
    retry = made("[retry]\nmax_attempts = 5\nout_of_memory = 1\nexception = 2\n").retry
    assert [retry.attempts(cause) for cause in ("died", "lost", "stalled")] == [5, 5, 5]
    assert [retry.attempts(cause) for cause in ("out_of_memory", "exception", "nan", "value")] == [1, 2, 1, 1]
    assert [retry.attempts(cause) for cause in ("import", "checkpoint", "revoked")] == [1, 1, 1]


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


GRID = '[sampler]\nname = "grid"\n[space]\n'


def test_one_direction_may_stand_alone_in_a_list() -> None:
    spec = made("directions = ['maximize']\n[pruner]\nname = 'median'")
    assert (spec.direction, spec.directions, spec.objectives) == ("maximize", (), ("maximize",))


def test_several_directions() -> None:
    spec = made("directions = ['maximize', 'minimize', 'maximize']")
    assert spec.objectives == ("maximize", "minimize", "maximize")
    stored = spec.to_json()
    assert "direction" not in stored
    assert Spec.from_json(stored) == spec


# What is refused: the text after the required keys, and pieces of the message in their order.
REFUSED: list[tuple[str, tuple[str, ...]]] = [
    # keys
    ("trails = 3", ("trails: unknown key", "did you mean 'trials'?")),
    ("n_trials = 3", ("n_trials: unknown key", "did you mean 'trials'?")),
    ("zzz = 3", ("zzz: unknown key", "known: args, audit, catch")),
    ('"a b\\n\\u0000" = 3', ("'a b\\n\\x00': unknown key",)),
    (f'"{"k" * 9000}" = 3', ("…': unknown key",)),
    ("[pruner]\nname = 'median'\nn_warmup_step = 3", ("pruner.n_warmup_step: unknown", "'n_warmup_steps'?")),
    ("[pruner]\nname = 'none'\nx = 3", ("pruner.x: unknown key",)),
    ("[retry]\nmax_atempts = 3", ("retry.max_atempts: unknown key", "'max_attempts'?")),
    ("priority = 10", ("priority: is 10", "at most 9")),
    ("priority = -1", ("priority: is -1", "at least 0")),
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
    ("audit = 1", ("audit: is 1", "below 1")),
    ("audit = 1.5", ("audit: is 1.5", "below 1")),
    ("audit = -0.1", ("audit: is -0.1", "at least 0")),
    ("audit = nan", ("audit: is nan", "finite")),
    ("audit = true", ("audit: is a boolean (true)", "must be a number")),
    ("[retry]\nmax_attempts = 0", ("retry.max_attempts: is 0", "at least 1")),
    ("[retry]\nexeption = 2", ("retry.exeption: unknown key", "'exception'?")),
    ("stall_timeout = 0", ("stall_timeout: is 0", "above 0")),
    ("stall_timeout = '10 minutes'", ("stall_timeout: cannot be '10 minutes'", '"10m"')),
    ("stall_timeout = '31d'", ("stall_timeout: is", "at most 2592000")),
    ("timeout = '2 hours'", ("timeout: cannot be '2 hours'", '"10m"')),
    ("target = nan", ("target: is nan", "must be finite")),
    ("target = 'high'", ("target: is a string ('high')", "must be a number")),
    ("patience = 0", ("patience: is 0", "at least 1")),
    ("max_total_steps = 0", ("max_total_steps: is 0", "at least 1")),
    *[
        (
            f"{limit}\ndirections = ['minimize', 'maximize']",
            (f"{limit.split()[0]}: looks at the best trial", "several objectives", "timeout and max_total_steps"),
        )
        for limit in ("target = 0.9", "patience = 3")
    ],
    ("stall_timeout = true", ("stall_timeout: is a boolean (true)", "must be a number")),
    # choices of words
    ("direction = 'maximise'", ("direction: is 'maximise'", "did you mean 'maximize'?")),
    ("direction = 3", ("direction: is an integer (3)", "minimize, maximize")),
    ("queue = 'a..b'", ("queue: cannot be 'a..b'",)),
    ("queue = 'unacked'", ("queue: cannot be 'unacked'", "take another name")),
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
    ("[sampler]\nname = 'TPESampler'", ("sampler.name: there is no 'TPESampler'", "here it is called 'tpe'")),
    ("[sampler]\nname = 'cma-es'", ("sampler.name: there is no 'cma-es'", "here it is called 'cmaes'")),
    ("[sampler]\nname = 'zzz'", ("sampler.name: there is no 'zzz'", "known: brute_force", "or 'module:Class'")),
    ("[sampler]\nname = 'a.b'", ("sampler.name: has no ':' in 'a.b'", "perhaps 'a:b'")),
    ("[sampler]\nname = 'a b:C'", ("sampler.name: ", "module:Class")),
    # several objectives
    ("keep_models = 0", ("keep_models: is 0", "at least 1")),
    (
        "keep_models = 3\ndirections = ['minimize', 'maximize']",
        ("keep_models: keeps the models of the best trials", "several objectives", "take it out"),
    ),
    ("directions = []", ("directions: is empty", "one for each value")),
    ("directions = ['minimize']\ndirection = 'minimize'", ("directions: stands beside 'direction'", "one of them")),
    ("directions = ['minimize', 'up']", ("directions[1]: is 'up'", "minimize")),
    ("directions = 'minimize'", ("directions: is a string", "must be an array")),
    (
        "directions = ['minimize', 'maximize']\n[sampler]\nname = 'cmaes'",
        ("sampler.name: 'cmaes' takes one objective", "nsgaii"),
    ),
    ("[sampler]\nseed = 3", ("sampler.seed: stands in the wrong table", "write seed = ")),
    ("[sampler]\nx = 2024-05-01", ("sampler.x: is a date",)),
    ("[sampler]\nname = 'grid'", ("sampler.name: 'grid' needs a table [space]",)),
    (f"{GRID}x = {{ type = 'float', low = 0, high = 1 }}", ("space.x: has no step, and 'grid'",)),
]


@pytest.mark.parametrize(("extra", "pieces"), REFUSED, ids=[extra[:60] for extra, _ in REFUSED])
def test_refused(extra: str, pieces: tuple[str, ...]) -> None:
    check_refused(extra, pieces)


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
    remedy = "; name a function as 'module:function', or give a table [command]" if key == "objective" else ""
    assert refusal("\n".join(lines)) == f"s.toml: {key}: required key missing{remedy}"


def test_a_misspelt_required_key_is_not_called_missing() -> None:
    assert "objectiv: unknown key; did you mean 'objective'?" in refusal(BASE.replace("objective", "objectiv"))


def test_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        made().__setattr__("trials", 4)


def test_importing_is_light() -> None:
    """No heavy package comes in with the spec."""
    code = (
        "import sys, orchestrator.spec.inline_pruner, orchestrator.spec.pruner_factory\n"
        "import orchestrator.spec.sampler_factory, orchestrator.common.settings, orchestrator.spec.objective_check\n"
        "print(sorted({'optuna', 'torch', 'celery', 'numpy', 'sqlalchemy', 'redis'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
