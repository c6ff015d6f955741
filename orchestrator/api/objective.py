"""The objective of a search: the name of a function, or a function whose source goes with the search."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.objective_path import OBJECTIVES_OF_OURS, within

if TYPE_CHECKING:
    from orchestrator.bundling import CodeBundle

_INSTALLED = ("site-packages", "dist-packages")


def read_objective(objective: Callable[..., Any] | str) -> tuple[str, CodeBundle | None]:
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
    from orchestrator.bundling import bundle_of_function

    bundle = bundle_of_function(objective)
    return bundle.objective, bundle


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
