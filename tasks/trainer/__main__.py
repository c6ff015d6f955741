"""``python -m tasks.trainer FD PARENT [OBJECTIVE]``: started by a keeper, never by hand."""

from __future__ import annotations

import signal
import socket
import sys

from tasks.lifeline import die_with_parent
from tasks.wire import Wire


def main() -> None:
    """Serves jobs until the keeper is gone. Heavy imports come after the promise to die with it."""
    fd, parent = int(sys.argv[1]), int(sys.argv[2])
    preload = sys.argv[3] if len(sys.argv) > 3 else ""
    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Celery's pool blocks nothing, but a signal mask is inherited over exec and would hide the stop signal.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR2, signal.SIGTERM, signal.SIGCHLD})
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    from tasks.trainer.loop import Trainer

    Trainer(Wire(socket.socket(fileno=fd))).serve(preload)


if __name__ == "__main__":
    main()
