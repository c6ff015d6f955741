"""Guards of a process: it dies with its parent, adopts orphans, keeps its secrets, and knows a SIGINT from outside. How
a process ends, and how its end is awaited."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
from types import FrameType
from typing import Any, NoReturn

PDEATHSIG = 1
"""Option of ``prctl``: the signal that a process gets when the thread that started it ends."""
_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37


def die_with_parent(parent: int) -> None:
    """Asks the kernel to kill this process when the thread that started it ends.

    Call it first in the child. ``parent`` is the process id that the child expects: where the parent has ended already,
    the child ends here.
    """
    _prctl(PDEATHSIG, signal.SIGKILL)
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


def wait_for_exit(process: subprocess.Popen[Any], seconds: float | None) -> int | None:
    """Waits at most ``seconds`` for a child process, for ever with ``None``.

    Returns its exit code, or ``None`` where it has not ended. ``Popen.wait`` with a timeout sees that up to 50 ms late.
    """
    if seconds is None:
        return process.wait()
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(process.pid)
        try:
            select.select([descriptor], [], [], seconds)
        finally:
            os.close(descriptor)
        seconds = 0.0
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(seconds)
    return None


def end_process(code: int) -> NoReturn:
    """Ends this process as Python does, but leaves it to the kernel to free its memory.

    To take apart the objects of large libraries takes Python several tenths of a second.
    """
    end_threads: Any = threading._shutdown  # type: ignore[attr-defined]
    end_threads()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that was closed, or none at all.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


class Interrupted(KeyboardInterrupt):
    """SIGINT came from outside: the objective did not raise ``KeyboardInterrupt`` by itself."""


def interrupt(signum: int, frame: FrameType | None) -> None:
    """Handles SIGINT as Python does, by an exception in the main thread."""
    del signum, frame
    raise Interrupted
