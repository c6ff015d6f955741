"""The signals that end a program; where one does so by an exception, the one place where such an exception is lost."""

from __future__ import annotations

import signal
import sys
from types import FrameType

AGAIN_SECONDS = 0.05
"""When an exception is raised again that came to nothing."""


def ending_signals() -> tuple[signal.Signals, ...]:
    """Returns the signals that tell a program to end in order; not SIGHUP where it is ignored, as with nohup."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hangs_up else ()))


def insist_on_ending() -> None:
    """Has a ``SystemExit`` or ``KeyboardInterrupt`` that was swallowed by a finalizer raised again, soon after.

    Libraries whose loop cannot be told to end are left by an exception out of a signal's handler. It is raised wherever
    the main thread happens to be; in ``__del__`` or the callback of a weak reference the interpreter drops it, and the
    program would go on for ever. Call it in the main thread. It takes SIGALRM.
    """
    others = sys.unraisablehook
    dropped: list[BaseException] = []

    def on_unraisable(unraisable: sys.UnraisableHookArgs) -> None:
        value = unraisable.exc_value
        if isinstance(value, SystemExit | KeyboardInterrupt):
            # Made anew: the one that was dropped would keep alive what is being finalized.
            dropped[:] = [type(value)(*value.args)]
            signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
        else:
            others(unraisable)

    def on_alarm(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        raise dropped[0]

    signal.signal(signal.SIGALRM, on_alarm)
    sys.unraisablehook = on_unraisable
