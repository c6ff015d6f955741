"""A configuration that a user enqueues: values for some parameters, tried before any configuration is sampled."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.common.errors import BadInput, did_you_mean
from orchestrator.common.faults import Fault, got, show
from orchestrator.common.field_types import check_json, check_text

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def check_configuration(params: Any, space: Mapping[str, BaseDistribution], where: str) -> None:
    """Checks a configuration as far as it can be checked before the objective runs; with a [space], completely.

    Args:
        params: Value by name.
        space: The distributions of [space].
        where: Begins the message.

    Raises:
        BadInput: a value cannot be stored, or [space] has no such parameter or no such value.
    """
    try:
        check_values(params, space)
    except Fault as fault:
        raise fault.blame(where) from None


def check_values(params: Any, space: Mapping[str, BaseDistribution]) -> None:
    """Checks the values of a configuration; see ``check_configuration``.

    Raises:
        Fault: with the key of the value.
    """
    if not isinstance(params, dict) or not params:
        raise Fault("a configuration holds no values", "give some, as in lr=0.001")
    for name, value in params.items():
        check_text(str(name), (str(name),))
        if isinstance(value, float) and not math.isfinite(value):
            raise Fault(got(value), "it must be a finite number", (str(name),))
        # Choices that an objective suggests may be lists and tables; those of a [space] are not.
        check_json(value, (str(name),), null=True)
        if not space:
            continue
        if name not in space:
            raise Fault("there is no such parameter in [space]", did_you_mean(str(name), space), (str(name),))
        if not contains(space[name], value):
            raise Fault(f"is {show(value)}", f"it must be a value of {space[name]}", (str(name),))


def check_structured(params: Mapping[str, Any], known: Mapping[str, Sequence[BaseDistribution]], where: str) -> None:
    """Refuses a list or a table for a parameter that has been a number in all trials: only a choice can be one.

    Raises:
        BadInput: a value is one.
    """
    for name, value in params.items():
        kinds = known.get(name)
        if isinstance(value, list | dict) and kinds and not any(hasattr(each, "choices") for each in kinds):
            raise BadInput(f"{where}: {name}", got(value), "it must be a number, a string, true, false or null")


def doubts(params: Mapping[str, Any], known: Mapping[str, Sequence[BaseDistribution]], study: str) -> Iterator[str]:
    """Yields warnings about values for an objective that suggests for itself. None is an error: the objective may ask
    in a branch that no trial has taken yet, or may have been changed.

    Args:
        params: Value by name.
        known: The distributions that each parameter has had; without any there are no warnings.
        study: Its name.
    """
    for name, value in params.items() if known else ():
        if name not in known:
            yield f"no trial of '{study}' has had a parameter '{name}' yet; {did_you_mean(name, known)}"
        elif not any(contains(each, value) for each in known[name]):
            text = f"trials of '{study}' have had {name} {' or '.join(map(_in_words, known[name]))}, not {show(value)}"
            tried = any(can_be(each, value) for each in known[name])
            yield text if tried else f"{text}; the trial will fail unless the objective has been changed"


def read_configuration(texts: Sequence[str]) -> dict[str, Any]:
    """Returns the configuration that ``KEY=VALUE`` arguments name; a value that is no JSON is a string.

    Raises:
        BadInput: an argument has no ``=`` or no key, or a key comes twice.
    """
    params: dict[str, Any] = {}
    for text in texts:
        name, mark, value = text.partition("=")
        if not mark or not name:
            raise BadInput(show(text), "is not KEY=VALUE", "write lr=0.001, or optimizer=adam")
        if name in params:
            raise BadInput(show(text), f"gives '{name}' a second time", "give it once")
        try:
            params[name] = json.loads(value)
        except (ValueError, RecursionError):
            params[name] = value
    return params


def can_be(distribution: BaseDistribution, value: Any) -> bool:
    """Whether a parameter can have this value: one of its choices, or a number where it is one.

    As in Optuna, a number that a user gives may lie outside of the range that is searched.
    """
    try:
        distribution.to_internal_repr(value)
    except (ValueError, TypeError):
        return False
    return True


def contains(distribution: BaseDistribution, value: Any) -> bool:
    """Whether the sampler could draw this value."""
    return can_be(distribution, value) and bool(distribution._contains(distribution.to_internal_repr(value)))


def _in_words(distribution: BaseDistribution) -> str:
    found: Any = distribution
    if hasattr(found, "choices"):
        return "as one of " + ", ".join(map(show, found.choices))
    return f"from {found.low:g} to {found.high:g}"
