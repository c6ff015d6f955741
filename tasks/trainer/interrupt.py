"""Stops user code from outside: raises an exception in the main thread, in the middle of an epoch."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import optuna

RETRY_SECONDS = 0.05
"""Interval at which the signal is sent again until the exception was raised.

It may come where it must not raise, just before a blocking call, which it then does not interrupt, or in a finalizer,
whose exceptions are dropped.
"""

MOST_SPARED = 20
"""Most signals for which delicate code is spared. It takes microseconds, unless it waits for ever."""

DELICATE = frozenset({"__enter__", "__exit__", "acquire", "release"})
"""Functions that acquire or release a lock: an exception in their middle would leave it locked for ever."""

FINALIZERS = frozenset({"__del__", "_shutdown_workers"})
"""Finalizers of any object, and of a DataLoader, which is called directly, too. An interrupted one is not run again."""


class TrialStopped(optuna.TrialPruned):
    """The control plane has stopped this trial.

    It is a ``TrialPruned``, so that code which cleans up on pruning does so here too.
    """


class _Deferred(threading.local):
    """Depth of nested ``defer`` calls in a thread."""

    depth = 0


class Interrupter:
    """Raises ``TrialStopped`` in the main thread, as soon as that is safe.

    A signal is used because it also interrupts a blocking call. It must not raise during an import (a half-imported
    module would break the next trial) or in our own code between objective and socket; there it is deferred. For a
    while it is deferred in finalizers and around locks, too: a loop over a DataLoader is full of both, and one that was
    left with its queue's lock held hangs when it is cleaned up. An exception in a finalizer is dropped by the
    interpreter, and raised again. Code that swallows it gets it again at its next report, and so does code in any other
    thread.
    """

    def __init__(self) -> None:
        self._token = ""
        self._stop = ""
        self._deferred = _Deferred()
        self._raised = False
        self._met = False
        self._spared = 0
        self._asked = threading.Event()
        # It lives as long as the process: otherwise it would look like a thread of the trial.
        threading.Thread(target=self._signal_main_thread, name="interrupter", daemon=True).start()

    def install(self) -> None:
        """Sets the signal handler. Call it in the main thread before every trial: user code may have replaced it."""
        signal.signal(signal.SIGUSR2, self._on_signal)

    @property
    def stopping(self) -> bool:
        """Whether the current trial was told to stop."""
        return bool(self._token) and self._stop == self._token

    def has_stopped(self, token: str) -> bool:
        """Whether the exception was raised in attempt ``token``, in whatever thread."""
        return self._met and self._stop == token

    @contextlib.contextmanager
    def running(self, token: str) -> Iterator[None]:
        """Wraps the call of the objective in attempt ``token``: only within it the exception is raised."""
        self._raised = self._met = False
        self._spared = 0
        self._token = token
        others = sys.unraisablehook

        def on_unraisable(dropped: sys.UnraisableHookArgs) -> None:
            if isinstance(dropped.exc_value, TrialStopped):
                # Only noted: a finalizer may run while any lock is held.
                self._raised = False
            else:
                others(dropped)

        sys.unraisablehook = on_unraisable
        try:
            if self.stopping:
                raise TrialStopped("stopped before it began")
            yield
        finally:
            self._token = ""
            sys.unraisablehook = others

    def defer(self) -> None:
        """Defers a stop in this thread, until ``undefer``."""
        self._deferred.depth += 1

    def undefer(self) -> None:
        """Ends the deferral; ``check`` raises a stop that came meanwhile."""
        self._deferred.depth -= 1

    def check(self) -> None:
        """Raises where a stop is due. In another thread the main thread is interrupted all the same."""
        if not self.stopping or self._deferred.depth:
            return
        if threading.current_thread() is threading.main_thread():
            self._raised = True
        self._met = True
        raise TrialStopped("the search stopped this trial")

    def stop(self, token: str) -> None:
        """Asks for the exception, from another thread. A token that no longer runs is ignored when it fires."""
        self._stop = token
        self._asked.set()

    def forget(self, token: str) -> None:
        """Forgets a stop of the attempt: its task was sent again, as after a suspension, and is to be trained."""
        if self._stop == token:
            self._stop = ""

    def _signal_main_thread(self) -> None:
        while True:
            self._asked.wait(RETRY_SECONDS if self.stopping else None)
            self._asked.clear()
            if self.stopping and not self._raised:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR2)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        del signum
        if not self.stopping or self._raised or self._deferred.depth or _importing(frame):
            return
        if self._spared < MOST_SPARED and _delicate(frame):
            self._spared += 1
            return
        self._raised = self._met = True
        raise TrialStopped("the search stopped this trial")


def _delicate(frame: FrameType | None) -> bool:
    """Whether ``frame`` handles a lock, or belongs to a finalizer."""
    if frame is not None and frame.f_code.co_name in DELICATE:
        return True
    while frame is not None:
        if frame.f_code.co_name in FINALIZERS:
            return True
        frame = frame.f_back
    return False


def _importing(frame: FrameType | None) -> bool:
    bootstrap = sys.modules["importlib._bootstrap"].__dict__
    while frame is not None:
        if frame.f_globals is bootstrap or frame.f_globals.get("__name__") == "importlib._bootstrap":
            return True
        frame = frame.f_back
    return False
