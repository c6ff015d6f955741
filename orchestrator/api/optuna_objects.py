"""Optuna's samplers, pruners and distributions as the tables of a spec that say the same.

An object is taken apart by its attributes, and one that is made of what was found is compared with it: whatever a table
cannot say is refused, and never lost. Only Optuna's own objects come here, so Optuna has been imported by then.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Never

from orchestrator.common.errors import BadInput

_OWN: Final = "its arguments cannot be read from an object"


class _Kind(NamedTuple):
    """A class of Optuna's: its name in a spec, and the attribute of an object that holds each argument."""

    name: str
    attributes: Mapping[str, str]


def _same(*names: str) -> dict[str, str]:
    return {name: f"_{name}" for name in names}


_CHILDREN: Final = {
    name: f"_child_generation_strategy._{name}" for name in ("mutation_prob", "crossover_prob", "swapping_prob")
}
_SAMPLERS: Final[dict[str, _Kind]] = {
    "TPESampler": _Kind(
        "tpe",
        _same("n_startup_trials", "n_ei_candidates", "multivariate", "group", "constant_liar")
        | _same("warn_independent_sampling")
        | {
            name: f"_parzen_estimator_parameters.{name}"
            for name in ("prior_weight", "consider_magic_clip", "consider_endpoints")
        },
    ),
    "RandomSampler": _Kind("random", {}),
    "CmaEsSampler": _Kind(
        "cmaes",
        _same("x0", "sigma0", "n_startup_trials", "warn_independent_sampling", "consider_pruned_trials", "popsize")
        | _same("use_separable_cma", "with_margin", "lr_adapt"),
    ),
    "GPSampler": _Kind(
        "gp",
        _same("n_startup_trials", "warn_independent_sampling") | {"deterministic_objective": "_deterministic"},
    ),
    "QMCSampler": _Kind("qmc", _same("qmc_type", "scramble", "warn_independent_sampling")),
    "NSGAIISampler": _Kind("nsgaii", _same("population_size") | _CHILDREN),
    "NSGAIIISampler": _Kind(
        "nsgaiii",
        _same("population_size")
        | _CHILDREN
        | {"dividing_parameter": "_elite_population_selection_strategy._dividing_parameter"},
    ),
    "BruteForceSampler": _Kind("brute_force", _same("avoid_premature_stop")),
}
_INTERVAL: Final = ("n_warmup_steps", "interval_steps")
_PEERS: Final = _same("n_startup_trials", *_INTERVAL, "n_min_trials")
_PRUNERS: Final[dict[str, _Kind]] = {
    "MedianPruner": _Kind("median", _PEERS),
    "PercentilePruner": _Kind("percentile", _PEERS | _same("percentile")),
    "SuccessiveHalvingPruner": _Kind(
        "asha", _same("min_resource", "reduction_factor", "min_early_stopping_rate", "bootstrap_count")
    ),
    "HyperbandPruner": _Kind("hyperband", _same("min_resource", "max_resource", "reduction_factor", "bootstrap_count")),
    "ThresholdPruner": _Kind("threshold", _same("lower", "upper", *_INTERVAL)),
    "WilcoxonPruner": _Kind("wilcoxon", _same("p_threshold", "n_startup_steps")),
    "NopPruner": _Kind("none", {}),
}
_REQUIRED: Final[dict[str, dict[str, Any]]] = {
    "PercentilePruner": {"percentile": 50.0},
    "ThresholdPruner": {"lower": -math.inf},
}
"""What the object needs that shows a class's defaults."""

_ARGUMENT: Final = {
    "parzen_estimator_parameters": "weights",
    "after_trial_strategy": "constraints_func or after_trial_strategy",
    "child_generation_strategy": "crossover, mutation or child_generation_strategy",
    "elite_population_selection_strategy": "reference_points or elite_population_selection_strategy",
}
"""The arguments that an attribute is made of, where it has another name."""

_IGNORED: Final = frozenset({"LazyRandomState", "RandomState", "Generator", "IntersectionSearchSpace"})
"""Classes whose objects say nothing of the arguments: they draw numbers, or collect what trials had."""


def is_optunas(value: object, base: str) -> bool:
    """Whether the value is an object of Optuna's kind; ``base`` is the base class's name, such as ``BaseSampler``."""
    return any(each.__name__ == base and each.__module__.startswith("optuna.") for each in type(value).__mro__)


def sampler_table(sampler: Any) -> tuple[dict[str, Any], int | None]:
    """Returns the table [sampler] for a sampler of Optuna's, and its seed; ``None`` where it has none.

    Raises:
        BadInput: no table says the same; the message says what does.
    """
    where, name = "sampler", type(sampler).__name__
    if type(sampler).__module__.startswith("optuna.") and name == "GridSampler":
        return {"name": "grid"}, None
    if type(sampler).__module__.startswith("optuna.") and name == "PartialFixedSampler":
        remedy = "give the sampler inside it, and the fixed values by args= or as the only choice in space="
        raise BadInput(where, "is a PartialFixedSampler, which no spec can hold", remedy)
    kind = _kind_of(sampler, _SAMPLERS, where)
    arguments = _arguments(sampler, kind)
    _compare(sampler, arguments, where)
    return {"name": kind.name, **arguments}, _seed_of(sampler)


def grid_of(sampler: Any) -> dict[str, list[Any]] | None:
    """Returns the grid of Optuna's ``GridSampler``, by parameter; ``None`` for any other sampler."""
    if type(sampler).__name__ != "GridSampler" or not type(sampler).__module__.startswith("optuna."):
        return None
    return {name: list(values) for name, values in sampler._search_space.items()}


def pruner_table(pruner: Any, where: str = "pruner") -> dict[str, Any]:
    """Returns the table [pruner] for a pruner of Optuna's.

    Raises:
        BadInput: no table says the same; the message, which begins with ``where``, says what does.
    """
    if type(pruner).__name__ == "PatientPruner" and type(pruner).__module__.startswith("optuna."):
        table: dict[str, Any] = {"name": "patient", "patience": pruner._patience}
        if pruner._min_delta:
            table["min_delta"] = pruner._min_delta
        if pruner._wrapped_pruner is not None:
            table["wrapped"] = pruner_table(pruner._wrapped_pruner, f"{where}.wrapped")
        return table
    kind = _kind_of(pruner, _PRUNERS, where)
    arguments = _arguments(pruner, kind)
    _compare(pruner, arguments, where)
    if kind.name == "threshold":
        arguments = {
            key: value for key, value in arguments.items() if not (key in ("lower", "upper") and math.isinf(value))
        }
    return {"name": kind.name, **arguments}


def parameter_table(distribution: Any) -> dict[str, Any]:
    """Returns the table of a parameter in [space] for one of Optuna's distributions."""
    if hasattr(distribution, "choices"):
        return {"type": "categorical", "choices": list(distribution.choices)}
    kind = "int" if type(distribution).__name__.startswith("Int") else "float"
    table = {"type": kind, "low": distribution.low, "high": distribution.high}
    if distribution.log:
        table["log"] = True
    if distribution.step is not None and not (kind == "int" and distribution.step == 1):
        table["step"] = distribution.step
    return table


def _kind_of(value: Any, kinds: Mapping[str, _Kind], where: str) -> _Kind:
    cls = type(value)
    kind = kinds.get(cls.__name__) if cls.__module__.startswith("optuna.") else None
    if kind is None:
        reference = "mypackage.module:" + cls.__qualname__
        if cls.__module__ != "__main__" and "<locals>" not in cls.__qualname__:
            reference = f"{cls.__module__}:{cls.__qualname__}"
        remedy = f'give its class, {where}={{"name": "{reference}", …}}, with its arguments beside the name'
        raise BadInput(where, f"is an object of {cls.__qualname__}, and {_OWN}", remedy)
    return kind


def _arguments(value: Any, kind: _Kind) -> dict[str, Any]:
    """Returns the arguments that differ from the class's defaults."""
    usual = _quiet(type(value), _REQUIRED.get(type(value).__name__, {}))
    found = {}
    for name, path in kind.attributes.items():
        here, there = _attribute(value, path, _attribute(usual, path)), _attribute(usual, path)
        needed = name in _REQUIRED.get(type(value).__name__, {})
        if needed or not _alike(here, there):
            found[name] = here
    return found


def _compare(value: Any, arguments: Mapping[str, Any], where: str) -> None:
    """Refuses an object that holds more than the arguments that were found."""
    made = _quiet(type(value), arguments)
    # Without a seed, qmc draws one.
    for name in sorted({*vars(value), *vars(made)} - {"_seed"}):
        if not _alike(vars(value).get(name), vars(made).get(name)):
            _refuse_argument(value, _ARGUMENT.get(name.strip("_"), name.strip("_")), where)


def _refuse_argument(value: Any, argument: str, where: str) -> Never:
    problem = f"is a {type(value).__name__} whose '{argument}' is a Python object, which no spec can hold"
    remedy = "leave that argument out, or put the sampler into a class of your own that can be imported"
    if "constraints_func" in argument:
        remedy = "leave that argument out, and have the objective say the constraints by trial.set_constraint"
        raise BadInput(where, problem, remedy)
    raise BadInput(where, problem, f'{remedy}, {where}={{"name": "mypackage.module:MyClass"}}')


def _quiet(maker: Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    import warnings

    with warnings.catch_warnings():
        # The user has been warned of this class and its arguments when they made the object.
        warnings.simplefilter("ignore")
        return maker(**arguments)


def _attribute(value: Any, path: str, default: Any = None) -> Any:
    """Returns an attribute of an attribute; ``default`` where an object of another class stands in between."""
    for name in path.split("."):
        value = getattr(value, name, default)
    return value


def _alike(one: Any, other: Any, depth: int = 0) -> bool:
    """Whether two attributes mean the same."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if type(one).__name__ in _IGNORED:
        return True
    if hasattr(one, "tobytes"):  # an array of numpy's
        return bool(one.shape == other.shape and one.tobytes() == other.tobytes())
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_alike(one[key], other[key], depth + 1) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(_alike(*pair, depth + 1) for pair in zip(one, other, strict=True))
    if depth < 10 and type(one).__module__.startswith("optuna.") and hasattr(one, "__dict__"):
        return _alike(vars(one), vars(other), depth + 1)
    return bool(one == other)


def _seed_of(sampler: Any) -> int | None:
    """Returns the seed that a sampler was given.

    numpy's generator, seeded with a number, begins with it; once it has drawn, nothing tells the seed.

    Raises:
        BadInput: it has drawn numbers already.
    """
    inner = _attribute(sampler, "_independent_sampler._rng._rng")
    if type(sampler).__name__ == "QMCSampler":
        seed = None if inner is None else int(sampler._seed)
    else:
        lazy = getattr(sampler, "_rng", None) or getattr(sampler, "_cma_rng", None)
        state = getattr(lazy, "_rng", None)
        # It begins with the seed.
        seed = None if state is None else int(state.get_state()[1][0])
        if seed is not None and not _begins_with(state, seed):
            raise BadInput(
                "sampler", "has drawn numbers already, so its seed is not known", "give a new one, or seed=…"
            )
    if inner is not None and not _begins_with(inner, seed):
        # The sampler's own one has the sampler's seed.
        _refuse_argument(sampler, "independent_sampler", "sampler")
    return seed


def _begins_with(state: Any, seed: int | None) -> bool:
    """Whether a Mersenne twister was seeded with a number, and has drawn none yet."""
    import numpy as np

    if seed is None or seed >= 2**32:
        return False
    fresh: Any = np.random.RandomState(seed)
    return bool(np.array_equal(fresh.get_state()[1], state.get_state()[1]))
