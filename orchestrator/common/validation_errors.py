"""Pydantic's errors as one line that names the source, the key, what is wrong and what would be right."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from orchestrator.common.errors import BadInput
from orchestrator.common.faults import Fault, dotted, got, nearest, show

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

_WANTED = {
    "string_type": "a string",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "an array",
    "dict_type": "a table",
    "model_type": "a table",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def bad_input(error: ValidationError, source: str) -> BadInput:
    """Returns the first fault; the others show once it is mended."""
    first = error.errors(include_url=False)[0]
    key, problem, remedy = _explain(first)
    where = dotted(key)
    return BadInput(f"{source}: {where}" if where else source, problem, remedy)


def _explain(error: ErrorDetails) -> tuple[tuple[str | int, ...], str, str]:
    key = _without_tags(error["loc"])
    kind = error["type"]
    value = error["input"]
    context: dict[str, Any] = error.get("ctx", {})
    fault = context.get("error")
    if isinstance(fault, Fault):
        return (*key, *fault.key), fault.problem, fault.remedy
    if kind == "missing":
        return key, "required key missing", ""
    if kind in _WANTED:
        return key, got(value), f"it must be {_WANTED[kind]}"
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return key, f"is {show(value)}", f"it must be {words} {context[name]}"
    if kind == "finite_number":
        return key, f"is {value!r}", "it must be finite"
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        if isinstance(value, str):
            return key, f"is {show(value)}", nearest(value, known)
        return key, got(value), "it must be a string, one of " + ", ".join(known)
    return key, f"{got(value)}: {error['msg']}", ""


def _without_tags(location: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Drops what Pydantic puts in for the kind of a tagged table, which no spec shows."""
    if location[:1] in (("pruner",), ("shadow",)):
        location = location[:1] + location[2:]
        if location[1:2] == ("wrapped",):
            location = location[:2] + location[3:]
    if location[:1] == ("space",):
        location = location[:2] + location[3:]
    return location
