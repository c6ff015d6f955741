"""Leaving the user's code from outside: an exception raised in the main thread, in the middle of an epoch."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import optuna

RETRY_SECONDS = 0.05
"""How often the signal is sent again until it has done its work.

It may come where it must not fire, in the instant before a blocking call begins, which it then does not interrupt, or
in a finalizer, out of which no exception comes.
"""

MOST_SPARED = 20
"""How often delicate code is spared. It is through in microseconds, unless it waits for something that never comes."""

DELICATE = frozenset({"__enter__", "__exit__", "acquire", "release"})
"""Functions that take or give back a lock: left in their middle, they leave it taken for ever."""

FINALIZERS = frozenset({"__del__", "_shutdown_workers"})
"""Functions that end what would be left otherwise: any object's, and that of a DataLoader, which is called directly,
too. Neither is called again."""


class TrialStopped(optuna.TrialPruned):
    """The search decided that this trial goes no further.

    It is a ``TrialPruned``, so that code which cleans up on pruning does so here too.
    """


class _Deferred(threading.local):
    """How deep a thread is in our own code."""

    depth = 0


class Interrupter:
    """Raises ``TrialStopped`` in the main thread, at once if it may, otherwise as soon as it may.

    A signal is used because it also interrupts a blocking call. It must not fire while modules are being imported
    (a half-imported module would poison the next trial) or inside our own code between objective and wire; there it
    is deferred. So it is, for a while, in finalizers and where a lock is taken or given back: a loop over a DataLoader
    is full of both, and one that was left with its queue's lock taken waits for ever when it is cleaned up. Where it
    came upon a finalizer all the same, the interpreter drops it, and it is raised again. Code that swallows it meets it
    again at its next report, and so does code in any other thread.
    """

    def __init__(self) -> None:
        self._token = ""
        self._stop = ""
        self._deferred = _Deferred()
        self._raised = False
        self._met = False
        self._spared = 0
        self._asked = threading.Event()
        # It lives as long as the process: one that came and went with a trial could not be told from the trial's own.
        threading.Thread(target=self._ring, name="interrupter", daemon=True).start()

    def install(self) -> None:
        """Takes the signal; call it in the main thread before every trial, user code may have taken it."""
        signal.signal(signal.SIGUSR2, self._on_signal)

    @property
    def stopping(self) -> bool:
        """Whether the trial at hand was told to stop."""
        return bool(self._token) and self._stop == self._token

    def has_stopped(self, token: str) -> bool:
        """Whether the exception was raised in attempt ``token``, in whatever thread."""
        return self._met and self._stop == token

    @contextlib.contextmanager
    def running(self, token: str) -> Iterator[None]:
        """The span in which the exception may be raised: the user's objective, for attempt ``token``."""
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
        """Begins our own code on behalf of the objective, in this thread: a stop waits until that is done."""
        self._deferred.depth += 1

    def undefer(self) -> None:
        """Ends it; ``check`` raises what has come meanwhile."""
        self._deferred.depth -= 1

    def check(self) -> None:
        """Raises where a stop is due; in another thread than the main one, that one is still to be told."""
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

    def _ring(self) -> None:
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
