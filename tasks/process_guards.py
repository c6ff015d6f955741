"""Guards of a process: it dies with its parent, adopts orphans, keeps its secrets, and knows a SIGINT from outside."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from types import FrameType

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37


def die_with_parent(parent: int, signum: int = signal.SIGKILL) -> None:
    """Asks the kernel to send ``signum`` when the thread that started this process ends.

    Call it first thing in the child. ``parent`` is the process id the child expects: where it is gone already, or the
    child was handed to another process, the child ends here. Off Linux only that check is made; there the closed
    socket or pipe of the parent has to serve.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signum, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Makes this process the parent of every descendant whose own parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def adopts_orphans() -> bool:
    """Whether ``adopt_orphans`` was called in this process."""
    found = ctypes.c_int(0)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(found), 0, 0, 0)
    return bool(found.value)


def keep_secrets() -> None:
    """Keeps other processes of the same user from reading this one's environment and memory.

    What a worker trains runs as the worker's user, and the worker's environment names a password. Children that are
    forked are kept as well, those that are started by exec are not. Root reads everything all the same.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


class Interrupted(KeyboardInterrupt):
    """SIGINT came from outside: the objective did not raise ``KeyboardInterrupt`` by itself."""


def interrupt(signum: int, frame: FrameType | None) -> None:
    """Handles SIGINT as Python does, by an exception in the main thread."""
    del signum, frame
    raise Interrupted
