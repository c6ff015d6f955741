"""Ending what a trainer has left behind: every process that it ever started, in whatever session it is by now."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

MARK: Final = "ORCHESTRATOR_TRAINER"
"""Environment variable that the trainers of a slot have for themselves, and all that they start inherits."""

_ROUNDS: Final = 10
"""How often is looked again: a process may fork just before it is ended, or become another program."""

_PAUSE_SECONDS: Final = 0.005
"""Between two looks, where there is only to wait: for one to become another program, or to be gone."""


def end_marked(mark: str) -> int:
    """Ends every process of this user with this mark; returns how many there were."""
    ended: set[int] = set()
    for _ in range(_ROUNDS):
        found, unknown = _look_for(mark)
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not found and not unknown:
            break
        if not ended.issuperset(found):
            ended.update(found)
        else:
            # Nothing new: what is there has been told, or cannot be known yet.
            time.sleep(_PAUSE_SECONDS)
    return len(ended)


def _look_for(mark: str) -> tuple[list[int], bool]:
    """Returns the processes with this mark, and whether there are some of which it cannot be said."""
    wanted = f"{MARK}={mark}".encode()
    found, unknown = [], False
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            environment = path.read_bytes()
            if wanted in environment.split(b"\0"):
                found.append(int(path.parent.name))
            elif not environment:
                # It is in the middle of an exec, and has no environment before that is over. What never has one, a
                # zombie or a thread of the kernel, has no program either, and reading its name is an error.
                unknown = bool((path.parent / "exe").readlink()) or unknown
    return found, unknown
