"""The signals that end a program, and the exceptions that they raise, which a finalizer must not swallow."""

from __future__ import annotations

import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

AGAIN_SECONDS = 0.05
"""Delay before a swallowed exception is raised again."""


def ending_signals() -> tuple[signal.Signals, ...]:
    """Returns the signals that ask a program to end; not SIGHUP where it is ignored, as under nohup."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return (signal.SIGINT, signal.SIGTERM, *((signal.SIGHUP,) if hangs_up else ()))


class StopRequest:
    """A request to stop that a signal handler makes.

    It takes no lock. A ``threading.Event`` does: a signal that arrives while the main thread, or the handler of another
    signal, is inside ``set`` or ``wait`` would wait for that lock for ever.
    """

    def __init__(self) -> None:
        self._made = False
        self._reading, self._writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def set(self) -> None:
        """Makes the request; a second time it changes nothing."""
        self._made = True
        with suppress(OSError):  # the pipe is full: the waiting thread wakes all the same
            os.write(self._writing, b"\0")

    def is_set(self) -> bool:
        """Returns whether the request was made."""
        return self._made

    def wait(self, seconds: float) -> bool:
        """Waits for the request, at most so long; returns whether it was made."""
        select.select([self._reading], [], [], max(0.0, seconds))
        return self._made

    def close(self) -> None:
        """Closes the pipe. Nothing may wait any more."""
        os.close(self._writing)
        os.close(self._reading)


@contextmanager
def handled_endings(on_signal: Callable[[signal.Signals, StopRequest], None]) -> Iterator[StopRequest]:
    """Yields a request to stop; inside, each signal that ends a program is handed to ``on_signal`` with it.

    The handlers of before are put back at the end. Only the main thread is told of signals: in any other one the
    program handles them as it did.
    """
    request = StopRequest()

    def handle(signum: int, frame: FrameType | None) -> None:
        del frame
        on_signal(signal.Signals(signum), request)

    in_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, handle) for number in ending_signals()} if in_main else {}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        request.close()


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
