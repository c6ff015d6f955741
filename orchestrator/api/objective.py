"""The objective of a search: the name of a function, or a function whose source goes with the search."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.common.errors import BadInput
from tasks.objective_path import OBJECTIVES_OF_OURS, within

_INSTALLED = ("site-packages", "dist-packages")


def read_objective(objective: Callable[..., Any] | str) -> tuple[str, Any]:
    """Returns the reference of an objective, and the code that has to go with it.

    A function of an installed package is found by its name wherever the package is installed; any other one, such as
    that of a script or of a notebook, goes as a code bundle.

    Raises:
        BadInput: the source of the function cannot be carried.
    """
    if not callable(objective):
        return objective, None
    if reference := _installed(objective):
        return reference, None
    module, name = str(getattr(objective, "__module__", "")), str(getattr(objective, "__qualname__", ""))
    if module == "__main__" or "<" in name or not name:
        problem = "is a function of this program, which workers do not have"
        raise BadInput("objective", problem, "put it into a module, and name it 'module:function'")
    return f"{module}:{name}", None


def _installed(function: Callable[..., Any]) -> str:
    """Returns the reference of a function of an installed package; empty for any other."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    found: Any = sys.modules.get(str(module))
    file = getattr(found, "__file__", None)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not function or not isinstance(file, str):
        return ""
    installed = any(part in _INSTALLED for part in Path(file).parts) or within(str(module), OBJECTIVES_OF_OURS)
    return f"{module}:{name}" if installed else ""
