"""The Optuna sampler that a spec asks for. Functions here import Optuna when they are called, not before."""

from __future__ import annotations

import importlib.util
import inspect
import math
import warnings
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from orchestrator.common.errors import BadInput, did_you_mean
from orchestrator.common.faults import dotted, show
from orchestrator.common.foreign_classes import check_kind, find, kinds, make, takes
from orchestrator.spec.sampler_table import LARGEST_CANDIDATES, LARGEST_GRID
from orchestrator.spec.space import Choices, FloatRange, IntRange

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from orchestrator.spec.model import Spec

_CLASSES = {
    "tpe": "TPESampler",
    "random": "RandomSampler",
    "grid": "GridSampler",
    "cmaes": "CmaEsSampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
    "nsgaii": "NSGAIISampler",
    "nsgaiii": "NSGAIIISampler",
    "brute_force": "BruteForceSampler",
}
_PACKAGES = {"cmaes": ("cmaes",), "gp": ("torch", "scipy"), "qmc": ("scipy",)}

_NOT_FROM_A_SPEC = {"seed", "search_space"}

_WITHOUT_EFFECT = {"restart_strategy", "inc_popsize"}
"""Optuna takes these and does nothing with them; passing them on would ignore the user's wish."""

BOUNDS: dict[str, tuple[float, float]] = {
    "n_startup_trials": (0, 2**31 - 1),
    "n_ei_candidates": (1, LARGEST_CANDIDATES),
    "population_size": (2, 100_000),
    "popsize": (2, 100_000),
    "sigma0": (1e-12, 1e12),
    "prior_weight": (1e-12, 1e12),
    "mutation_prob": (0, 1),
    "crossover_prob": (0, 1),
    "swapping_prob": (0, 1),
    "dividing_parameter": (1, 100),
}
"""Bounds that Optuna itself checks only in the middle of a search, or never."""

LARGEST_FRONT = 100_000
"""Reference points that NSGA-III spreads over the objectives, all in memory."""


def check_sampler(spec: Spec, source: str = "") -> None:
    """Builds the sampler once and throws it away.

    Raises:
        BadInput: the sampler does not take these arguments, would need too much time or memory with them, or needs a
            package that is missing.
    """
    try:
        build_sampler(spec, spec.seed)
    except BadInput as error:
        raise (error.within(source) if source else error) from None


def build_sampler(spec: Spec, seed: int | None) -> BaseSampler:
    """Returns a new sampler.

    Args:
        spec: Names the sampler and its arguments.
        seed: For this instance, which may serve one trial only. Grid and quasi-random sampling walk through one
            sequence with the whole study, which a seed that changes from trial to trial would shuffle. They take a
            constant one instead: grid 0, since every cell comes in any case and the cells' numbers are stored with the
            trials; qmc the spec's.

    Raises:
        BadInput: as ``check_sampler``.
    """
    name = spec.sampler.name
    _need_packages(name)
    import optuna

    if ":" in name:
        return _build_foreign(name, spec.sampler.arguments(), seed)
    maker = sampler_class(name)
    arguments = spec.sampler.arguments()
    _check_arguments(name, arguments, inspect.signature(maker).parameters)
    if name == "nsgaiii":
        _check_front(arguments, len(spec.objectives))
    if name == "brute_force":
        for key, parameter in spec.space.items():
            _check_size(key, _length(parameter), "values of one parameter")
    if name == "grid":
        arguments |= {"search_space": grid(spec), "seed": 0}
    elif name == "qmc":
        # What a sequence cannot give (the first trial, conditional parameters) is drawn anew for each instance.
        arguments |= {"seed": spec.seed or 0, "independent_sampler": optuna.samplers.RandomSampler(seed=seed)}
    else:
        arguments |= {"seed": seed}
    with warnings.catch_warnings():
        # Experimental and ageing arguments work on this Optuna; a warning for every trial would not help the user.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        warnings.simplefilter("ignore", FutureWarning)
        try:
            return maker(**arguments)
        except (ValueError, TypeError, ImportError) as error:
            problem = f"Optuna refuses these arguments of '{name}': {' '.join(str(error).split()):.300}"
            raise BadInput("sampler", problem) from None


def sampler_class(name: str) -> type[BaseSampler]:
    """Returns the class of a sampler that is known by its name."""
    import optuna

    if name in ("grid", "brute_force"):
        from orchestrator.spec.exhaustive_samplers import BruteForce, Grid

        return Grid if name == "grid" else BruteForce
    maker: type[BaseSampler] = getattr(optuna.samplers, _CLASSES[name])
    return maker


def allowed_arguments(parameters: Mapping[str, inspect.Parameter]) -> list[str]:
    """Returns which of a constructor's parameters a spec can hold."""
    return [
        key
        for key, parameter in parameters.items()
        if kinds(parameter) and key not in _NOT_FROM_A_SPEC | _WITHOUT_EFFECT
    ]


def _build_foreign(name: str, arguments: dict[str, Any], seed: int | None) -> BaseSampler:
    """Returns a sampler of the user's, or one of Optuna's by its class; it is given the seed if it takes one."""
    import optuna

    maker = find(name, optuna.samplers.BaseSampler, "sampler", "sampler.name")
    if seed is not None and takes(maker, "seed"):
        arguments |= {"seed": seed}
    sampler: BaseSampler = make(maker, name, arguments, "sampler")
    return sampler


def _need_packages(name: str) -> None:
    missing = [each for each in _PACKAGES.get(name, ()) if importlib.util.find_spec(each) is None]
    if missing:
        listed = " ".join(missing)
        problem = f"'{name}' needs what is not installed: {listed}"
        raise BadInput("sampler.name", problem, f"pip install {listed}")


def _check_arguments(name: str, arguments: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]) -> None:
    """Holds names and types against the constructor's signature; Optuna checks hardly any type itself."""
    known = allowed_arguments(parameters)
    for key, value in arguments.items():
        where = dotted(("sampler", key))
        if key == "search_space" and key in parameters:
            raise BadInput(where, "stands in the wrong place", "'grid' takes its grid from the table [space]")
        if key in _WITHOUT_EFFECT and key in parameters:
            raise BadInput(where, "has no effect in this Optuna", "take it out")
        if key not in parameters:
            remedy = did_you_mean(key, known) if known else "it takes none"
            raise BadInput(where, f"'{name}' has no such argument", remedy)
        wanted = kinds(parameters[key])
        if not wanted:
            raise BadInput(where, "takes a Python object, which no spec can hold", "take it out")
        _check_value(where, key, value, wanted)


def _check_value(where: str, key: str, value: Any, wanted: list[str]) -> None:
    check_kind(where, value, wanted)
    if key in BOUNDS:
        low, high = BOUNDS[key]
        if not low <= value <= high:
            raise BadInput(where, f"is {show(value)}", f"it must be from {low:g} to {high:g}")


def _check_front(arguments: Mapping[str, Any], objectives: int) -> None:
    """Counts NSGA-III's reference points before Optuna makes them."""
    wanted = arguments.get("dividing_parameter", 3)
    largest = wanted
    while math.comb(objectives + largest - 1, largest) > LARGEST_FRONT:
        largest -= 1
    if largest < wanted:
        problem = f"is {wanted}, and makes more than {LARGEST_FRONT} reference points of {objectives} objectives"
        raise BadInput("sampler.dividing_parameter", problem, f"it must be at most {largest}")


def grid(spec: Spec) -> dict[str, list[Any]]:
    """Returns every value of every parameter, after counting them."""
    cells = 1
    for key, parameter in spec.space.items():
        cells *= _length(parameter)
        _check_size(key, cells, "combinations")
    return {key: _values(parameter) for key, parameter in spec.space.items()}


def _check_size(key: str, cells: int, what: str) -> None:
    if cells > LARGEST_GRID:
        problem = f"makes more than {LARGEST_GRID} {what}"
        raise BadInput(dotted(("space", key)), problem, "use wider steps, or the sampler 'random' or 'tpe'")


def _length(parameter: FloatRange | IntRange | Choices) -> int:
    if isinstance(parameter, Choices):
        return len(parameter.choices)
    if isinstance(parameter, IntRange):
        return (parameter.high - parameter.low) // parameter.step + 1
    step = _step(parameter)
    if (parameter.high - parameter.low) / step > LARGEST_GRID:
        return LARGEST_GRID + 1
    # In decimals, as Optuna counts: (0.3 - 0.0) / 0.1 is below 3 in doubles.
    return math.floor((Decimal(str(parameter.high)) - Decimal(str(parameter.low))) / Decimal(str(step))) + 1


def _values(parameter: FloatRange | IntRange | Choices) -> list[Any]:
    if isinstance(parameter, Choices):
        return list(parameter.choices)
    if isinstance(parameter, IntRange):
        return list(range(parameter.low, parameter.high + 1, parameter.step))
    low, step = Decimal(str(parameter.low)), Decimal(str(_step(parameter)))
    return [float(low + index * step) for index in range(_length(parameter))]


def _step(parameter: FloatRange) -> float:
    # The spec refuses a grid over a float without one.
    if parameter.step is None:
        raise ValueError("a float parameter without a step has no grid")
    return parameter.step
