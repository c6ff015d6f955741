"""The rules by name, made from the arguments of a spec."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.common.errors import BadInput, did_you_mean
from orchestrator.pruning.arguments import Arguments, Search
from orchestrator.pruning.asha import AshaRule
from orchestrator.pruning.base import Direction, Fold
from orchestrator.pruning.hyperband import HyperbandRule
from orchestrator.pruning.none import NoRule
from orchestrator.pruning.patient import PatientRule
from orchestrator.pruning.percentile import MedianRule, PercentileRule
from orchestrator.pruning.promotion import PromotionRule
from orchestrator.pruning.threshold import ThresholdRule

if TYPE_CHECKING:
    import optuna


def build(
    name: str,
    arguments: Mapping[str, Any],
    direction: Direction,
    *,
    study_name: str | None = None,
    max_steps: int | None = None,
    trials: int | None = None,
    study: optuna.Study | None = None,
) -> Fold:
    """Returns a new rule.

    Args:
        name: One of ``NAMES``; or a pruner of Optuna's kind, as a spec names it.
        arguments: As Optuna's pruner of that name takes them; what is left out has Optuna's default. ``asha`` takes
            ``mode`` besides. ``patient`` takes the rule inside as ``wrapped``: a name, or a table with ``name`` and
            that rule's arguments.
        direction: Which way is better.
        study_name: The study's name as it is stored; hyperband needs it.
        max_steps: Steps of a full trial; asha needs it for promotion.
        trials: Size of the table; asha needs it in the mode "sync".
        study: Where a pruner of Optuna's kind looks, filled by the caller before the rule is told; a trial's id there
            is its number. Without one it looks at a study that the rule fills itself.

    Raises:
        BadInput: Unknown name, unknown or missing argument, or a value out of bounds.
        ValueError: Something about the search is missing that the rule needs and every spec has.
    """
    search = Search(direction, study_name, max_steps, trials, study)
    maker = _MAKERS.get(name)
    if maker is None:
        return _foreign(name, arguments, search)
    given = Arguments(name, arguments, search)
    rule = maker(given)
    given.done()
    return rule


def _foreign(name: str, arguments: Mapping[str, Any], search: Search) -> Fold:
    """A pruner of Optuna's kind. Our own rules do without Optuna, so it is imported only here."""
    from orchestrator.sampling.optuna_pruner import OptunaRule, private_study
    from orchestrator.spec.pruner_factory import build_pruner
    from orchestrator.spec.pruner_table import OPTUNAS

    if name not in OPTUNAS and ":" not in name:
        raise BadInput("pruner.name", f"there is no rule {name!r}", did_you_mean(name, (*NAMES, *OPTUNAS)))
    pruner = build_pruner(name, arguments)
    if search.study is not None:
        return OptunaRule(name, pruner, search.study, feeds=False)
    return OptunaRule(name, pruner, private_study(search.direction, search.study_name or "private"), feeds=True)


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
    mode = given.choice("mode", ("stopping", "promotion", "sync"), "stopping")
    reduction_factor = given.integer("reduction_factor", 4, 2)
    min_early_stopping_rate = given.integer("min_early_stopping_rate", 0, 0)
    bootstrap_count = given.integer("bootstrap_count", 0, 0)
    if mode == "stopping":
        min_resource = given.integer_or_auto("min_resource", 1)
        if bootstrap_count and min_resource is None:
            given.refuse("bootstrap_count", "cannot be combined with min_resource 'auto'", "give min_resource a number")
        return AshaRule(given.direction, min_resource, reduction_factor, min_early_stopping_rate, bootstrap_count)
    if bootstrap_count:
        given.refuse("bootstrap_count", f"is {bootstrap_count}, which has no meaning in mode {mode!r}", "take it out")
    max_steps, trials = given.search.max_steps, given.search.trials
    if max_steps is None:
        given.refuse("mode", f"is {mode!r}, which needs max_steps: the rungs end there", "give max_steps")
    if mode == "sync" and trials is None:
        raise ValueError("synchronous halving is over a table of known size, and none was given")
    try:
        return PromotionRule(
            given.direction,
            given.integer("min_resource", 1, 1),
            max_steps,
            reduction_factor,
            min_early_stopping_rate,
            trials if mode == "sync" else None,
        )
    except ValueError as error:
        given.refuse("min_resource", f"is too large: {error}")


def _hyperband(given: Arguments) -> Fold:
    min_resource = given.integer("min_resource", 1, 1)
    max_resource = given.integer_or_auto("max_resource", min_resource)
    bootstrap_count = given.integer("bootstrap_count", 0, 0)
    if bootstrap_count and max_resource is None:
        given.refuse("bootstrap_count", "cannot be combined with max_resource 'auto'", "give max_resource a number")
    reduction_factor = given.integer("reduction_factor", 3, 2)
    study_name = given.search.study_name
    if study_name is None:
        raise ValueError("hyperband deals trials to brackets by the study's name, and none was given")
    return HyperbandRule(given.direction, study_name, min_resource, max_resource, reduction_factor, bootstrap_count)


def _threshold(given: Arguments) -> Fold:
    lower, upper = given.optional_number("lower"), given.optional_number("upper")
    if lower is None and upper is None:
        given.refuse("lower", "is missing, and so is 'upper'", "one of them is needed")
    if lower is not None and upper is not None and lower > upper:
        given.refuse("lower", f"is {lower:g}, above 'upper', which is {upper:g}", "it must be at most 'upper'")
    return ThresholdRule(lower, upper, **_checks(given))


def _patient(given: Arguments) -> Fold:
    wrapped = given.take("wrapped", None)
    if isinstance(wrapped, str):
        wrapped = {"name": wrapped}
    inside: Fold | None = None
    if isinstance(wrapped, Mapping):
        table = dict(wrapped)
        name = table.pop("name", None)
        if not isinstance(name, str):
            given.refuse("wrapped", "has no name", "it must be a rule's name, or a table with 'name'")
        search = given.search
        inside = build(
            name,
            table,
            search.direction,
            study_name=search.study_name,
            max_steps=search.max_steps,
            trials=search.trials,
            study=search.study,
        )
        if isinstance(inside, PromotionRule):
            given.refuse("wrapped", "pauses trials, and only a rule that stops them can be held back", "use 'stopping'")
    elif wrapped is not None:
        given.refuse("wrapped", f"is {wrapped!r}", "it must be a rule's name, or a table with 'name'")
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
