"""[sampler]: arguments are held against Optuna's samplers before a search begins."""

from __future__ import annotations

import warnings
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spec_text import made

from orchestrator.common.errors import BadInput
from orchestrator.spec import Spec
from orchestrator.spec.sampler_factory import build_sampler, check_sampler

PARAMETER = "[space]\nx = { type = 'float', low = 0, high = 1 }\n"


SAMPLERS = {
    "tpe": ("", "TPESampler"),
    "random": ("", "RandomSampler"),
    "grid": ("", "Grid"),
    "gp": ("deterministic_objective = true", "GPSampler"),
    "qmc": ("qmc_type = 'halton'\nscramble = true", "QMCSampler"),
    "nsgaii": ("population_size = 10", "NSGAIISampler"),
    "nsgaiii": ("population_size = 10", "NSGAIIISampler"),
    "cmaes": ("sigma0 = 0.5", "CmaEsSampler"),
    "brute_force": ("avoid_premature_stop = true", "BruteForce"),
    "optuna.samplers:TPESampler": ("n_startup_trials = 3", "TPESampler"),
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


FLOATS = st.floats(allow_nan=False, allow_infinity=False)


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
