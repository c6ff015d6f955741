"""Rules built from the arguments that a spec gives, and how those that do not fit are refused."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest

from orchestrator.common.errors import BadInput
from orchestrator.common.faults import Fault
from orchestrator.pruning import registry
from orchestrator.pruning.promotion import PromotionRule
from tests.unit.pruning.built_rules import build
from tests.unit.pruning.optuna_side import _PRUNERS


def refused(name: str, **arguments: Any) -> str:
    with pytest.raises(Fault) as caught:
        build(name, arguments, "minimize")
    return str(caught.value.blame("pruner"))


def test_every_rule_is_known_by_name() -> None:
    assert set(registry.names()) >= {
        "asha",
        "hyperband",
        "index",
        "median",
        "none",
        "patient",
        "percentile",
        "threshold",
    }
    needed: dict[str, dict[str, Any]] = {
        "percentile": {"percentile": 25},
        "threshold": {"upper": 1},
        "patient": {"patience": 1},
    }
    for name in registry.names():
        assert build(name, needed.get(name, {}), "maximize", max_steps=9).name == name


@pytest.mark.parametrize("name", sorted(_PRUNERS))
def test_arguments_are_those_of_optunas_pruner(name: str) -> None:
    theirs = inspect.signature(_PRUNERS[name].__init__).parameters
    given = {"percentile": 25.0, "upper": 1.0}
    arguments = {
        key: given.get(key, parameter.default)
        for key, parameter in theirs.items()
        if key != "self"
        and parameter.kind is not parameter.VAR_POSITIONAL
        and parameter.kind is not parameter.VAR_KEYWORD
    }
    build(name, arguments, "minimize")


def test_unknown_names_are_answered_with_the_nearest() -> None:
    assert refused("medain") == "pruner: name: there is no 'medain'; did you mean 'median'?"
    assert "did you mean 'n_warmup_steps'?" in refused("median", n_warmup_step=3)
    assert "unknown key" in refused("none", patience=3)


def test_what_is_needed_is_asked_for() -> None:
    assert refused("percentile") == "pruner: percentile: required key missing"
    assert refused("patient") == "pruner: patience: required key missing"
    assert "one of them is needed" in refused("threshold")


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("median", {"n_startup_trials": -1}),
        ("median", {"n_warmup_steps": -1}),
        ("median", {"interval_steps": 0}),
        ("median", {"n_min_trials": 0}),
        ("median", {"n_min_trials": True}),
        ("median", {"n_min_trials": 1.0}),
        ("percentile", {"percentile": 101}),
        ("percentile", {"percentile": math.nan}),
        ("percentile", {"percentile": "25"}),
        ("percentile", {"percentile": True}),
        ("asha", {"min_resource": 0}),
        ("asha", {"min_resource": 1.5}),
        ("asha", {"min_resource": "automatic"}),
        ("asha", {"reduction_factor": 1}),
        ("asha", {"min_early_stopping_rate": -1}),
        ("asha", {"min_resource": 1, "bootstrap_count": -1}),
        ("asha", {"bootstrap_count": 1}),
        ("hyperband", {"min_resource": "auto"}),
        ("hyperband", {"min_resource": 9, "max_resource": 8}),
        ("hyperband", {"bootstrap_count": 1}),
        ("threshold", {"lower": 2, "upper": 1}),
        ("threshold", {"lower": math.nan}),
        ("patient", {"patience": -1}),
        ("patient", {"patience": 1, "min_delta": -1}),
        ("patient", {"patience": 1, "wrapped": 3}),
        ("patient", {"patience": 1, "wrapped": {"n_warmup_steps": 3}}),
        ("patient", {"patience": 1, "wrapped": {"name": "median", "patience": 3}}),
    ],
)
def test_values_out_of_bounds_are_refused(name: str, arguments: dict[str, Any]) -> None:
    key = next(key for key in reversed(arguments) if key != "max_resource")
    assert refused(name, **arguments).startswith(f"pruner: {'lower' if name == 'threshold' else key}")


def test_a_rule_inside_is_a_table_too() -> None:
    build("patient", {"patience": 1, "wrapped": {"name": "percentile", "percentile": 10}}, "minimize")
    assert refused("patient", patience=1, wrapped={"name": "median", "n_min_trials": 0}).startswith(
        "pruner: wrapped.n_min_trials: is 0"
    )


def promoting(mode: str = "promotion", *, max_steps: int | None = 27, trials: int = 9, **arguments: Any) -> Any:
    return build("asha", {"mode": mode} | arguments, "maximize", max_steps=max_steps, trials=trials)


def test_asha_promotes_when_it_is_told_to() -> None:
    rule = promoting(reduction_factor=3)
    assert isinstance(rule, PromotionRule)
    assert (rule.rungs, rule.table) == ((1, 3, 9, 27), None)
    assert promoting("sync", min_resource=3, min_early_stopping_rate=1, reduction_factor=3).rungs == (9, 27)
    assert promoting("sync").table == 9
    assert not isinstance(build("asha", {"mode": "stopping"}, "minimize"), PromotionRule)


@pytest.mark.parametrize(
    ("mode", "arguments", "message"),
    [
        ("stoping", {}, "pruner: mode: is 'stoping'; did you mean 'stopping'?"),
        ("sync", {"min_resource": "auto"}, "pruner: min_resource: is 'auto', which is learned from completed trials"),
        ("sync", {"bootstrap_count": 1}, "pruner: bootstrap_count: is 1, which has no meaning in mode 'sync'"),
    ],
)
def test_what_cannot_be_promoted_is_refused(mode: str, arguments: dict[str, Any], message: str) -> None:
    assert refused("asha", mode=mode, **arguments).startswith(message)


@pytest.mark.parametrize(("max_steps", "why"), [(None, "needs max_steps"), (9, "with rungs at 9 and 36 no trial")])
def test_rungs_that_the_spec_would_refuse_are_a_mistake_of_the_caller(max_steps: int | None, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        promoting(min_resource=9, max_steps=max_steps)


def test_what_promotes_cannot_be_held_back() -> None:
    message = refused("patient", patience=1, wrapped={"name": "asha", "mode": "promotion"})
    assert message.startswith("pruner: wrapped.mode: pauses trials")


def test_pruners_of_optunas_kind_are_known_too() -> None:
    assert build("wilcoxon", {"p_threshold": 0.5}, "minimize").name == "wilcoxon"
    with pytest.raises(BadInput, match=r"pruner\.p: 'wilcoxon' has no such argument"):
        build("wilcoxon", {"p": 1}, "minimize")
    with pytest.raises(BadInput, match=r"pruner\.name: there is no module 'no_such_module'"):
        build("no_such_module:X", {}, "minimize")
