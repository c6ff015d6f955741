"""Optuna's samplers, pruners and distributions as tables of a spec: all that a table can say, and nothing lost."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PatientPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
    ThresholdPruner,
    WilcoxonPruner,
)
from optuna.samplers import (
    BaseSampler,
    BruteForceSampler,
    CmaEsSampler,
    GPSampler,
    GridSampler,
    NSGAIIISampler,
    NSGAIISampler,
    PartialFixedSampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.samplers.nsgaii import SBXCrossover

from orchestrator import BadInput, Search
from orchestrator.spec.pruner_factory import build_pruner
from orchestrator.spec.sampler_factory import build_sampler

pytestmark = [
    pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
OBJECTIVE = "tasks.objectives.digits:objective"
SPACE: dict[str, Any] = {"x": {"type": "int", "low": 1, "high": 3}, "y": {"type": "categorical", "choices": ["a", "b"]}}


class OwnSampler(RandomSampler):
    pass


class OwnPruner(MedianPruner):
    pass


def search(**keys: Any) -> Search:
    return Search(OBJECTIVE, name="one", trials=3, **keys)


SAMPLERS: list[tuple[Callable[[], BaseSampler], dict[str, Any], int | None]] = [
    (lambda: TPESampler(), {"name": "tpe"}, None),
    (lambda: TPESampler(seed=1), {"name": "tpe"}, 1),
    (lambda: TPESampler(seed=0, n_startup_trials=3), {"name": "tpe", "n_startup_trials": 3}, 0),
    (lambda: TPESampler(seed=2**32 - 1), {"name": "tpe"}, 2**32 - 1),
    (
        lambda: TPESampler(multivariate=True, group=True, n_ei_candidates=7, constant_liar=False),
        {"name": "tpe", "multivariate": True, "group": True, "n_ei_candidates": 7, "constant_liar": False},
        None,
    ),
    (lambda: TPESampler(prior_weight=2.0), {"name": "tpe", "prior_weight": 2.0}, None),
    (lambda: TPESampler(n_startup_trials=10), {"name": "tpe"}, None),
    (lambda: RandomSampler(seed=5), {"name": "random"}, 5),
    (lambda: CmaEsSampler(seed=3, popsize=8, sigma0=0.5), {"name": "cmaes", "popsize": 8, "sigma0": 0.5}, 3),
    (lambda: CmaEsSampler(with_margin=True), {"name": "cmaes", "with_margin": True}, None),
    (lambda: GPSampler(seed=4, deterministic_objective=True), {"name": "gp", "deterministic_objective": True}, 4),
    (lambda: QMCSampler(seed=9, scramble=True), {"name": "qmc", "scramble": True}, 9),
    (lambda: QMCSampler(qmc_type="halton"), {"name": "qmc", "qmc_type": "halton"}, None),
    (lambda: NSGAIISampler(population_size=10, seed=6), {"name": "nsgaii", "population_size": 10}, 6),
    (lambda: NSGAIISampler(swapping_prob=0.25), {"name": "nsgaii", "swapping_prob": 0.25}, None),
    (lambda: NSGAIISampler(mutation_prob=0.1), {"name": "nsgaii", "mutation_prob": 0.1}, None),
    (lambda: NSGAIIISampler(dividing_parameter=4), {"name": "nsgaiii", "dividing_parameter": 4}, None),
    (
        lambda: BruteForceSampler(seed=1, avoid_premature_stop=True),
        {"name": "brute_force", "avoid_premature_stop": True},
        1,
    ),
    (lambda: GridSampler({"x": [1, 2, 3], "y": ["a", "b"]}), {"name": "grid"}, None),
    (lambda: GridSampler({"y": ["b", "a"], "x": np.arange(1, 4).tolist()}, seed=3), {"name": "grid"}, None),
]


@pytest.mark.parametrize(("make", "table", "seed"), SAMPLERS)
def test_a_sampler_is_the_table_that_says_the_same(
    make: Callable[[], BaseSampler], table: dict[str, Any], seed: int | None
) -> None:
    several: dict[str, Any] = {"directions": ["minimize", "minimize"]} if "nsga" in table["name"] else {}
    spec = search(sampler=make(), space=SPACE, **several).spec
    assert spec.sampler.model_dump() == table
    assert spec.seed == seed
    built = build_sampler(spec, spec.seed)
    assert isinstance(built, type(make()))


REFUSED_SAMPLERS: list[tuple[Callable[[], BaseSampler], str]] = [
    (lambda: TPESampler(gamma=lambda n: n), "'gamma' is a Python object"),
    (lambda: TPESampler(weights=lambda n: np.ones(n)), "'weights' is a Python object"),
    (lambda: TPESampler(constraints_func=lambda _: [0.0]), "'constraints_func' is a Python object"),
    (lambda: CmaEsSampler(independent_sampler=TPESampler()), "'independent_sampler' is a Python object"),
    (lambda: QMCSampler(independent_sampler=TPESampler()), "'independent_sampler' is a Python object"),
    (lambda: NSGAIISampler(crossover=SBXCrossover()), "'crossover, mutation or child"),
    (lambda: CmaEsSampler(independent_sampler=RandomSampler(seed=1)), "'independent_sampler' is a Python object"),
    (lambda: CmaEsSampler(seed=2, independent_sampler=RandomSampler(seed=1)), "'independent_sampler' is a Python"),
    (lambda: QMCSampler(independent_sampler=RandomSampler(seed=1)), "'independent_sampler' is a Python object"),
    (lambda: GPSampler(seed=2, independent_sampler=RandomSampler(seed=1)), "'independent_sampler' is a Python"),
    (lambda: NSGAIISampler(constraints_func=lambda _: [0.0]), "by trial.set_constraint"),
    (lambda: NSGAIIISampler(reference_points=np.eye(2)), "'reference_points or"),
    (lambda: PartialFixedSampler({"x": 1}, TPESampler()), "PartialFixedSampler, which no spec can hold"),
    (lambda: OwnSampler(), f'sampler={{"name": "{__name__}:OwnSampler"'),
    (lambda: GridSampler({"x": [1, 2], "y": ["a", "b"]}), "values are not those of space="),
    (lambda: GridSampler({"x": [1, 2, 3]}), "values are not those of space="),
]


@pytest.mark.parametrize(("make", "words"), REFUSED_SAMPLERS)
def test_a_sampler_that_no_table_can_say_is_refused_with_what_to_do(
    make: Callable[[], BaseSampler], words: str
) -> None:
    with pytest.raises(BadInput) as refused:
        search(sampler=make(), space=SPACE)
    assert words in str(refused.value)
    assert str(refused.value).startswith("Search: sampler: ")
    assert refused.value.remedy


WITHOUT_EFFECT = ("consider_prior", "inc_popsize", "restart_strategy", "warn_asynchronous_seeding")
"""Arguments that Optuna takes and does not keep."""

FUNCTIONS = [
    (name, argument)
    for name in optuna.samplers.__all__
    if name not in ("BaseSampler", "BaseGASampler", "PartialFixedSampler")
    and isinstance(getattr(optuna.samplers, name), type)
    for argument in inspect.signature(getattr(optuna.samplers, name)).parameters
    if argument not in ("search_space", *WITHOUT_EFFECT)
]


@pytest.mark.parametrize(("name", "argument"), FUNCTIONS)
def test_an_object_as_any_argument_is_refused_by_optuna_or_here(name: str, argument: str) -> None:
    cls = getattr(optuna.samplers, name)
    needed: dict[str, Any] = {"search_space": {"lr": [0.1]}} if name == "GridSampler" else {}
    try:
        sampler = cls(**needed, **{argument: lambda *_: [0.0]})
    except Exception:
        return
    with pytest.raises(BadInput) as refused:
        search(sampler=sampler, space={"lr": {"type": "categorical", "choices": [0.1]}})
    assert refused.value.remedy
    assert argument in str(refused.value)


def test_a_grid_without_a_space_is_shown_how_to_be_declared() -> None:
    with pytest.raises(BadInput) as refused:
        search(sampler=GridSampler({"lr": [0.1, 0.01], "n": [1, 2]}))
    declared = refused.value.remedy.removeprefix("say space=")
    assert (
        search(sampler=GridSampler({"lr": [0.1, 0.01], "n": [1, 2]}), space=eval(declared)).spec.sampler.name == "grid"
    )


def test_a_sampler_that_has_drawn_numbers_needs_a_seed() -> None:
    used = TPESampler(seed=1)
    used._rng.rng.rand()
    with pytest.raises(BadInput, match="has drawn numbers already"):
        search(sampler=used)


def test_two_different_seeds_are_refused_and_one_twice_is_not() -> None:
    assert search(sampler=TPESampler(seed=1), seed=1).spec.seed == 1
    with pytest.raises(BadInput, match=r"Search: seed: is 2, and the sampler has the seed 1; give one of them"):
        search(sampler=TPESampler(seed=1), seed=2)


PRUNERS: list[tuple[Callable[[], BasePruner], dict[str, Any]]] = [
    (lambda: NopPruner(), {"name": "none"}),
    (lambda: MedianPruner(), {"name": "median"}),
    (
        lambda: MedianPruner(n_startup_trials=2, n_warmup_steps=3, interval_steps=4, n_min_trials=5),
        {"name": "median", "n_startup_trials": 2, "n_warmup_steps": 3, "interval_steps": 4, "n_min_trials": 5},
    ),
    (lambda: PercentilePruner(25.0), {"name": "percentile", "percentile": 25.0}),
    (lambda: PercentilePruner(50.0), {"name": "percentile", "percentile": 50.0}),
    (lambda: SuccessiveHalvingPruner(), {"name": "asha"}),
    (
        lambda: SuccessiveHalvingPruner(
            min_resource=2, reduction_factor=3, min_early_stopping_rate=1, bootstrap_count=4
        ),
        {"name": "asha", "min_resource": 2, "reduction_factor": 3, "min_early_stopping_rate": 1, "bootstrap_count": 4},
    ),
    (lambda: HyperbandPruner(), {"name": "hyperband"}),
    (
        lambda: HyperbandPruner(min_resource=2, max_resource=9, reduction_factor=2),
        {"name": "hyperband", "min_resource": 2, "max_resource": 9, "reduction_factor": 2},
    ),
    (lambda: ThresholdPruner(upper=1.0), {"name": "threshold", "upper": 1.0}),
    (lambda: ThresholdPruner(lower=0.5, n_warmup_steps=2), {"name": "threshold", "lower": 0.5, "n_warmup_steps": 2}),
    (lambda: ThresholdPruner(lower=-1, upper=1), {"name": "threshold", "lower": -1.0, "upper": 1.0}),
    (lambda: WilcoxonPruner(p_threshold=0.2), {"name": "wilcoxon", "p_threshold": 0.2}),
    (lambda: PatientPruner(None, patience=3), {"name": "patient", "patience": 3}),
    (
        lambda: PatientPruner(MedianPruner(n_startup_trials=1), patience=2, min_delta=0.5),
        {"name": "patient", "patience": 2, "min_delta": 0.5, "wrapped": {"name": "median", "n_startup_trials": 1}},
    ),
]


@pytest.mark.parametrize("key", ["pruner", "shadow"])
@pytest.mark.parametrize(("make", "table"), PRUNERS)
def test_a_pruner_is_the_table_that_says_the_same(
    make: Callable[[], BasePruner], table: dict[str, Any], key: str
) -> None:
    rule = getattr(search(max_steps=27, **{key: make()}).spec, key)
    given = rule.model_dump(exclude_unset=True) | {"name": rule.name}
    if "wrapped" in given:
        given["wrapped"]["name"] = rule.wrapped.name
    assert given == table


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: OwnPruner(), f'pruner={{"name": "{__name__}:OwnPruner"'),
        (lambda: PatientPruner(OwnPruner(), patience=1), 'pruner.wrapped={"name"'),
        (lambda: PatientPruner(NopPruner(), patience=1), "'none' never stops a trial"),
    ],
)
def test_a_pruner_that_no_table_can_say_is_refused_with_what_to_do(make: Callable[[], BasePruner], words: str) -> None:
    with pytest.raises(BadInput) as refused:
        search(pruner=make())
    assert words in str(refused.value)


@pytest.mark.parametrize("known", sorted(optuna.pruners.__all__))
def test_every_pruner_of_optunas_is_known(known: str) -> None:
    covered = {type(make()).__name__ for make, _ in PRUNERS}
    assert known in covered | {"BasePruner"}


@pytest.mark.parametrize("known", sorted(optuna.samplers.__all__))
def test_every_sampler_of_optunas_is_known(known: str) -> None:
    covered = {type(make()).__name__ for make, *_ in (*SAMPLERS, *REFUSED_SAMPLERS)}
    assert known in covered | {"nsgaii", "BaseSampler", "BaseGASampler"}


DISTRIBUTIONS = [
    FloatDistribution(-1.0, 2.5),
    FloatDistribution(1e-4, 1e-1, log=True),
    FloatDistribution(0.0, 0.6, step=0.1),
    IntDistribution(1, 9),
    IntDistribution(1, 64, log=True),
    IntDistribution(4, 64, step=4),
    CategoricalDistribution(["a", "b", 3, True]),
]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_a_distribution_is_the_parameter_of_a_space(distribution: optuna.distributions.BaseDistribution) -> None:
    assert search(space={"p": distribution}).spec.distributions() == {"p": distribution}


@pytest.mark.parametrize("choices", [[None, "a"], [(1, 2), (3, 4)]])
def test_a_distribution_whose_choices_no_spec_can_hold_is_refused(choices: list[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        distribution = CategoricalDistribution(choices)
    with pytest.raises(BadInput, match=r"Search: space\.p\.choices\[0\]: is "):
        search(space={"p": distribution})


@pytest.mark.parametrize("name", ["tpe", "random", "cmaes"])
def test_a_sampler_may_be_named(name: str) -> None:
    assert search(sampler=name).spec.sampler.name == name


def test_a_pruner_may_be_written_as_on_the_command_line() -> None:
    rule: Any = search(pruner="median n_startup_trials=2").spec.pruner
    assert (rule.name, rule.n_startup_trials) == ("median", 2)
    with pytest.raises(BadInput, match=r"Search: pruner\.name: there is no 'medain'; did you mean 'median'"):
        search(pruner="medain")
    with pytest.raises(BadInput, match=r"Search: pruner: n_startup: unknown key; did you mean 'n_startup_trials'"):
        search(pruner="median n_startup=2")


def test_a_class_that_can_be_imported_is_named() -> None:
    spec = search(sampler=OwnSampler, pruner=OwnPruner).spec
    assert spec.sampler.name == f"{__name__}:OwnSampler"
    assert isinstance(build_pruner(spec.pruner.name, {}), OwnPruner)

    class Local(RandomSampler):
        pass

    with pytest.raises(BadInput, match=r"Search: sampler: is the class .*Local of this program"):
        search(sampler=Local)


def test_infinite_bounds_are_left_out() -> None:
    rule: Any = search(pruner=ThresholdPruner(lower=-math.inf, upper=2.0)).spec.pruner
    assert (rule.lower, rule.upper) == (None, 2.0)
