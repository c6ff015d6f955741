"""Constants that a statement assigns, and whether a value is still the same."""

from __future__ import annotations

import ast
from typing import Any, Final

_EMPTY: Final = {"dict": dict, "list": list, "set": set}
"""Classes whose calls without an argument are as good as constants."""


def literal_of(name: str, node: ast.stmt) -> tuple[Any] | None:
    """Returns the value of a statement that assigns a constant to the name alone, in a tuple of one."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    value = getattr(node, "value", None)
    if len(targets) != 1 or value is None or not (isinstance(targets[0], ast.Name) and targets[0].id == name):
        return None
    match value:
        case ast.Call(func=ast.Name(id=called), args=[], keywords=[]) if called in _EMPTY:
            return (_EMPTY[called](),)
    try:
        return (ast.literal_eval(value),)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def are_equal(one: object, other: object) -> bool:
    """Whether two constants are the same; 1, 1.0 and True are not."""
    try:
        # A NaN equals itself as text alone, a set as it is.
        unordered = isinstance(one, set | dict) and one == other
        return type(one) is type(other) and (unordered or repr(one) == repr(other))
    except Exception:
        # It holds an object that cannot be compared, such as an array.
        return False
