"""The arguments that Python code hands to the interface: each is checked where it comes in, before anything is done.

Numbers of numpy's, subclasses of strings and paths are taken as Python's own.
"""

from __future__ import annotations

import functools
import inspect
import math
import operator
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from orchestrator.api.spec_values import plain
from orchestrator.common.errors import BadInput, did_you_mean
from orchestrator.common.faults import Fault, got, show

Check = Callable[[Any], Any]
"""Returns an argument as the function takes it; raises Fault where it is none."""

Given = ParamSpec("Given")
Result = TypeVar("Result")


def takes(**checks: Check) -> Callable[[Callable[Given, Result]], Callable[Given, Result]]:
    """Checks the arguments of a function by their names, those that are given.

    The function raises ``BadInput`` for a wrong one, which begins with the function's name and the argument's.
    """

    def decorate(function: Callable[Given, Result]) -> Callable[Given, Result]:
        signature = inspect.signature(function)
        assert checks.keys() <= signature.parameters.keys()

        @functools.wraps(function)
        def checked(*args: Given.args, **kwargs: Given.kwargs) -> Result:
            bound = signature.bind(*args, **kwargs)
            for name, check in checks.items():
                if name in bound.arguments:
                    bound.arguments[name] = checked_value(f"{function.__name__}: {name}", check, bound.arguments[name])
            return function(*bound.args, **bound.kwargs)

        return checked

    return decorate


def checked_value(where: str, check: Check, value: Any) -> Any:
    """Returns a value as ``check`` does. Raises BadInput, which begins with ``where``."""
    try:
        return check(value)
    except Fault as fault:
        raise fault.blame(where) from None
    except Exception as error:
        # An object of the user's own, whose methods raise.
        problem = f"is a {type(value).__name__} that cannot be read: {type(error).__name__}"
        raise BadInput(where, problem, "give a value of Python's own") from None


def or_none(check: Check) -> Check:
    """Lets ``None`` pass, too."""
    return lambda value: None if value is None else check(value)


def every(check: Check) -> Check:
    """Checks each of the values of ``*names``."""
    return lambda values: tuple(map(check, values))


def text(value: Any) -> str:
    """Takes a string that a database and a terminal can hold."""
    if not isinstance(value, str):
        raise Fault(got(value), "it must be a string")
    plain = str.__str__(value)
    if "\0" in plain or (not plain.isascii() and any("\ud800" <= character <= "\udfff" for character in plain)):
        raise Fault(f"is {plain!r:.100}", "it must hold no NUL and no half of a surrogate pair")
    return plain


def name_of_study(value: Any) -> str:
    """Returns the name of a study as Python's own string. Raises BadInput where it is none."""
    return str(checked_value("name of a study", text, value))


def words(value: Any) -> list[str]:
    """Takes a string, or a list of strings."""
    if isinstance(value, str):
        return [text(value)]
    if isinstance(value, bytes | bytearray) or not isinstance(value, Iterable):
        raise Fault(got(value), "it must be a string or a list of strings")
    return [text(each) for each in value]


def path(value: Any) -> Path:
    """Takes a path, as a string or an object."""
    try:
        named = os.fspath(value)
    except Exception:
        named = b""
    if not isinstance(named, str):
        raise Fault(got(value), "it must be a path: a string or a pathlib.Path")
    if not named.strip() or "\0" in named:
        raise Fault(f"is {named!r:.100}", "it must name a file or a folder")
    return Path(str.__str__(named))


def flag(value: Any) -> bool:
    """Takes ``True`` or ``False``, of numpy's, too."""
    if isinstance(value, bool) or (type(value).__module__ == "numpy" and type(value).__name__ in ("bool_", "bool")):
        return bool(value)
    raise Fault(got(value), "it must be True or False")


def callback(value: Any) -> Any:
    """Takes a function."""
    if not callable(value):
        raise Fault(got(value), "it must be a function")
    return value


def stream(value: Any) -> Any:
    """Takes an object that can be written to."""
    if not callable(getattr(value, "write", None)):
        raise Fault(got(value), "it must be a file that is open for writing")
    return value


def path_or_stream(value: Any) -> Any:
    """Takes a path, or an object that can be written to."""
    return stream(value) if callable(getattr(value, "write", None)) else path(value)


def parameters(value: Any) -> dict[str, Any]:
    """Takes a configuration: the values of parameters by their names."""
    if not isinstance(value, Mapping):
        raise Fault(got(value), "it must be a dictionary: value by name")
    given: dict[str, Any] = plain(value)
    for name in given:
        if not isinstance(name, str):
            raise Fault(f"the name of a parameter {got(name)}", "it must be a string")
    return given


def whole(least: int) -> Check:
    """Takes an integer of at least ``least``."""

    def check(value: Any) -> int:
        found = None if isinstance(value, bool) else _index(value)
        if found is None or found < least:
            raise Fault(got(value), f"it must be an integer of at least {least}")
        return found

    return check


def seconds(value: Any) -> float:
    """Takes a number of seconds that is not negative; it may be infinite."""
    found = math.nan
    if not isinstance(value, bool | str | bytes):
        try:
            found = float(value)
        except Exception:
            found = math.nan
    if not found >= 0:
        raise Fault(got(value), "it must be a number of seconds, at least 0")
    return found


def trial(value: Any) -> int | str:
    """Takes what names a trial; whether there is one, the study says."""
    if isinstance(value, str):
        return text(value)
    if not isinstance(value, bool) and (found := _index(value)) is not None:
        return found
    raise Fault(got(value), "it must be the number of a trial, 'best' or 'last'")


def choice(*known: str) -> Check:
    """Takes one of some words."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise Fault(got(value), f"it must be a string, one of {', '.join(known)}")
        word = str.__str__(value)
        if word not in known:
            raise Fault(f"is {show(word)}", did_you_mean(word, known))
        return word

    return check


def contents(value: Any) -> Any:
    """Takes what a study holds, as its handle has returned it."""
    from orchestrator.queries.study_contents import StudyContents

    if not isinstance(value, StudyContents):
        raise Fault(got(value), "it must be what contents() has returned")
    return value


def _index(value: Any) -> int | None:
    """Returns an integer as Python's own, also one of numpy's; ``None`` for anything else."""
    try:
        return operator.index(value)
    except Exception:
        return None
