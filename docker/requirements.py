"""Prints what the package depends on, one a line: what its extras add, and without what is named."""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path


def requirements(pyproject: str, extras: Sequence[str] = (), without: Sequence[str] = ()) -> list[str]:
    """Returns the dependencies in ``pyproject``, with those of ``extras``, whose name is not in ``without``.

    Raises:
        SystemExit: there is no such extra, or a name in ``without`` is no dependency; what it was to keep out may have
            got another name.
    """
    project = tomllib.loads(pyproject)["project"]
    optional = project.get("optional-dependencies", {})
    if unknown := sorted(set(extras) - optional.keys()):
        raise SystemExit(f"requirements.py: not among the extras: {', '.join(unknown)}")
    listed = [*project["dependencies"], *(entry for extra in extras for entry in optional[extra])]
    names = {re.split(r"[^A-Za-z0-9._-]", entry, maxsplit=1)[0]: entry for entry in listed}
    if unknown := sorted(set(without) - names.keys()):
        raise SystemExit(f"requirements.py: not among the dependencies: {', '.join(unknown)}")
    return [entry for name, entry in names.items() if name not in without]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pyproject", type=Path)
    parser.add_argument("--extras", nargs="*", default=[])
    parser.add_argument("--without", nargs="*", default=[])
    given = parser.parse_args()
    print("\n".join(requirements(given.pyproject.read_text(), given.extras, given.without)))
