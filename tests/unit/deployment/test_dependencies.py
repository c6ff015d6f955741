"""pyproject.toml's ranges and the two lists of pinned versions agree: the tests run on both ends of each range."""

from __future__ import annotations

import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.deployment import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS_OF_LOWEST = ("dashboard", "export", "report", "test")


def pins(name: str) -> dict[str, Version]:
    """Returns the versions in a list of ``docker/``, by the canonical names of their packages."""
    lines = (line for line in (ROOT / "docker" / name).read_text().splitlines() if not line.startswith("#"))
    pairs = (line.split("==") for line in lines)
    return {canonicalize_name(package): Version(version) for package, version in pairs}


def requirements(*extras: str) -> list[Requirement]:
    optional = PROJECT["optional-dependencies"]
    listed = [*PROJECT["dependencies"], *(entry for extra in extras for entry in optional[extra])]
    return [each for each in map(Requirement, listed) if each.name != PROJECT["name"]]


@pytest.mark.parametrize("requirement", requirements(*PROJECT["optional-dependencies"]), ids=lambda each: each.name)
def test_the_pinned_version_is_one_that_is_allowed(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins("constraints.txt")[canonicalize_name(requirement.name)])


@pytest.mark.parametrize("requirement", requirements(), ids=lambda each: each.name)
def test_the_oldest_version_is_the_lower_end(requirement: Requirement) -> None:
    lowest = min(Version(each.version) for each in requirement.specifier if each.operator in (">=", "=="))
    assert pins("constraints-lowest.txt")[canonicalize_name(requirement.name)] == lowest


@pytest.mark.parametrize("requirement", requirements(*EXTRAS_OF_LOWEST), ids=lambda each: each.name)
def test_the_oldest_list_has_every_package_that_its_tests_need(requirement: Requirement) -> None:
    assert requirement.specifier.contains(pins("constraints-lowest.txt")[canonicalize_name(requirement.name)])
