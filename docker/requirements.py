"""``requirements.py PYPROJECT [NAME…]``: prints the package's dependencies, one a line, without the named ones."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path


def requirements(pyproject: str, without: set[str]) -> list[str]:
    """Returns the dependencies in ``pyproject`` whose name is not in ``without``.

    Raises:
        SystemExit: a name in ``without`` is no dependency; what it was to keep out may have got another name.
    """
    listed = tomllib.loads(pyproject)["project"]["dependencies"]
    names = {re.split(r"[^A-Za-z0-9._-]", entry, maxsplit=1)[0]: entry for entry in listed}
    unknown = sorted(without - names.keys())
    if unknown:
        raise SystemExit(f"requirements.py: not among the dependencies: {', '.join(unknown)}")
    return [entry for name, entry in names.items() if name not in without]


if __name__ == "__main__":
    print("\n".join(requirements(Path(sys.argv[1]).read_text(), set(sys.argv[2:]))))
