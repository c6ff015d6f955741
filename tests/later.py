"""Modules that take seconds to import, for files of tests: every process collects each file, and few run it."""

from __future__ import annotations

import importlib
from typing import Any


class Later:
    """A module that is imported when it is first used."""

    def __init__(self, name: str) -> None:
        vars(self)["_name"] = name

    def __getattr__(self, name: str) -> Any:
        # By such, pytest asks whatever a file names whether it is a test, or a mock.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self._name), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(importlib.import_module(self._name), name, value)
