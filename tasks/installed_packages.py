"""Compares the requirements of a study with what is installed here."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import InvalidRequirement, Requirement

PYTHON = "python"
"""Name by which a requirement is about the interpreter itself, as in ``python>=3.12``."""


def missing_requirements(requirements: Sequence[str]) -> str:
    """Returns in words what is not as the requirements say; empty where everything is.

    A requirement whose marker does not hold here says nothing; extras are not looked at.
    """
    return "; ".join(filter(None, map(_missing, requirements)))


def _missing(text: str) -> str:
    try:
        required = Requirement(text)
    except InvalidRequirement:
        return f"'{text:.100}' is no requirement"
    try:
        if required.marker is not None and not required.marker.evaluate({"extra": ""}):
            return ""
    except ValueError as error:
        return f"'{text:.100}' cannot be compared: {error}"
    if required.name.lower() == PYTHON:
        found = platform.python_version()
    else:
        try:
            found = version(required.name)
        except PackageNotFoundError:
            return f"'{text:.100}' is required, and {required.name} is not installed"
    if required.specifier.contains(found, prereleases=True):
        return ""
    return f"'{text:.100}' is required, and {required.name} {found} is installed"
