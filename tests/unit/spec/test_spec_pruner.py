"""[pruner] and [shadow]: what is taken, and in which words the rest is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import optuna
import pytest
from spec_text import check_refused, keys_of, made

from orchestrator.pruning import registry
from orchestrator.pruning.asha import AshaArguments
from orchestrator.sampling import rules
from orchestrator.spec import Spec

CHECKS = {"n_warmup_steps": 0, "interval_steps": 1}
ASHA = {
    "min_resource": "auto",
    "reduction_factor": 4,
    "min_early_stopping_rate": 0,
    "bootstrap_count": 0,
    "restart": False,
}
# Arguments at or near their bounds; optuna.pruners:… stands for a class of the user's.
PASSES = [
    "name = 'none'",
    "name = 'median'\nn_startup_trials = 0\nn_warmup_steps = 0\ninterval_steps = 1\nn_min_trials = 1",
    "name = 'percentile'\npercentile = 0",
    "name = 'percentile'\npercentile = 100.0",
    "name = 'asha'",
    "name = 'asha'\nmin_resource = 27\nbootstrap_count = 9\nreduction_factor = 2",
    "name = 'asha'\nmin_resource = 3\nmin_early_stopping_rate = 2\nreduction_factor = 3",
    "name = 'asha'\nmode = 'promotion'",
    "name = 'asha'\nmode = 'promotion'\nmin_resource = 3\nmin_early_stopping_rate = 1\nreduction_factor = 3",
    "name = 'asha'\nmode = 'sync'\nmin_resource = 9\nreduction_factor = 3\nrestart = true",
    "name = 'hyperband'",
    "name = 'hyperband'\nmin_resource = 27\nmax_resource = 27\nreduction_factor = 2\nbootstrap_count = 1",
    "name = 'threshold'\nlower = 0",
    "name = 'threshold'\nlower = 1\nupper = 1\nn_warmup_steps = 9\ninterval_steps = 9",
    "name = 'patient'\npatience = 0",
    "name = 'patient'\npatience = 9\nmin_delta = 0.0\n[pruner.wrapped]\nname = 'hyperband'",
    "name = 'patient'\npatience = 9\n[pruner.wrapped]\nname = 'wilcoxon'\nn_startup_steps = 0",
    "name = 'wilcoxon'\np_threshold = 1.0",
    "name = 'optuna.pruners:PercentilePruner'\npercentile = 10.0",
]
MEDIAN = {"n_startup_trials": 5, "n_min_trials": 1, **CHECKS}


@pytest.mark.parametrize(
    ("pruner", "arguments"),
    [
        ('name = "none"', {}),
        ('name = "percentile"\npercentile = 25', {"percentile": 25.0, **MEDIAN}),
        ('name = "asha"\nmode = "stopping"', {**ASHA, "mode": "stopping"}),
        (
            'name = "asha"\nmin_resource = 2\nbootstrap_count = 3\nreduction_factor = 2',
            {**ASHA, "min_resource": 2, "reduction_factor": 2, "bootstrap_count": 3, "mode": "stopping"},
        ),
        (
            'name = "hyperband"',
            {"min_resource": 1, "max_resource": "auto", "reduction_factor": 3, "bootstrap_count": 0},
        ),
        (
            'name = "hyperband"\nmin_resource = 2\nmax_resource = 9\nreduction_factor = 2\nbootstrap_count = 1',
            {"min_resource": 2, "max_resource": 9, "reduction_factor": 2, "bootstrap_count": 1},
        ),
        ('name = "threshold"\nupper = 3', {"lower": None, "upper": 3.0, **CHECKS}),
        (
            'name = "threshold"\nlower = -1\nupper = -1.0\nn_warmup_steps = 2\ninterval_steps = 3',
            {"lower": -1.0, "upper": -1.0, "n_warmup_steps": 2, "interval_steps": 3},
        ),
        ('name = "patient"\npatience = 0', {"patience": 0, "min_delta": 0.0, "wrapped": None}),
        (
            'name = "patient"\npatience = 3\nmin_delta = 0.5\n[pruner.wrapped]\nname = "median"',
            {"patience": 3, "min_delta": 0.5, "wrapped": {"name": "median", **MEDIAN}},
        ),
        (
            'name = "patient"\npatience = 3\nwrapped = { name = "asha" }',
            {"patience": 3, "min_delta": 0.0, "wrapped": {"name": "asha", **ASHA, "mode": "stopping"}},
        ),
        (
            'name = "patient"\npatience = 3\nwrapped = { name = "a.b:C", x = [1] }',
            {"patience": 3, "min_delta": 0.0, "wrapped": {"name": "a.b:C", "x": [1]}},
        ),
        ('name = "wilcoxon"', {}),
        ('name = "wilcoxon"\np_threshold = 0.2', {"p_threshold": 0.2}),
        ('name = "a.b:C.D"\nx = { y = [1, "z"] }', {"x": {"y": [1, "z"]}}),
    ],
)
def test_pruner_arguments_have_all_defaults(pruner: str, arguments: dict[str, Any]) -> None:
    assert keys_of(made(f"[pruner]\n{pruner}\n").pruner) == arguments


@pytest.mark.parametrize("mode", ["promotion", "sync"])
def test_a_promoting_asha_counts_from_one(mode: str) -> None:
    pruner = made(f"max_steps = 4\n[pruner]\nname = 'asha'\nmode = '{mode}'\nrestart = true").pruner
    assert keys_of(pruner) == {**ASHA, "min_resource": 1, "mode": mode, "restart": True}
    assert isinstance(pruner, AshaArguments)
    assert pruner.restart
    assert pruner.promotes


def test_other_rules_do_not_promote() -> None:
    assert not made("[pruner]\nname = 'asha'").pruner.promotes
    assert not made("[pruner]\nname = 'x:Y'").pruner.promotes
    assert not made().pruner.promotes


@pytest.mark.parametrize("table", PASSES)
def test_a_rule_is_built_from_what_the_spec_says(table: str) -> None:
    """The spec refuses whatever the rules refuse, and lets them decide about nothing."""
    spec = made(f"max_steps = 27\n[pruner]\n{table}")
    assert rules.of_spec(spec, spec.pruner).name == spec.pruner.name


@pytest.mark.parametrize("table", PASSES)
def test_every_table_is_stored_and_read_back(table: str) -> None:
    spec = made(f"max_steps = 27\n[pruner]\n{table}\n")
    stored = json.loads(json.dumps(spec.to_json()))
    assert Spec.from_json(stored) == spec
    assert Spec.from_json(stored).to_json() == spec.to_json()
    if not spec.pruner.promotes:
        assert made(f"max_steps = 27\n[shadow]\n{table.replace('pruner.', 'shadow.')}\n").shadow == spec.pruner


def test_a_spec_that_was_stored_without_shadow_and_audit_is_read() -> None:
    spec = made("[pruner]\nname = 'asha'")
    stored = spec.to_json()
    del stored["shadow"], stored["audit"], stored["pruner"]["restart"]
    assert Spec.from_json(stored) == spec


def test_shadow_and_audit_arrive() -> None:
    spec = made("audit = 0.25\n[pruner]\nname = 'median'\n[shadow]\nname = 'wilcoxon'\np_threshold = 0.5")
    assert spec.audit == 0.25
    assert (spec.shadow.name, keys_of(spec.shadow)) == ("wilcoxon", {"p_threshold": 0.5})
    assert made("audit = 0").audit == 0.0


def test_pruner_defaults_are_optunas() -> None:
    """Compared by what Optuna's pruners make of our arguments and of none."""
    makers: dict[str, tuple[Any, dict[str, Any]]] = {
        "median": (optuna.pruners.MedianPruner, {}),
        "percentile": (optuna.pruners.PercentilePruner, {"percentile": 25.0}),
        "asha": (optuna.pruners.SuccessiveHalvingPruner, {}),
        "hyperband": (optuna.pruners.HyperbandPruner, {}),
        "threshold": (optuna.pruners.ThresholdPruner, {"upper": 1.0}),
    }
    for name, (maker, needed) in makers.items():
        lines = "\n".join(f"{key} = {value}" for key, value in needed.items())
        arguments = keys_of(made(f'[pruner]\nname = "{name}"\n{lines}\n').pruner)
        for ours in ("mode", "restart"):
            arguments.pop(ours, None)
        assert vars(maker(**arguments)) == vars(maker(**needed))


def test_every_pruner_of_optuna_has_a_name() -> None:
    """A later Optuna may bring one that is neither a rule of ours nor known by name."""
    classes = {getattr(optuna.pruners, name) for name in optuna.pruners.__all__} - {optuna.pruners.BasePruner}
    names = {re.sub(r"(?<=[a-z])(?=[A-Z])", "_", each.__name__).lower().removesuffix("_pruner") for each in classes}
    ours = {"successive_halving": "asha", "nop": "none"}
    assert {ours.get(name, name) for name in names} <= set(registry.all_names())


# What is refused: the text after the required keys, and pieces of the message in their order.
REFUSED: list[tuple[str, tuple[str, ...]]] = [
    # pruner
    ("[pruner]\nn_warmup_steps = 3", ("pruner.name: required key missing", "median, percentile, asha, hyperband")),
    ("[pruner]\nname = 'asha'\neta = 3", ("pruner.eta: unknown key", "did you mean 'reduction_factor'?")),
    ("[pruner]\nname = 'medain'", ("pruner.name: there is no 'medain'", "did you mean 'median'?")),
    ("[pruner]\nname = []", ("pruner.name: is an array", "must be a string")),
    (
        "[pruner]\nname = 'zzz'",
        ("pruner.name: there is no 'zzz'", "known: asha, ", "hyperband, ", "wilcoxon, or 'module:Class'"),
    ),
    ("[pruner]\nname = ''", ("pruner.name: there is no ''", "known: asha", "'module:Class'")),
    ("[pruner]\nname = 'Median'", ("pruner.name: there is no 'Median'", "here it is called 'median'")),
    ("[pruner]\nname = 'MedianPruner'", ("pruner.name: there is no", "here it is called 'median'")),
    ("[pruner]\nname = 'wilcoxon_pruner'", ("pruner.name: there is no", "here it is called 'wilcoxon'")),
    ("[pruner]\nname = 'successive_halving'", ("pruner.name: there is no", "here it is called 'asha'")),
    ("[pruner]\nname = 'optuna.pruners.SuccessiveHalvingPruner'", ("pruner.name: there", "called 'asha'")),
    ("[pruner]\nname = 'nop'", ("pruner.name: there is no 'nop'", "here it is called 'none'")),
    ("[pruner]\nname = 'a.b.C'", ("pruner.name: has no ':'", "perhaps 'a.b:C'")),
    ("[pruner]\nname = 'a:b:c'", ("pruner.name: cannot be 'a:b:c'", "'module:Class', for example")),
    ("[pruner]\nname = 'a:'", ("pruner.name: cannot be 'a:'", "'module:Class', for example")),
    (f"[pruner]\nname = '{'x' * 9000}'", ("pruner.name: there is no 'xxx", "known: asha")),
    (f"[pruner]\nname = '{'x' * 600}:Y'", ("pruner.name: has 602 characters", "module:Class")),
    ("[pruner]\nname = 'x:Y'\ny = 2024-05-01", ("pruner.y: is a date",)),
    ("[pruner]\nname = 'x:Y'\ny = [1.0, nan]", ("pruner.y[1]: is nan", "finite")),
    # what is wrapped, and the shadow
    ("[pruner]\nname = 'patient'", ("pruner.patience: required key missing",)),
    ("[pruner]\nname = 'patient'\npatience = -1", ("pruner.patience: is -1", "at least 0")),
    ("[pruner]\nname = 'patient'\npatience = 1.0", ("pruner.patience: is a float", "integer")),
    ("[pruner]\nname = 'patient'\npatience = 1\nmin_delta = -0.5", ("pruner.min_delta: is -0.5", "at least 0")),
    ("[pruner]\nname = 'patient'\npatience = 1\nmin_delta = inf", ("pruner.min_delta: is inf", "finite")),
    ("[pruner]\nname = 'patient'\npatience = 1\nwraped = {}", ("pruner.wraped: unknown key", "'wrapped'?")),
    ("[pruner]\nname = 'patient'\npatience = 1\nwrapped = 'median'", ("pruner.wrapped: is a string", "a table")),
    ("[pruner]\nname = 'patient'\npatience = 1\nwrapped = {}", ("pruner.wrapped.name: required key missing",)),
    *[
        (f"[{key}]\nname = 'patient'\npatience = 1\n[{key}.wrapped]\n{wrapped}", (f"{key}.wrapped.{piece}",))
        for key in ("pruner", "shadow")
        for wrapped, piece in {
            "name = 'medain'": "name: there is no 'medain'; did you mean 'median'?",
            "name = 3": "name: is an integer (3)",
            "name = 'none'": "name: 'none' never stops a trial; leave 'wrapped' out",
            "name = 'patient'\npatience = 2": "name: 'patient' cannot stand inside itself",
            "name = 'index'\nmode = 'stopping'": "name: 'index' learns from every report",
            "name = 'a.b.C'": "name: has no ':'",
            "name = 'median'\nn_min_trials = 0": "n_min_trials: is 0",
            "name = 'median'\nmin_trials = 0": "min_trials: unknown key",
            "name = 'threshold'": "lower: is missing, and so is 'upper'",
            "name = 'x:Y'\nz = nan": "z: is nan",
            "name = 'asha'\nmode = 'promotion'": "mode: pauses trials, and a patient rule",
        }.items()
    ],
    *[
        (f"max_steps = 9\n[{key}]\nname = 'patient'\npatience = 1\n[{key}.wrapped]\n{wrapped}", (f"{key}.{piece}",))
        for key in ("pruner", "shadow")
        for wrapped, piece in {
            "name = 'asha'\nmin_resource = 10": "wrapped.min_resource: is 10, above max_steps",
            "name = 'asha'\nmode = 'sync'": "wrapped.mode: pauses trials",
        }.items()
    ],
    ("shadow = 'median'", ("shadow: is a string ('median')", "must be a table with the key 'name'")),
    ("shadow = {}", ("shadow.name: required key missing", "median, percentile")),
    ("[shadow]\nname = 'medain'", ("shadow.name: there is no 'medain'", "did you mean 'median'?")),
    ("[shadow]\nname = 'median'\nn_min_trials = 0", ("shadow.n_min_trials: is 0", "at least 1")),
    *[
        (
            f"max_steps = 9\n[shadow]\nname = 'asha'\nmode = '{mode}'",
            ("shadow.mode: pauses trials", "a shadow rule must be one that stops trials", "use 'stopping'"),
        )
        for mode in ("promotion", "sync")
    ],
    ("max_steps = 9\n[shadow]\nname = 'hyperband'\nmin_resource = 10", ("shadow.min_resource: is 10", "is 9")),
    # audit
    ("audit = 0.1\n[pruner]\nname = 'none'", ("audit: is 0.1, and with pruner 'none'", "choose a pruner that stops")),
    (
        "audit = 0.1\nmax_steps = 9\n[pruner]\nname = 'asha'\nmode = 'sync'",
        ("audit: is 0.1, and with mode 'sync'", "choose a pruner that stops"),
    ),
    # several objectives
    (
        "directions = ['minimize', 'maximize']\n[pruner]\nname = 'median'",
        ("pruner.name: is 'median', and a study with several objectives cannot prune", 'use name = "none"'),
    ),
    (
        "directions = ['minimize', 'maximize']\n[shadow]\nname = 'x:Y'",
        ("shadow.name: is 'x:Y', and a study with several objectives cannot prune", 'use name = "none"'),
    ),
    # bounds
    ("[pruner]\nname = 'threshold'", ("pruner.lower: is missing, and so is 'upper'", "one of them")),
    ("[pruner]\nname = 'threshold'\nlower = 2\nupper = 1", ("pruner.lower: is 2, above 'upper'", "at most")),
    ("[pruner]\nname = 'threshold'\nlower = nan", ("pruner.lower: is nan", "finite")),
    ("[pruner]\nname = 'threshold'\nupper = inf", ("pruner.upper: is inf", "finite")),
    ("[pruner]\nname = 'threshold'\nupper = 1\ninterval_steps = 0", ("pruner.interval_steps: is 0", "at least 1")),
    ("[pruner]\nname = 'hyperband'\nmin_resource = 'auto'", ("pruner.min_resource: is a string", "integer")),
    ("[pruner]\nname = 'hyperband'\nmin_resource = 0", ("pruner.min_resource: is 0", "at least 1")),
    ("[pruner]\nname = 'hyperband'\nmax_resource = 'max'", ("pruner.max_resource: is 'max'", "'auto' or an integer")),
    ("[pruner]\nname = 'hyperband'\nmax_resource = 2.5", ("pruner.max_resource: is a float",)),
    ("[pruner]\nname = 'hyperband'\nreduction_factor = 1", ("pruner.reduction_factor: is 1", "at least 2")),
    ("[pruner]\nname = 'hyperband'\nbootstrap_count = 1", ("pruner.bootstrap_count: is 1", "max_resource a number")),
    (
        "[pruner]\nname = 'hyperband'\nmin_resource = 9\nmax_resource = 8",
        ("pruner.min_resource: is 9, above max_resource, which is 8",),
    ),
    ("[pruner]\nname = 'hyperband'\nmin_early_stopping_rate = 1", ("pruner.min_early_stopping_rate: unknown key",)),
    ("max_steps = 9\n[pruner]\nname = 'hyperband'\nmin_resource = 10", ("pruner.min_resource: is 10", "is 9")),
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
    ("[pruner]\nname = 'asha'\nmode = 'stoping'", ("pruner.mode: is 'stoping'", "did you mean 'stopping'?")),
    ("[pruner]\nname = 'asha'\nmode = 3", ("pruner.mode: is an integer (3)", "stopping, promotion, sync")),
    ("[pruner]\nname = 'asha'\nrestart = true", ("pruner.restart: is true, but stopped trials never start again",)),
    ("[pruner]\nname = 'asha'\nrestart = 1", ("pruner.restart: is an integer (1)", "true or false")),
    *[
        (f"{steps}[pruner]\nname = 'asha'\nmode = '{mode}'\n{more}", (f"pruner.{piece}",))
        for mode in ("promotion", "sync")
        for steps, more, piece in (
            ("", "", f"mode: is '{mode}', which needs max_steps: the rungs end there; write max_steps = "),
            ("max_steps = 9\n", "min_resource = 'auto'", "min_resource: is 'auto', which is learned from completed"),
            ("max_steps = 9\n", "min_resource = 0", "min_resource: is 0"),
            ("max_steps = 9\n", "min_resource = 10", "min_resource: is 10, above max_steps"),
            ("max_steps = 9\n", "min_resource = 3", "min_resource: puts the first rungs at steps 3 and 12"),
            (
                "max_steps = 9\n",
                "min_early_stopping_rate = 2",
                "min_early_stopping_rate: puts the first rung at step",
            ),
            ("max_steps = 9\n", "bootstrap_count = 1", f"bootstrap_count: is 1, which has no meaning in mode '{mode}'"),
            ("max_steps = 9\n", "restrat = true", "restrat: unknown key; did you mean 'restart'?"),
        )
    ],
    ("max_steps = 9\n[pruner]\nname = 'asha'\nmin_resource = 10", ("pruner.min_resource: is 10", "is 9")),
    (
        "max_steps = 9\n[pruner]\nname = 'asha'\nmin_resource = 3\nmin_early_stopping_rate = 1",
        ("pruner.min_early_stopping_rate: puts the first rung at step 12", "is 9"),
    ),
]


@pytest.mark.parametrize(("extra", "pieces"), REFUSED, ids=[extra[:60] for extra, _ in REFUSED])
def test_refused(extra: str, pieces: tuple[str, ...]) -> None:
    check_refused(extra, pieces)
