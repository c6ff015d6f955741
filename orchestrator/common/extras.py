"""Packages that this program can do without, and that single commands need."""

from __future__ import annotations

from importlib.util import find_spec

from orchestrator.common.errors import BadInput


def is_installed(package: str) -> bool:
    """Returns whether a package can be imported; it is not imported."""
    return find_spec(package) is not None


def install(*packages: str) -> str:
    """Returns the command that installs packages, from the names under which they are imported."""
    return " ".join(["pip install", *(package.replace("_", "-") for package in packages)])


def require(what: str, *packages: str) -> None:
    """Checks that packages are installed.

    Raises:
        BadInput: some are not, so that ``what`` cannot work.
    """
    missing = [package for package in packages if not is_installed(package)]
    if missing:
        named = " and ".join(package.replace("_", "-") for package in missing)
        problem = f"needs {named}, which {'is' if len(missing) == 1 else 'are'} not installed"
        raise BadInput(what, problem, install(*missing))
