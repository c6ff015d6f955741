"""Settings of the process that an objective may change; they are restored before the next trial."""

from __future__ import annotations

import contextlib
import gc
import locale
import logging
import os
import resource
import signal
import sys
from dataclasses import dataclass
from typing import Final

from tasks.trainer import launcher_guard

_SIGNALS: Final = (
    *(signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM, signal.SIGHUP, signal.SIGUSR1),
    *(signal.SIGQUIT, signal.SIGPIPE, signal.SIGVTALRM, signal.SIGPROF, signal.SIGCONT, signal.SIGTSTP),
)
_TIMERS: Final = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS: Final = tuple(value for name, value in sorted(vars(resource).items()) if name.startswith("RLIMIT_"))


@dataclass(frozen=True)
class ProcessState:
    """The settings at one time."""

    handlers: tuple[object, ...]
    blocked: frozenset[int]
    directory: str
    umask: int
    locale: str
    recursion: int
    collecting: bool
    disabled: int
    limits: tuple[tuple[int, int], ...]
    niceness: int
    ranks: dict[str, str]


def snapshot() -> ProcessState:
    """Returns the settings as they are."""
    return ProcessState(
        handlers=tuple(signal.getsignal(number) for number in _SIGNALS),
        blocked=frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        directory=os.getcwd(),
        umask=_umask(),
        locale=locale.setlocale(locale.LC_ALL),
        recursion=sys.getrecursionlimit(),
        collecting=gc.isenabled(),
        disabled=logging.root.manager.disable,
        limits=tuple(resource.getrlimit(limit) for limit in _LIMITS),
        niceness=os.getpriority(os.PRIO_PROCESS, 0),
        ranks=launcher_guard.launcher_variables(),
    )


def restore(before: ProcessState) -> str:
    """Restores the settings; returns in words what cannot be restored, or nothing."""
    for timer in _TIMERS:
        # A pending timer would end the next trial.
        signal.setitimer(timer, 0)
    with contextlib.suppress(ValueError):
        signal.set_wakeup_fd(-1)
    for number, handler in zip(_SIGNALS, before.handlers, strict=True):
        if signal.getsignal(number) is not handler and (callable(handler) or isinstance(handler, int)):
            signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, before.blocked)
    try:
        os.chdir(before.directory)
    except OSError:
        return "the working directory"
    launcher_guard.restore_launcher_variables(before.ranks)
    os.umask(before.umask)
    locale.setlocale(locale.LC_ALL, before.locale)
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        # An exception holds its frames, and they hold the model.
        vars(sys).pop(name, None)
    sys.settrace(None)
    sys.setprofile(None)
    sys.setrecursionlimit(before.recursion)
    (gc.enable if before.collecting else gc.disable)()
    logging.disable(before.disabled)
    if os.getpriority(os.PRIO_PROCESS, 0) != before.niceness:
        return "its priority"
    for limit, found in zip(_LIMITS, before.limits, strict=True):
        if resource.getrlimit(limit) != found:
            try:
                resource.setrlimit(limit, found)
            except (ValueError, OSError):
                return "the limits of the process"
    return ""


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current
