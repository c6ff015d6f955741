"""Compares the requirements of a study with what is installed here."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

PYTHON = "python"
"""Name by which a requirement is about the interpreter itself, as in ``python>=3.12``."""


def missing_requirements(requirements: Sequence[str]) -> str:
    """Returns in words what is not as the requirements say; empty where everything is.

    A requirement whose marker does not hold here says nothing. An extra requires what the installed package says.
    """
    seen = set[str]()
    return "; ".join(filter(None, (_missing(each, seen) for each in requirements)))


def _missing(text: str, seen: set[str]) -> str:
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
            installed = distribution(required.name)
        except PackageNotFoundError:
            return f"'{text:.100}' is required, and {required.name} is not installed"
        found = installed.version
        if lacks := "; ".join(filter(None, (_lacking(installed, extra, seen) for extra in sorted(required.extras)))):
            return lacks
    if required.specifier.contains(found, prereleases=True):
        return ""
    return f"'{text:.100}' is required, and {required.name} {found} is installed"


def _lacking(installed: Distribution, extra: str, seen: set[str]) -> str:
    """Returns what an extra of an installed package requires and is not there."""
    extra = canonicalize_name(extra)
    name = f"{installed.metadata['Name']}[{extra}]"
    if name in seen:
        # An extra may require others of its own package.
        return ""
    seen.add(name)
    if extra not in map(canonicalize_name, installed.metadata.get_all("Provides-Extra") or []):
        return f"'{name}' is required, and {installed.metadata['Name']} {installed.version} has no such extra"
    problems = list[str]()
    for line in installed.requires or []:
        # An old package may require something in a form that no standard knows, and that nothing can compare.
        with suppress(ValueError):
            marker = Requirement(line).marker
            if marker is not None and marker.evaluate({"extra": extra}) and not marker.evaluate({"extra": ""}):
                problems += filter(None, [_missing(line.partition(";")[0].strip(), seen)])
    more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
    return f"{problems[0]} (by '{name}'{more})" if problems else ""
