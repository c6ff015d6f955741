"""The optional packages of the distribution's extras."""

from __future__ import annotations

from importlib.util import find_spec

from orchestrator.common.errors import BadInput


def is_installed(package: str) -> bool:
    """Returns whether a package can be imported; it is not imported."""
    return find_spec(package) is not None


def install(extra: str) -> str:
    """Returns the command that installs an extra."""
    return f"pip install 'trial-orchestrator[{extra}]'"


def require(what: str, extra: str, *packages: str) -> None:
    """Checks that packages of an extra are installed.

    Raises:
        BadInput: one is not, so that ``what`` cannot work.
    """
    for package in packages:
        if not is_installed(package):
            raise BadInput(what, f"needs {package.replace('_', '-')}, which is not installed", install(extra))
