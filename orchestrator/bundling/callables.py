"""The definition of a function: its namespace, and its name there; refuses what cannot be carried as source."""

from __future__ import annotations

import functools
import inspect
import sys
from dataclasses import dataclass
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

from orchestrator.common.errors import BadInput
from orchestrator.common.faults import show

_MOST_WRAPPED = 100


@dataclass(frozen=True)
class Definition:
    """The place where a function is defined.

    Attributes:
        where: Begins every message about it.
        module: Name of the module in whose namespace it is, such as ``__main__``.
        namespace: The globals of that module.
        name: Its name there; of a method, with its class.
        nested: The function itself, where it is defined inside another one and no name leads to it.
    """

    where: str
    module: str
    namespace: dict[str, Any]
    name: str
    nested: Any = None


def find_definition(function: Any) -> Definition:
    """Returns where the function is defined.

    Raises:
        BadInput: it cannot be called with a trial, or cannot be carried as source.
    """
    where = f"objective '{_called(function)}'"
    _check_kind(function, where)
    for module in _modules(function):
        if name := _name_in(module, function):
            return Definition(where, module.__name__, vars(module), name)
    _refuse_nameless(function, where)
    assert isinstance(function, FunctionType)
    module_name = str(function.__globals__.get("__name__", "__main__"))
    return Definition(where, module_name, function.__globals__, function.__name__, function)


def is_lambda(value: object) -> bool:
    """Whether the value is a function that a lambda made."""
    return isinstance(value, FunctionType) and value.__name__ == "<lambda>"


def _called(function: Any) -> str:
    if isinstance(function, functools.partial):
        return _called(function.func)
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name).replace("<locals>.", "")[:200]


def _check_kind(function: Any, where: str) -> None:
    """Refuses what is no function that takes a trial."""
    if not callable(function):
        raise BadInput(where, f"is {show(function)}", "hand over a function that takes an Optuna trial")
    if isinstance(function, type):
        raise BadInput(where, "is a class", "hand over a function that takes an Optuna trial")
    if is_lambda(function):
        raise BadInput(where, "is a lambda, which has no source of its own", "write it as a def; data goes in by args=")
    if isinstance(function, functools.partial | functools.partialmethod):
        bound = ", ".join([*(f"{key}=…" for key in function.keywords), *("…" for _ in function.args)])
        remedy = f"hand over {_called(function)} itself, and what is bound by args= ({bound})"
        raise BadInput(where, "is a partial, whose values are data", remedy)
    if isinstance(function, BuiltinFunctionType):
        raise BadInput(where, "is no Python function, and so has no source", "call it in a function of your own")
    if inspect.iscoroutinefunction(function):
        raise BadInput(
            where, "is an async function, which only returns a coroutine when called", "call asyncio.run in it"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise BadInput(where, "is a generator, which does nothing when called", "return the value")
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except Exception:
        # It has none, or is an object whose methods raise.
        return
    takes = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    if not any(parameter.kind in takes for parameter in parameters):
        raise BadInput(where, "takes no trial", "its first parameter is the Optuna trial")


def _modules(function: Any) -> list[ModuleType]:
    """Returns the modules in which a name may lead to the function."""
    names = [getattr(function, "__module__", None), "__main__"]
    inner = function
    for _ in range(_MOST_WRAPPED):
        if isinstance(inner, FunctionType):
            names.append(inner.__globals__.get("__name__"))
        elif not isinstance(inner, MethodType):
            names.append(type(inner).__module__)
        inner = getattr(inner, "__wrapped__", None)
        if inner is None:
            break
    found = (sys.modules.get(str(name)) for name in dict.fromkeys(names) if name)
    return [module for module in found if module is not None]


def _name_in(module: ModuleType, function: Any) -> str:
    """Returns the name that leads from a module to the function; empty where none does."""
    qualified = getattr(function, "__qualname__", "")
    if isinstance(qualified, str) and qualified and "<" not in qualified:
        found: Any = module
        for part in qualified.split("."):
            found = getattr(found, part, None)
        if found is function or (isinstance(found, MethodType) and found == function):
            return qualified
    if isinstance(function, MethodType):
        return ""
    return next((name for name, value in list(vars(module).items()) if value is function and name.isidentifier()), "")


def _refuse_nameless(function: Any, where: str) -> None:
    """Refuses what no name leads to, unless it is a function inside another one."""
    if isinstance(function, MethodType):
        owner = function.__self__
        kind = owner.__qualname__ if isinstance(owner, type) else type(owner).__qualname__
        problem = f"is a method of an object of class '{kind}', which is data"
        raise BadInput(where, problem, "write a function that makes the object; what that needs goes in by args=")
    if not isinstance(function, FunctionType):
        problem = f"is an object of class '{type(function).__qualname__}', which is data"
        raise BadInput(where, problem, "write a function that makes it; what that needs goes in by args=")
