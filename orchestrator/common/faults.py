"""What is wrong in a spec, and how a value, a type and a key are written in a message."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from typing import Any

from orchestrator.common.errors import did_you_mean

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


class Fault(ValueError):
    """A validator's complaint; the loader adds where it was found and makes a ``BadInput`` of it.

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


def show(value: Any, limit: int = 60) -> str:
    """Returns the value on one line, cut to about ``limit`` characters; tables and arrays by their size."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple | dict):
        return f"{len(value)} entries" if len(value) != 1 else "1 entry"
    if isinstance(value, int) and abs(value) >= 10**limit:
        # Python refuses to print integers of more than 4300 digits, and nobody wants to read one.
        return f"an integer of more than {limit} digits"
    if isinstance(value, str):
        return repr(value if len(value) <= limit else value[: limit - 1] + "…")
    return repr(value) if isinstance(value, int | float) else str(value)[:limit]


def got(value: Any) -> str:
    """Returns ``is a string ('5')``: the type, and the value where it says more."""
    kind = next((words for types, words in _TYPES if isinstance(value, types)), type(value).__name__)
    return f"is {kind}" if value is None else f"is {kind} ({show(value)})"


def dotted(key: Iterable[str | int]) -> str:
    """Returns the key as TOML writes it: ``space.lr.choices[2]``, with odd names quoted."""
    text = ""
    for part in key:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE_KEY.fullmatch(part) else show(part))
    return text


def nearest(name: str, known: Iterable[str]) -> str:
    """``did_you_mean`` for text of any length: the search is quadratic, and no known name is long."""
    return did_you_mean(name[:100], known)
