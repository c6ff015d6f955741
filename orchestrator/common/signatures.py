"""What a constructor's signature says of an argument, for those that Optuna takes and never checks."""

from __future__ import annotations

import inspect
import re
from typing import Any

from orchestrator.common.errors import BadInput
from orchestrator.common.faults import got

_PLAIN: dict[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "true or false"),
    "int": ((int,), "an integer"),
    "float": ((float, int), "a number"),
    "str": ((str,), "a string"),
    "dict": ((dict,), "a table"),
    "dict[str, Any]": ((dict,), "a table"),
}


def kinds(parameter: inspect.Parameter) -> list[str]:
    """Returns which plain types the parameter's annotation allows; none where it wants an object."""
    annotation = parameter.annotation
    text = annotation.__name__ if isinstance(annotation, type) else str(annotation)
    # No plain type's name has a bar inside, so a callable's arguments only yield pieces that are not plain.
    parts = [part for part in re.split(r"\s*\|\s*", text) if part != "None"]
    return parts if all(part in _PLAIN for part in parts) else []


def check_kind(where: str, value: Any, wanted: list[str]) -> None:
    """Checks a value against what ``kinds`` returned.

    Raises:
        BadInput: it is of none of these.
    """
    if not any(
        isinstance(value, _PLAIN[kind][0]) and (kind == "bool" or not isinstance(value, bool)) for kind in wanted
    ):
        raise BadInput(where, got(value), "it must be " + " or ".join(_PLAIN[kind][1] for kind in wanted))
