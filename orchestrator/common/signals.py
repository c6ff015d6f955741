"""The signals that end a program, and the exceptions that they raise, which a finalizer must not swallow."""

from __future__ import annotations

import signal
import sys
from types import FrameType

AGAIN_SECONDS = 0.05
"""Delay before a swallowed exception is raised again."""


def ending_signals() -> tuple[signal.Signals, ...]:
    """Returns the signals that ask a program to end; not SIGHUP where it is ignored, as under nohup."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hangs_up else ()))


def insist_on_ending() -> None:
    """Makes the interpreter raise a ``SystemExit`` or ``KeyboardInterrupt`` again that a finalizer has swallowed.

    A library whose loop has no stop method is left by an exception from a signal handler. It is raised wherever the
    main thread happens to be; in ``__del__`` or the callback of a weak reference the interpreter drops it, and the
    program would go on for ever. Call this in the main thread. It uses SIGALRM.
    """
    others = sys.unraisablehook
    dropped: list[BaseException] = []

    def on_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
        value = unraisable.exc_value
        if isinstance(value, SystemExit | KeyboardInterrupt):
            # A new one: the dropped exception would keep the object alive that is being finalized.
            dropped[:] = [type(value)(*value.args)]
            signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
        else:
            others(unraisable)

    def on_alarm(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        raise dropped[0]

    signal.signal(signal.SIGALRM, on_alarm)
    sys.unraisablehook = on_unraisable
