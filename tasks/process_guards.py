"""Guards of a process: it dies with its parent, adopts orphans, keeps its secrets, and knows a SIGINT from outside."""

from __future__ import annotations

import ctypes
import os
import signal
from types import FrameType

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37


def die_with_parent(parent: int, signum: int = signal.SIGKILL) -> None:
    """Asks the kernel to send ``signum`` when the thread that started this process ends.

    Call it first in the child. ``parent`` is the process id that the child expects: where the parent has ended already,
    the child ends here.
    """
    _prctl(_PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Makes this process the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def adopts_orphans() -> bool:
    """Whether ``adopt_orphans`` was called in this process."""
    found = ctypes.c_int(0)
    _prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(found))
    return bool(found.value)


def keep_secrets() -> None:
    """Keeps other processes of the same user from reading this one's environment and memory.

    Trials run as the worker's user, and the worker's environment holds a password. Forked children are protected as
    well, those that are started by exec are not. Root reads everything all the same.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def _prctl(option: int, argument: object) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0)


class Interrupted(KeyboardInterrupt):
    """SIGINT came from outside: the objective did not raise ``KeyboardInterrupt`` by itself."""


def interrupt(signum: int, frame: FrameType | None) -> None:
    """Handles SIGINT as Python does, by an exception in the main thread."""
    del signum, frame
    raise Interrupted
