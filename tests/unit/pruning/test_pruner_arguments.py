"""What a spec may say of its pruner, and how it is told what is wrong."""

from __future__ import annotations

import inspect
import math
from typing import Any

import pytest

from orchestrator.common.errors import BadInput
from orchestrator.pruning.promotion import PromotionRule
from orchestrator.sampling.rules import NAMES, build
from tests.unit.pruning.optuna_side import _PRUNERS


def refused(name: str, **arguments: Any) -> str:
    with pytest.raises(BadInput) as caught:
        build(name, arguments, "minimize", study_name="s")
    return str(caught.value)


def test_every_rule_is_known_by_name() -> None:
    assert set(NAMES) == {"asha", "hyperband", "median", "none", "patient", "percentile", "threshold"}
    needed: dict[str, dict[str, Any]] = {
        "percentile": {"percentile": 25},
        "threshold": {"upper": 1},
        "patient": {"patience": 1},
    }
    for name in NAMES:
        assert build(name, needed.get(name, {}), "maximize", study_name="s").name == name


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
    build(name, arguments, "minimize", study_name="s")


def test_unknown_names_are_answered_with_the_nearest() -> None:
    assert refused("medain") == "pruner.name: there is no rule 'medain'; did you mean 'median'?"
    assert "did you mean 'n_warmup_steps'?" in refused("median", n_warmup_step=3)
    assert "it takes none" in refused("none", patience=3)


def test_what_is_needed_is_asked_for() -> None:
    assert refused("percentile") == "pruner.percentile: required key missing; the rule 'percentile' needs it"
    assert refused("patient") == "pruner.patience: required key missing; the rule 'patient' needs it"
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
    assert refused(name, **arguments).startswith("pruner.")


def test_a_rule_inside_may_be_given_by_name_or_as_a_table() -> None:
    build("patient", {"patience": 1, "wrapped": "median"}, "minimize")
    build("patient", {"patience": 1, "wrapped": {"name": "percentile", "percentile": 10}}, "minimize")


def promoting(mode: str = "promotion", *, max_steps: int | None = 27, trials: int | None = 9, **arguments: Any) -> Any:
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
        ("stoping", {}, "pruner.mode: is 'stoping'; did you mean 'stopping'?"),
        ("promotion", {"max_steps": None}, "pruner.mode: is 'promotion', which needs max_steps: the rungs end there"),
        ("sync", {"min_resource": "auto"}, "pruner.min_resource: is 'auto'; it must be an integer of at least 1"),
        ("sync", {"bootstrap_count": 1}, "pruner.bootstrap_count: is 1, which has no meaning in mode 'sync'"),
        ("promotion", {"min_resource": 9}, "pruner.min_resource: is too large: with rungs at 9 and 36 nobody"),
        ("promotion", {"restart": True}, "pruner.restart: is no argument of the rule 'asha'"),
    ],
)
def test_what_cannot_be_promoted_is_refused(mode: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        promoting(mode, **arguments)
    assert str(caught.value).startswith(message)


def test_a_table_without_a_size_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="known size"):
        promoting("sync", trials=None)


def test_what_promotes_cannot_be_held_back() -> None:
    with pytest.raises(BadInput, match=r"pruner\.wrapped: pauses trials"):
        build("patient", {"patience": 1, "wrapped": {"name": "asha", "mode": "promotion"}}, "minimize", max_steps=9)


def test_pruners_of_optunas_kind_are_known_too() -> None:
    assert build("wilcoxon", {"p_threshold": 0.5}, "minimize").name == "wilcoxon"
    assert "pruner.p: 'wilcoxon' has no such argument" in refused("wilcoxon", p=1)
    assert "pruner.name: there is no module 'no_such_module'" in refused("no_such_module:X")
