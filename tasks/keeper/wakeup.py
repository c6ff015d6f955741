"""What ends a keeper's wait from outside: a signal, or another thread of its own."""

from __future__ import annotations

import contextlib
import selectors
import signal
import socket

_DOORBELL = int(signal.SIGUSR2)


class Wakeup:
    """A socket pair that is written to in order to wake whoever waits for it in a selector."""

    def __init__(self) -> None:
        # Non-blocking: a signal handler and the publisher's thread ring it.
        self._bell, self._ringer = socket.socketpair()
        self._bell.setblocking(False)
        self._ringer.setblocking(False)

    def fileno(self) -> int:
        return self._bell.fileno()

    def take_signals(self) -> None:
        """Makes the interpreter itself write the number of each signal, from its lowest handler.

        So one that comes just before a wait begins still ends that wait.
        """
        signal.set_wakeup_fd(self._ringer.fileno(), warn_on_full_buffer=False)

    def ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._ringer.send(b"!")

    def wait(self, timeout: float) -> None:
        """Waits until it rings; ``timeout`` seconds at the most."""
        with selectors.DefaultSelector() as selector:
            selector.register(self, selectors.EVENT_READ)
            if selector.select(timeout):
                self.answer()

    def answer(self) -> bool:
        """Takes what has rung; returns whether the doorbell was among it."""
        with contextlib.suppress(BlockingIOError):
            return _DOORBELL in self._bell.recv(4096)
        return False
