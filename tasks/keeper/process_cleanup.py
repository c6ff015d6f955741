"""Ends every process that a trainer has ever started, in whatever session it is by now."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection
from pathlib import Path
from typing import Final

from tasks.process_guards import adopts_orphans
from tasks.process_identity import children_of

MARK: Final = "ORCHESTRATOR_TRAINER"
"""Environment variable of a slot's trainers, which all that they start inherits."""

_ROUNDS: Final = 10
"""Most scans: a process may fork just before it is killed, or become another program."""

_PAUSE_SECONDS: Final = 0.005
"""Pause between two scans that found nothing new."""


def end_marked(mark: str) -> int:
    """Ends every process of this user with this mark, or one below it; returns how many there were."""
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
            # Nothing new: all have been killed, or their environment cannot be read yet.
            time.sleep(_PAUSE_SECONDS)
    return len(ended)


def _look_for(mark: str) -> tuple[list[int], bool]:
    """Returns the processes with this mark, and whether the environment of others cannot be read yet."""
    wanted = f"{MARK}={mark}".encode()
    below = wanted + b"/"
    found, unknown = [], False
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            environment = path.read_bytes()
            if any(each == wanted or each.startswith(below) for each in environment.split(b"\0")):
                found.append(int(path.parent.name))
            elif not environment:
                # In the middle of an exec a process has no environment. Zombies and kernel threads never have one;
                # they have no program either, and reading its name raises.
                unknown = bool((path.parent / "exe").readlink()) or unknown
    return found, unknown


def end_orphans(ours: Collection[int] = ()) -> int:
    """Ends the processes that this one has adopted, and those that they leave to it; returns how many there were.

    A trainer has started them, perhaps with an environment and a session of their own. Processes that this one has
    started are in its session, or among ``ours``. A process that adopts no orphans ends none.
    """
    ended: set[int] = set()
    if not adopts_orphans():
        return 0
    session = os.getsid(0)
    for _ in range(_ROUNDS * _ROUNDS):
        adopted = [pid for pid in children_of() if pid not in ours and _session(pid) not in (None, session)]
        if not adopted:
            break
        for pid in adopted:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.waitpid(pid, os.WNOHANG)
        if ended.issuperset(adopted):
            time.sleep(_PAUSE_SECONDS)
        ended.update(adopted)
    return len(ended)


def _session(pid: int) -> int | None:
    with contextlib.suppress(OSError):
        return os.getsid(pid)
    return None
