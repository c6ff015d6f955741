"""The rules by name, made from the arguments of a spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from orchestrator.errors import BadInput, did_you_mean
from orchestrator.pruning.arguments import Arguments
from orchestrator.pruning.asha import AshaRule
from orchestrator.pruning.base import Direction, Fold
from orchestrator.pruning.hyperband import HyperbandRule
from orchestrator.pruning.none import NoRule
from orchestrator.pruning.patient import PatientRule
from orchestrator.pruning.percentile import MedianRule, PercentileRule
from orchestrator.pruning.threshold import ThresholdRule


def build(name: str, arguments: Mapping[str, Any], direction: Direction, *, study_name: str | None = None) -> Fold:
    """Returns a new rule.

    Args:
        name: One of ``NAMES``.
        arguments: As Optuna's pruner of that name takes them; what is left out has Optuna's default.
            ``patient`` takes the rule inside as ``wrapped_pruner``: a name, or a table with ``name`` and that
            rule's arguments.
        direction: Which way is better.
        study_name: The study's name as it is stored; hyperband needs it, the others do without.

    Raises:
        BadInput: Unknown name, unknown or missing argument, or a value out of bounds.
        ValueError: hyperband without a study name.
    """
    maker = _MAKERS.get(name)
    if maker is None:
        raise BadInput("pruner.name", f"there is no rule {name!r}", did_you_mean(str(name), NAMES))
    given = Arguments(name, arguments, direction, study_name)
    rule = maker(given)
    given.done()
    return rule


def _none(given: Arguments) -> Fold:  # noqa: ARG001
    return NoRule()


def _checks(given: Arguments) -> dict[str, int]:
    """When a rule looks; the same arguments for several."""
    return {
        "n_warmup_steps": given.integer("n_warmup_steps", 0, 0),
        "interval_steps": given.integer("interval_steps", 1, 1),
    }


def _others(given: Arguments) -> dict[str, int]:
    """How many others the percentile rules want."""
    return {
        "n_startup_trials": given.integer("n_startup_trials", 5, 0),
        "n_min_trials": given.integer("n_min_trials", 1, 1),
    }


def _percentile(given: Arguments) -> Fold:
    percentile = given.number("percentile", low=0, high=100)
    return PercentileRule(given.direction, percentile, **_others(given), **_checks(given))


def _median(given: Arguments) -> Fold:
    return MedianRule(given.direction, **_others(given), **_checks(given))


def _asha(given: Arguments) -> Fold:
    min_resource = given.integer_or_auto("min_resource", 1)
    bootstrap_count = given.integer("bootstrap_count", 0, 0)
    if bootstrap_count and min_resource is None:
        given.refuse("bootstrap_count", "cannot be combined with min_resource 'auto'", "give min_resource")
    return AshaRule(
        given.direction,
        min_resource,
        given.integer("reduction_factor", 4, 2),
        given.integer("min_early_stopping_rate", 0, 0),
        bootstrap_count,
    )


def _hyperband(given: Arguments) -> Fold:
    min_resource = given.integer("min_resource", 1, 1)
    max_resource = given.integer_or_auto("max_resource", min_resource)
    bootstrap_count = given.integer("bootstrap_count", 0, 0)
    if bootstrap_count and max_resource is None:
        given.refuse("bootstrap_count", "cannot be combined with max_resource 'auto'", "give max_resource")
    reduction_factor = given.integer("reduction_factor", 3, 2)
    if given.study_name is None:
        raise ValueError("hyperband deals trials to brackets by the study's name, and none was given")
    return HyperbandRule(
        given.direction, given.study_name, min_resource, max_resource, reduction_factor, bootstrap_count
    )


def _threshold(given: Arguments) -> Fold:
    lower, upper = given.optional_number("lower"), given.optional_number("upper")
    if lower is None and upper is None:
        given.refuse("lower", "is missing, and so is 'upper'", "one of them is needed")
    if lower is not None and upper is not None and lower > upper:
        given.refuse("lower", f"is {lower:g}, above 'upper', which is {upper:g}")
    return ThresholdRule(lower, upper, **_checks(given))


def _patient(given: Arguments) -> Fold:
    wrapped = given.take("wrapped_pruner", None)
    if isinstance(wrapped, str):
        wrapped = {"name": wrapped}
    inside: Fold | None = None
    if isinstance(wrapped, Mapping):
        table = dict(wrapped)
        name = table.pop("name", None)
        if not isinstance(name, str):
            given.refuse("wrapped_pruner", "has no name", "it takes a rule's name, or a table with 'name'")
        inside = build(name, table, given.direction, study_name=given.study_name)
    elif wrapped is not None:
        given.refuse("wrapped_pruner", f"is {wrapped!r}", "a rule's name, or a table with 'name', is needed")
    patience = given.integer("patience", None, 0)
    return PatientRule(inside, given.direction, patience, given.number("min_delta", 0.0, low=0))


_MAKERS: dict[str, Callable[[Arguments], Fold]] = {
    "asha": _asha,
    "hyperband": _hyperband,
    "median": _median,
    "none": _none,
    "patient": _patient,
    "percentile": _percentile,
    "threshold": _threshold,
}
NAMES = tuple(_MAKERS)
