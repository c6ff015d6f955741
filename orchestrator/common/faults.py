"""A value that cannot be used: what is wrong with it, what would be right, and how a message writes it."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from orchestrator.common.errors import BadInput, did_you_mean

if TYPE_CHECKING:
    from pydantic import ValidationError

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)
_TYPES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a float"),
    (str, "a string"),
    ((datetime.date, datetime.time), "a date or time"),
    ((list, tuple), "an array"),
    (dict, "a table"),
    (type(None), "null"),
)
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


class Fault(ValueError):
    """A validator's complaint about a value; ``blame`` makes an error for the user of it.

    Args:
        problem: What is wrong; reads on after the key.
        remedy: What would be right.
        key: Where, as seen from the value that the validator was given.
    """

    def __init__(self, problem: str, remedy: str = "", key: tuple[str | int, ...] = ()) -> None:
        super().__init__(problem)
        self.problem = problem
        self.remedy = remedy
        self.key = key

    def blame(self, where: str) -> BadInput:
        """Returns the error for the user; ``where`` names the file, option or argument that holds the value."""
        return BadInput(f"{where}: {dotted(self.key)}" if self.key else where, self.problem, self.remedy)


@contextmanager
def beneath(*key: str | int) -> Iterator[None]:
    """Puts ``key`` in front of the key of a fault that is raised inside."""
    try:
        yield
    except Fault as fault:
        raise Fault(fault.problem, fault.remedy, (*key, *fault.key)) from None


def first_fault(error: ValidationError) -> Fault:
    """Returns the first of Pydantic's errors; the others show once it is mended."""
    first = error.errors(include_url=False)[0]
    key, kind, value = first["loc"], first["type"], first["input"]
    context: dict[str, Any] = first.get("ctx", {})
    fault = context.get("error")
    if isinstance(fault, Fault):
        return Fault(fault.problem, fault.remedy, (*key, *fault.key))
    if kind == "missing":
        return Fault("required key missing", "", key)
    if kind in _WANTED:
        return Fault(got(value), f"it must be {_WANTED[kind]}", key)
    if kind in _BOUNDS:
        name, words = _BOUNDS[kind]
        return Fault(f"is {show(value)}", f"it must be {words} {context[name]}", key)
    if kind == "finite_number":
        return Fault(f"is {value!r}", "it must be finite", key)
    if kind == "literal_error":
        known = re.findall(r"'([^']*)'", context["expected"])
        if isinstance(value, str):
            return Fault(f"is {show(value)}", did_you_mean(value, known), key)
        return Fault(got(value), "it must be a string, one of " + ", ".join(known), key)
    return Fault(f"{got(value)}: {first['msg']}", "", key)


def show(value: Any, limit: int = 60) -> str:
    """Returns the value on one line, cut to about ``limit`` characters; tables and arrays by their size.

    An object that cannot be printed is shown by its type.
    """
    try:
        return _text(value, limit)
    except Exception:
        return type(value).__name__


def _text(value: Any, limit: int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | dict):
        return f"{len(value)} entries" if len(value) != 1 else "1 entry"
    if isinstance(value, int) and abs(value) >= 10**limit:
        # Python refuses to print integers of more than 4300 digits, and no person wants to read one.
        return f"an integer of more than {limit} digits"
    if isinstance(value, str):
        return repr(value if len(value) <= limit else value[: limit - 1] + "…")
    return repr(value) if isinstance(value, int | float) else str(value)[:limit]


def got(value: Any) -> str:
    """Returns ``is a string ('5')``: the type, and the value where it says more."""
    kind = next((words for types, words in _TYPES if isinstance(value, types)), type(value).__name__)
    shown = show(value)
    return f"is {kind}" if value is None or shown == type(value).__name__ else f"is {kind} ({shown})"


def dotted(key: Iterable[str | int]) -> str:
    """Returns the key as TOML writes it: ``space.lr.choices[2]``, with odd names quoted."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE_KEY.fullmatch(part) else show(part))
    return text
