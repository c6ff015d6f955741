"""What a machine may lack and pip cannot bring: a test that needs it is skipped, with its name as the reason.

``TEST_WITHOUT`` names programs, divided by commas, that the tests do as if they were not there.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

HIDDEN = frozenset(os.environ.get("TEST_WITHOUT", "").replace(",", " ").split())


class NotInstalled(pytest.skip.Exception):
    """Something is not on this machine. Raised in a test or a fixture, it skips what needs the thing."""


def find(name: str) -> str | None:
    """Returns where a program is, or ``None`` where it is missing or hidden."""
    return None if name in HIDDEN else shutil.which(name)


def program(*names: str, what: str = "") -> str:
    """Returns where the first program of these names is.

    Args:
        names: The names under which it may be there.
        what: What it is called where it is missing; without it, its first name.

    Raises:
        NotInstalled: there is none.
    """
    found = next((path for name in names if (path := find(name))), None)
    if found is None:
        raise NotInstalled(f"{what or names[0]} is not installed")
    return found


def require_redis_with_tls() -> None:
    """Raises ``NotInstalled`` where there is only the server that the tests bring along, which has no TLS."""
    program("redis-server", what="redis-server with TLS")


def require(*names: str, folder: Path | None = None) -> None:
    """Raises ``NotInstalled`` with the names of those programs that are neither on the machine nor in ``folder``."""
    missing = [name for name in names if find(name) is None and not (folder and (folder / name).exists())]
    if missing:
        raise NotInstalled(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed")
