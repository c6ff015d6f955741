"""Ending what a trainer has left behind: every process that it ever started, in whatever session it is by now."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import Final

MARK: Final = "ORCHESTRATOR_TRAINER"
"""Environment variable that each trainer has for itself, and all that it starts inherits."""

_ROUNDS: Final = 10
"""How often is looked again: a process may fork just before it is ended."""


def end_marked(mark: str) -> int:
    """Ends every process of this user with this mark; returns how many there were."""
    ended = 0
    for _ in range(_ROUNDS):
        found = _marked(mark)
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended += len(found)
        if not found:
            break
    return ended


def _marked(mark: str) -> list[int]:
    wanted = f"{MARK}={mark}".encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        # A zombie has no environment any more.
        with contextlib.suppress(OSError):
            if wanted in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found
